"""Images fetched by their addresses, from a real server: dead, slow, hostile, gone for an hour."""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from qinstruct_trainer.contract.errors import DataError, UnavailableError
from qinstruct_trainer.contract.events import Event, PrepProgress
from qinstruct_trainer.prep.image_list import ListedImage
from qinstruct_trainer.prep.progress import Progress
from qinstruct_trainer.prep.sources.image_downloads import fetch_images
from qinstruct_trainer.prep.sources.limits import Limits
from qinstruct_trainer.prep.sources.retry import Retry
from support.prep.file_server import FaultyServer, serve
from support.prep.miniature import jpeg

QUICK = Retry(attempts=3, first_seconds=0.01, max_seconds=0.02)
NUM_IMAGES = 40
GIF = b"GIF89a\1\0\1\0\x80\0\0\0\0\0\xff\xff\xff,\0\0\0\0\1\0\1\0\0\2\2D\1\0;"


@pytest.fixture
def served(tmp_path: Path) -> Path:
    folder = tmp_path / "served"
    folder.mkdir()
    for number in range(NUM_IMAGES):
        (folder / f"{number}.gif").write_bytes(jpeg(random.Random(number), (9, 9)))
    (folder / "0.gif").write_bytes(GIF)
    return folder


@pytest.fixture
def server(served: Path) -> Iterator[FaultyServer]:
    with serve(served) as running:
        yield running


def listed(server: FaultyServer) -> list[ListedImage]:
    return [ListedImage(f"{n}.jpg", f"{server.url}/{n}.gif") for n in range(NUM_IMAGES)]


def fetch(
    images: list[ListedImage], folder: Path, limits: Limits | None = None
) -> tuple[dict[str, str], list[Event]]:
    events: list[Event] = []
    progress = Progress(events.append, "fetch", "ocr-vqa-images", "files")
    dead = fetch_images(images, folder, "ocr-vqa", progress, limits=limits, retry=QUICK)
    return dead, events


def contents(folder: Path) -> dict[str, bytes]:
    return {path.stem: path.read_bytes() for path in folder.iterdir()}


def test_all_come_as_they_are_under_their_own_names(
    server: FaultyServer, served: Path, tmp_path: Path
) -> None:
    dead, events = fetch(listed(server), tmp_path / "images")
    assert dead == {}
    assert contents(tmp_path / "images") == contents(served)
    last = events[-1]
    assert isinstance(last, PrepProgress)
    assert (last.done, last.total, last.unit) == (NUM_IMAGES, NUM_IMAGES, "files")


def test_what_fails_for_a_while_is_asked_for_again(
    server: FaultyServer, served: Path, tmp_path: Path
) -> None:
    server.faults = ["error", "reset", "too-many", "error", "reset", "redirect"]
    assert fetch(listed(server), tmp_path / "images")[0] == {}
    assert contents(tmp_path / "images") == contents(served)


def test_what_is_dead_is_listed_with_its_reason_and_the_rest_comes(
    server: FaultyServer, served: Path, tmp_path: Path
) -> None:
    (served / "3.gif").unlink()
    (served / "4.gif").write_text("<!doctype html><title>Not found</title>")
    (served / "5.gif").write_bytes(b"")
    (served / "6.gif").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n")
    images = listed(server)
    images[7] = ListedImage("7.jpg", "file:///etc/passwd")
    images[8] = ListedImage("8.jpg", "no address")
    images[9] = ListedImage("9.jpg", "http://[::1")
    dead, _ = fetch(images, tmp_path / "images")
    assert [*dead] == [f"{number}.jpg" for number in range(3, 10)]
    assert dead["3.jpg"].endswith("/3.gif: the server answers 404 Not Found")
    for number in (4, 5, 6):
        assert dead[f"{number}.jpg"].endswith("what the server sends is no image")
    for number in (7, 8, 9):
        assert "no address" in dead[f"{number}.jpg"]
    left = {path.name for path in (tmp_path / "images").iterdir() if path.suffix == ".jpg"}
    assert left == {image.name for image in images} - {*dead}


@pytest.mark.parametrize("networks", [None, ("127.0.0.0/8",)], ids=["local", "cluster"])
@pytest.mark.parametrize(
    "url",
    [
        *("http://xn--/1.gif", "http://xn--a.example/1.gif", "http://127.0.0.1/\ud800"),
        *("http://a..example/1.gif", f"http://{'a' * 300}.example/1.gif"),
        *("http://\ud800.example/1.gif", "http://127.0.0.1:http/", "http:///1.gif", "", "data:,x"),
    ],
    ids=lambda url: ascii(url[:30]),
)
def test_what_is_no_address_is_dead_and_the_rest_comes(
    url: str, networks: tuple[str, ...] | None, server: FaultyServer, tmp_path: Path
) -> None:
    images = [ListedImage("x.jpg", url), *listed(server)]
    dead, _ = fetch(images, tmp_path / "images", Limits(networks=networks))
    assert [*dead] == ["x.jpg"]
    assert "no address" in dead["x.jpg"]


def test_a_host_of_any_length_is_named_in_a_short_sentence(tmp_path: Path) -> None:
    host = ".".join(["a" * 60] * 500)
    with pytest.raises(UnavailableError, match="1 of 1 images cannot be reached now") as caught:
        fetch([ListedImage("x.jpg", f"http://{host}/1.gif")], tmp_path / "images")
    assert len(str(caught.value)) < 1000


def test_an_address_may_not_lead_into_the_cluster(server: FaultyServer, tmp_path: Path) -> None:
    images = [*listed(server)[:1], ListedImage("x.jpg", server.url.replace("127.0.0.1", "[::1]"))]
    limits = Limits(networks=("127.0.0.0/8",))
    dead, _ = fetch(images, tmp_path / "images", limits)
    assert [*dead] == ["x.jpg"]
    assert dead["x.jpg"].endswith("it leads to ::1, which is no public address")


def test_a_server_that_is_not_there_now_ends_it_soon_and_nothing_is_called_dead(
    server: FaultyServer, tmp_path: Path
) -> None:
    server.faults = ["error"] * 9_999
    with pytest.raises(UnavailableError) as caught:
        fetch(listed(server) * 10, tmp_path / "images")
    assert "cannot be reached now, first from 127.0.0.1: the server answers 500" in str(
        caught.value
    )
    assert "run again later, which goes on" in str(caught.value)
    assert len(server.ranges) < 300, "it went on against a server that was not there"


def test_one_that_is_not_there_now_fails_at_the_end_and_the_others_are_kept(
    server: FaultyServer, tmp_path: Path
) -> None:
    images = listed(server)
    images[0] = ListedImage("0.jpg", "http://127.0.0.1:9/0.gif")  # discard: nobody listens
    with pytest.raises(UnavailableError, match=f"1 of {NUM_IMAGES} images cannot be reached now"):
        fetch(images, tmp_path / "images")
    assert len(list((tmp_path / "images").glob("*.jpg"))) == NUM_IMAGES - 1
    asked = len(server.ranges)

    assert fetch(listed(server), tmp_path / "images")[0] == {}
    assert len(server.ranges) == asked + 1, "what was there was fetched again"


def with_lost_hosts(images: list[ListedImage]) -> list[ListedImage]:
    lost = [f"http://{host}.invalid/{n}.gif" for host in ("a", "b") for n in range(60)]
    return [*images, *(ListedImage(f"lost-{n}.jpg", url) for n, url in enumerate(lost))]


def test_hosts_whose_names_are_gone_are_dead_where_names_of_others_are_found(
    server: FaultyServer, tmp_path: Path
) -> None:
    server.url = server.url.replace("127.0.0.1", "localhost")
    dead, _ = fetch(with_lost_hosts(listed(server)), tmp_path / "images")
    assert len(dead) == 120
    assert dead["lost-7.jpg"] == "http://a.invalid/7.gif: nobody knows its host's name"


@pytest.mark.parametrize("num_others", [0, 40])
def test_no_name_is_called_gone_where_none_is_known_to_be_found(
    num_others: int, server: FaultyServer, tmp_path: Path
) -> None:
    images = with_lost_hosts(listed(server)[:num_others])  # of a host that has no name
    with pytest.raises(UnavailableError, match=r"120 of \d+ images cannot be .*nobody knows its"):
        fetch(images, tmp_path / "images")


def test_a_list_of_dead_addresses_alone_is_no_set_of_images(
    server: FaultyServer, served: Path, tmp_path: Path
) -> None:
    for path in served.iterdir():
        path.unlink()
    with pytest.raises(UnavailableError, match="none of the 40 addresses of the list has an"):
        fetch(listed(server), tmp_path / "images")


def test_bytes_are_bounded_over_all(server: FaultyServer, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"more than 1,000 bytes.*ocr-vqa\.maxBytes"):
        fetch(listed(server), tmp_path / "images", Limits(max_bytes=1000))


def test_time_is_bounded_over_all(server: FaultyServer, tmp_path: Path) -> None:
    server.faults = ["slow"] * NUM_IMAGES
    with pytest.raises(UnavailableError, match=r"ocr-vqa: .*run again later"):
        fetch(listed(server), tmp_path / "images", Limits(total_seconds=0.5))


@pytest.mark.parametrize("how", ["symlink", "hard link"])
def test_a_planted_name_is_not_taken_for_an_image(
    how: str, server: FaultyServer, served: Path, tmp_path: Path
) -> None:
    aside = tmp_path / "aside"
    aside.write_bytes(b"planted")
    planted = tmp_path / "images" / "1.jpg"
    planted.parent.mkdir()
    if how == "symlink":
        planted.symlink_to(aside)
    else:
        planted.hardlink_to(aside)
    fetch(listed(server), tmp_path / "images")
    assert planted.read_bytes() == (served / "1.gif").read_bytes()
    assert aside.read_bytes() == b"planted"


def test_nothing_is_written_to_where_a_planted_folder_leads(
    server: FaultyServer, tmp_path: Path
) -> None:
    aside = tmp_path / "aside"
    aside.mkdir()
    (tmp_path / "images").symlink_to(aside)
    fetch(listed(server)[:2], tmp_path / "images")
    assert not [*aside.iterdir()]
    assert len([*(tmp_path / "images").glob("*.jpg")]) == 2
