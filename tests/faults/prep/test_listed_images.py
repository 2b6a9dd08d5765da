"""The whole of prep where a source's images are published as a list of addresses, as OCR-VQA's."""

import json
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from qinstruct_trainer.contract.config import Prepared, PrepConfig, Source
from qinstruct_trainer.contract.errors import DataError
from qinstruct_trainer.contract.events import Event, PrepProgress
from qinstruct_trainer.data.index.reader import Index
from qinstruct_trainer.prep.run import run_prep
from support.prep import driver
from support.prep.file_server import FaultyServer, serve
from support.prep.miniature import LABELS, Miniature, write_miniature
from support.prep.prep_json import write_prep_json

INTO = "ocr_vqa/images"


@pytest.fixture
def miniature(tmp_path: Path) -> Miniature:
    """Its images as files behind addresses that end in .gif, and more in the list than is used."""
    written = write_miniature(tmp_path / "served")
    folder = written.labels.parent
    with tarfile.open(written.archive) as tar:
        for member in tar.getmembers():
            content = tar.extractfile(member)
            assert content is not None
            (folder / f"{Path(member.name).stem}.gif").write_bytes(content.read())
    records = [
        record | {"image": f"{INTO}/{Path(str(record['image'])).name}"}
        for record in written.records
    ]
    written.labels.write_text(json.dumps(records))
    return Miniature(written.labels, written.archive, tuple(records))


@pytest.fixture
def server(miniature: Miniature) -> Iterator[FaultyServer]:
    folder = miniature.labels.parent
    with serve(folder) as running:
        names = [*(path.stem for path in sorted(folder.glob("*.gif"))), "not-used"]
        entries = {name: {"imageURL": f"{running.url}/{name}.gif", "split": 1} for name in names}
        (folder / "dataset.json").write_text(json.dumps(entries))
        yield running


def config_for(server: FaultyServer, folder: Path, run: str = "run", **changes: object) -> Path:
    sources = (
        Source(name="labels", kind="labels", url=f"{server.url}/{LABELS}"),
        Source(name="ocr-vqa", kind="images", url=f"{server.url}/dataset.json", into=INTO),
    )
    return write_prep_json(folder, run, sources, **changes)


def prepare(config: Path) -> tuple[Prepared, list[Event]]:
    events: list[Event] = []
    return run_prep(PrepConfig.read(config), events.append), events


def test_they_are_fetched_once_and_only_those_that_records_refer_to(
    server: FaultyServer, miniature: Miniature, tmp_path: Path
) -> None:
    prepared, _ = prepare(config_for(server, tmp_path))
    index = Index.open(prepared.index)
    for number, record in enumerate(miniature.records):
        image = index[number].image
        assert image is not None
        assert image.as_posix().endswith(str(record["image"]))
        served = miniature.labels.parent / f"{image.stem}.gif"
        assert image.read_bytes() == served.read_bytes()
    num_images = len({record["image"] for record in miniature.records})
    assert len(server.ranges) == 2 + num_images
    assert not list((tmp_path / "cache" / "downloads").glob("*images*"))

    _, events = prepare(config_for(server, tmp_path, "second"))
    assert all(event.cached for event in events if isinstance(event, PrepProgress))
    assert len(server.ranges) == 2 + num_images


def test_what_a_dead_address_means_is_decided_by_missing_images(
    server: FaultyServer, miniature: Miniature, tmp_path: Path
) -> None:
    (miniature.labels.parent / "00003.gif").unlink()
    with pytest.raises(DataError, match=r"3 of 36 records are bad .*00003\.jpg is in none"):
        prepare(config_for(server, tmp_path))
    asked = len(server.ranges)

    config = config_for(server, tmp_path, missing_images="Drop", max_missing=3)
    prepared, _ = prepare(config)
    assert (prepared.num_records, prepared.num_dropped) == (33, 3)
    assert len(server.ranges) == asked, "another policy fetched the images again"
    (report,) = (tmp_path / "cache" / "units").glob("fetch-ocr-vqa-images-*/dead.json")
    (name, why), *others = json.loads(report.read_text()).items()
    assert (name, others) == ("00003.jpg", [])
    assert why.endswith("the server answers 404 Not Found")


@pytest.mark.slow
def test_killed_in_the_middle_it_goes_on_with_those_that_are_left(
    server: FaultyServer, tmp_path: Path
) -> None:
    config = config_for(server, tmp_path)
    server.bytes_per_second = 20_000
    process = subprocess.Popen([sys.executable, driver.__file__, str(config)], stdout=-1, text=True)
    assert process.stdout is not None
    assert any('"ocr-vqa-images"' in line and '"done":0' not in line for line in process.stdout)
    process.kill()
    process.communicate()
    server.bytes_per_second = None
    (folder,) = (tmp_path / "cache" / "downloads").glob("fetch-ocr-vqa-images-*")
    there = {path.name: path.stat().st_ino for path in folder.glob("*.jpg")}
    assert there

    prepared, _ = prepare(config)
    assert prepared.num_records == 36
    (unit,) = (tmp_path / "cache" / "units").glob("fetch-ocr-vqa-images-*")
    kept = {path.name: path.stat().st_ino for path in (unit / "files" / INTO).iterdir()}
    assert len(kept) == 12
    assert {*there.items()} <= {*kept.items()}, "one that had come was fetched again"
