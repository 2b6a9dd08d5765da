"""Files that nothing pins change at their server, days after they were fetched."""

import json
import socket
import threading
import time
from pathlib import Path

import pytest

from qinstruct_trainer.contract.config import TRUSTED_DAYS, Prepared, PrepConfig, Source
from qinstruct_trainer.prep.gate import RecordFile
from qinstruct_trainer.prep.run import run_prep
from qinstruct_trainer.prep.stages import Labels, Stages
from qinstruct_trainer.prep.unit_cache import UnitCache, verify
from qinstruct_trainer.prep.unit_manifest import MANIFEST
from qinstruct_trainer.prep.versions import VERSIONS
from support.prep import raw_server
from support.prep.changed_files import FIRST_BYTE, change, known, let_pass, prepare, sources_of
from support.prep.file_server import Fault, FaultyServer, serve
from support.prep.miniature import LABELS, Miniature
from support.prep.prep_json import write_prep_json


def test_a_file_is_not_asked_for_again_within_its_days(
    server: FaultyServer, miniature: Miniature, tmp_path: Path
) -> None:
    first = prepare(server, tmp_path)
    asked = len(server.ranges)
    change(miniature, server)
    let_pass(tmp_path, TRUSTED_DAYS - 1)
    assert prepare(server, tmp_path, "second") == first
    assert len(server.ranges) == asked


def test_then_each_is_asked_for_once_and_is_trusted_on(
    server: FaultyServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = prepare(server, tmp_path)
    manifests = [(unit / MANIFEST).stat() for unit in first]
    let_pass(tmp_path)
    server.ranges.clear()
    for run in ("second", "third"):
        assert prepare(server, tmp_path, run) == first
        assert server.ranges == [FIRST_BYTE] * 2
    assert [(unit / MANIFEST).stat().st_ctime for unit in first] == [m.st_ctime for m in manifests]
    assert all(time.time() - float(f"{said['asked']}") < 600 for said in known(tmp_path).values())
    assert caplog.messages == []


def test_another_file_is_fetched_anew_beside_the_earlier_one(
    server: FaultyServer, miniature: Miniature, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    labels = miniature.labels.read_bytes()
    first = prepare(server, tmp_path)
    change(miniature, server)
    let_pass(tmp_path)
    second = prepare(server, tmp_path, "second")
    assert not set(first) & set(second)
    assert (first[0] / "file").read_bytes() == labels
    assert (second[0] / "file").read_bytes() == miniature.labels.read_bytes()
    for unit in (*first, *second):
        verify(unit)
    assert [message.partition(": http")[0] for message in caplog.messages] == [
        "q-instruct-labels",
        "q-instruct-images",
    ]
    assert "has another file than it had; it is fetched anew, and runs" in caplog.text
    assert prepare(server, tmp_path, "third") == second


@pytest.mark.parametrize("has_etag", [True, False])
def test_a_change_that_leaves_the_size_alone(
    server: FaultyServer, miniature: Miniature, tmp_path: Path, *, has_etag: bool
) -> None:
    server.etag = '"one"' if has_etag else None
    server.last_modified = None if has_etag else "Wed, 21 Oct 2015 07:28:00 GMT"
    first = prepare(server, tmp_path)
    text = miniature.labels.read_text().replace("blurry", "yrrulb")
    miniature.labels.write_text(text)
    server.etag = '"two"' if has_etag else None
    server.last_modified = None if has_etag else "Wed, 21 Oct 2015 07:28:01 GMT"
    let_pass(tmp_path)
    second = prepare(server, tmp_path, "second")
    assert (second[0] / "file").read_text() == text
    assert second[0] != first[0]


@pytest.mark.parametrize("is_larger", [True, False], ids=["larger", "same"])
def test_without_etag_and_date_the_size_decides(
    server: FaultyServer, miniature: Miniature, tmp_path: Path, *, is_larger: bool
) -> None:
    server.etag = None
    first = prepare(server, tmp_path)
    miniature.labels.write_text(miniature.labels.read_text() + " " * is_larger)
    let_pass(tmp_path)
    second = prepare(server, tmp_path, "second")
    assert (second[0] != first[0], second[1] != first[1]) == (is_larger, False)


def test_a_server_that_is_away_leaves_what_there_is(
    miniature: Miniature, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with serve(miniature.labels.parent) as server:
        first = prepare(server, tmp_path)
    let_pass(tmp_path)
    before = known(tmp_path)
    assert prepare(server, tmp_path, "second") == first
    said = "ConnectError (Connection refused); its file in the cache is taken"
    assert caplog.text.count(said) == 2
    assert known(tmp_path) == before  # asked again the next time


@pytest.mark.parametrize("fault", ["gone", "forbidden", "error", "busy", "html"])
def test_an_answer_that_is_no_file_leaves_what_there_is(
    fault: Fault, server: FaultyServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = prepare(server, tmp_path)
    let_pass(tmp_path)
    server.ranges.clear()
    server.faults += [fault, fault]
    assert prepare(server, tmp_path, "second") == first
    assert len(server.ranges) == 2  # one question each
    assert caplog.text.count("; its file in the cache is taken") == 2


def test_a_server_that_knows_no_parts_is_asked_for_its_headers_alone(
    server: FaultyServer, miniature: Miniature, tmp_path: Path
) -> None:
    first = prepare(server, tmp_path)
    let_pass(tmp_path)
    server.faults += ["ignore-range", "ignore-range"]
    assert prepare(server, tmp_path, "second") == first
    change(miniature, server)
    let_pass(tmp_path)
    server.faults += ["ignore-range"]
    assert prepare(server, tmp_path, "third")[0] != first[0]


def test_a_clock_that_was_moved_back_makes_no_file_younger(
    server: FaultyServer, miniature: Miniature, tmp_path: Path
) -> None:
    first = prepare(server, tmp_path)
    change(miniature, server)
    let_pass(tmp_path, -365)
    assert not set(prepare(server, tmp_path, "second")) & set(first)


def test_a_cache_of_an_earlier_version_is_compared_by_size(
    server: FaultyServer, miniature: Miniature, tmp_path: Path
) -> None:
    first = prepare(server, tmp_path)
    for path in known(tmp_path):
        path.unlink()
    assert prepare(server, tmp_path, "second") == first
    for path in known(tmp_path):
        path.unlink()
    miniature.labels.write_text(miniature.labels.read_text() + " ")
    assert prepare(server, tmp_path, "third")[0] != first[0]


@pytest.mark.parametrize(("revision", "asked"), [("main", 2), ("v1", 2), ("0a" * 20, 1)])
def test_a_commit_alone_is_never_asked_for(
    revision: str, asked: int, server: FaultyServer, tmp_path: Path
) -> None:
    first = prepare(server, tmp_path, revision=revision)
    let_pass(tmp_path)
    server.ranges.clear()
    assert prepare(server, tmp_path, "second", revision=revision) == first
    assert server.ranges == [FIRST_BYTE] * asked  # of the images, which nothing pins, in any case


def test_the_address_that_gave_the_file_is_asked(
    server: FaultyServer, miniature: Miniature, tmp_path: Path
) -> None:
    mirrors = (f"{server.url}/{LABELS}",)
    with serve(miniature.labels.parent) as other:
        other.faults.append("gone")
        other.etag = '"of another make"'
        url = f"{other.url}/{LABELS}"
        first = prepare(server, tmp_path, url=url, mirrors=mirrors)
        let_pass(tmp_path)
        assert prepare(server, tmp_path, "second", url=url, mirrors=mirrors) == first
        assert len(other.ranges) == 1


def test_a_link_in_the_place_of_what_is_known_is_not_followed(
    server: FaultyServer, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / VERSIONS).symlink_to(outside)
    prepare(server, tmp_path)
    assert list(outside.iterdir()) == []
    assert len(known(tmp_path)) == 2


def test_of_a_server_that_says_nothing_the_size_that_came_is_all_there_is(
    server: FaultyServer, miniature: Miniature, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def talk(peer: socket.socket, _: threading.Event) -> None:
        peer.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
        peer.sendall(miniature.labels.read_bytes())

    with raw_server.serve(talk) as url:
        first = prepare(server, tmp_path, url=f"{url}/file")
        let_pass(tmp_path)
        assert prepare(server, tmp_path, "second", url=f"{url}/file") == first
        assert prepare(server, tmp_path, "third", url=f"{url}/file") == first
    (said,) = caplog.messages  # once in so many days
    assert said.startswith(f"q-instruct-labels: nothing that {url}/file says of its file can be")


def test_a_list_of_images_that_has_changed_is_fetched_anew(
    server: FaultyServer, miniature: Miniature, tmp_path: Path
) -> None:
    labels = tmp_path / "labels.json"
    labels.write_text(json.dumps([record("one.jpg"), record("two.jpg")]))
    files = Labels((RecordFile(source="labels", path=labels),), ("key",))
    served = miniature.labels.parent
    pixel = bytes.fromhex("47494638396101000100800000000000ffffff2c00000000010001000002024401003b")
    (served / "one.gif").write_bytes(pixel)
    (served / "list.json").write_text(json.dumps({"one": {"imageURL": f"{server.url}/one.gif"}}))
    source = Source(name="ocr-vqa", kind="images", url=f"{server.url}/list.json")

    def names(run: str) -> list[str]:
        cache = UnitCache(tmp_path / "cache", run, lambda _: None)
        folder = Stages(cache, lambda _: None).images(source, files).folder
        return sorted(path.name for path in (folder / "files").iterdir())

    assert names("run") == ["one.jpg"]
    (served / "list.json").write_text(
        json.dumps({name: {"imageURL": f"{server.url}/one.gif"} for name in ("one", "two")})
    )
    server.etag = '"two"'
    assert names("run") == ["one.jpg"]
    let_pass(tmp_path)
    assert names("run") == ["one.jpg", "two.jpg"]


def record(image: str) -> dict[str, object]:
    said = ({"from": "human", "value": "<image>\nWhat?"}, {"from": "gpt", "value": "This."})
    return {"id": image, "image": image, "conversations": said}


def test_a_run_keeps_what_it_was_prepared_with(
    server: FaultyServer, miniature: Miniature, tmp_path: Path
) -> None:
    """Its training may have begun, and is prepared again each time that it goes on."""
    config = PrepConfig.read(write_prep_json(tmp_path, "run", sources_of(server)))
    first = run_prep(config, lambda _: None)
    change(miniature, server)
    let_pass(tmp_path)
    server.ranges.clear()
    assert run_prep(config, lambda _: None) == first
    path = config.output / "prepared.json"
    path.write_text(first.model_copy(update={"versions": None}).to_json())  # of an earlier version
    assert run_prep(config, lambda _: None) == first
    assert server.ranges == []
    assert Prepared.read(path) == first
    second = config.model_copy(update={"run": "second", "output": tmp_path / "second"})
    assert run_prep(second, lambda _: None).index != first.index
    assert run_prep(config, lambda _: None) == first
