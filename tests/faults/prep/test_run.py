"""The whole of prep on a served miniature: killed anywhere, run twice at once, given bad data."""

import json
import os
import signal
import subprocess
import sys
import tarfile
from functools import partial
from pathlib import Path

import pytest

from qinstruct_trainer.builtin.dataset import write_builtin
from qinstruct_trainer.contract.config import Prepared, PrepConfig, Source
from qinstruct_trainer.contract.errors import (
    EXIT_STOPPED,
    DataError,
    RunError,
    StorageError,
    UnavailableError,
)
from qinstruct_trainer.contract.events import Event, PrepProgress, PrepWaiting, parse_line
from qinstruct_trainer.data.index.reader import Index
from qinstruct_trainer.prep import stages
from qinstruct_trainer.prep.run import run_prep
from qinstruct_trainer.prep.unit_cache import verify
from support.prep import driver as prep_driver
from support.prep.file_server import FaultyServer
from support.prep.miniature import ARCHIVE, LABELS, Miniature, add_file
from support.prep.prep_json import write_prep_json
from support.prep.units import digests
from support.syncs import note_syncs

STAGES = ("fetch", "extract", "gate", "pixels", "merge", "model", "index")
SLOW = 4_000  # bytes per second: the labels take two seconds
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1"}


def config_for(server: FaultyServer, folder: Path, run: str = "run", **changes: object) -> Path:
    """prep.json for the served miniature, with its cache below the folder."""
    sources = (
        Source(name="q-instruct-labels", kind="labels", url=f"{server.url}/{LABELS}"),
        Source(name="q-instruct-images", kind="images", url=f"{server.url}/{ARCHIVE}"),
    )
    return write_prep_json(folder, run, sources, **changes)


def prepare(config: Path) -> tuple[Prepared, list[Event]]:
    events: list[Event] = []
    return run_prep(PrepConfig.read(config), events.append), events


def start(*arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=ENVIRONMENT)


def drive(config: Path, stage: str) -> subprocess.Popen[str]:
    """A prep process that holds in the middle of the stage."""
    process = start(prep_driver.__file__, str(config), stage)
    assert process.stdout is not None
    assert any(line == "held\n" for line in process.stdout), f"{stage} was not reached"
    return process


def kill(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


def test_served_miniature_is_prepared(
    server: FaultyServer, miniature: Miniature, tmp_path: Path
) -> None:
    prepared, _ = prepare(config_for(server, tmp_path))
    assert Prepared.read(tmp_path / "run" / "prepared.json") == prepared
    assert (prepared.num_records, prepared.num_dropped) == (len(miniature.records), 0)
    index = Index.open(prepared.index)
    assert len(index) == len(miniature.records)
    for number, record in enumerate(miniature.records):
        image = index[number].image
        assert image is not None
        assert image.as_posix().endswith(str(record["image"]))
        assert image.is_file()


@pytest.mark.parametrize("keeps", [False, True])
def test_archives_go_unless_they_are_to_be_kept(
    server: FaultyServer, tmp_path: Path, keeps: bool
) -> None:
    prepare(config_for(server, tmp_path, keep_archives=keeps))
    files = [*(tmp_path / "cache" / "units").glob("fetch-*/file")]
    assert len(files) == 1 + keeps  # the labels stay


@pytest.mark.slow
def test_killed_in_the_middle_of_every_stage(server: FaultyServer, tmp_path: Path) -> None:
    config = config_for(server, tmp_path / "killed")
    for stage in STAGES:
        server.bytes_per_second = SLOW if stage == "fetch" else None
        kill(drive(config, stage))
        for folder in (tmp_path / "killed" / "cache" / "units").glob("[!.]*"):
            verify(folder)
        assert not (tmp_path / "killed" / "run" / "prepared.json").exists()
    assert any(asked is not None for asked in server.ranges), "the download did not go on"
    prepare(config)
    prepare(config_for(server, tmp_path / "whole"))
    killed, whole = (digests(tmp_path / name / "cache") for name in ("killed", "whole"))
    assert killed == whole
    hidden = [path.name for path in (tmp_path / "killed" / "cache" / "units").glob(".*")]
    assert hidden == [".leases"]


@pytest.mark.slow
def test_waiting_run_follows_a_killed_one(server: FaultyServer, tmp_path: Path) -> None:
    first = drive(config_for(server, tmp_path, "first"), "extract")
    waited: list[str] = []

    def kill_first_when_waiting(event: Event) -> None:
        if isinstance(event, PrepWaiting):
            waited.append(event.owner)
            kill(first)

    run_prep(PrepConfig.read(config_for(server, tmp_path, "second")), kill_first_when_waiting)
    assert waited == ["first"]
    assert len(server.ranges) == 2  # the labels and the archive, by the first run


@pytest.mark.slow
def test_two_runs_at_once_build_each_unit_once(server: FaultyServer, tmp_path: Path) -> None:
    configs = [config_for(server, tmp_path, name) for name in ("first", "second")]
    processes = [start("-m", "qinstruct_trainer", "prep", "--config", str(c)) for c in configs]
    outputs = [process.communicate()[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    built = [built_units(output) for output in outputs]
    assert not built[0] & built[1]
    assert len(built[0] | built[1]) == 8
    assert len(server.ranges) == 2
    first, second = (Prepared.read(config.with_suffix("") / "prepared.json") for config in configs)
    assert first == second


def built_units(output: str) -> set[tuple[str, str]]:
    """Stage and item of what this process made itself."""
    events = [parse_line(line, None) for line in output.splitlines()]
    progress = [event for event in events if isinstance(event, PrepProgress)]
    return {(event.stage, event.item) for event in progress if not event.cached}


@pytest.mark.slow
def test_stop_signal_keeps_the_download(server: FaultyServer, tmp_path: Path) -> None:
    config = config_for(server, tmp_path)
    server.bytes_per_second = SLOW
    process = start("-m", "qinstruct_trainer", "prep", "--config", str(config))
    assert process.stdout is not None
    for line in process.stdout:
        event = parse_line(line, None)
        if isinstance(event, PrepProgress) and event.done > 0:
            process.send_signal(signal.SIGTERM)
            break
    process.communicate()
    assert process.returncode == EXIT_STOPPED
    server.bytes_per_second = None
    prepare(config)
    assert server.ranges[1] is not None


def test_a_builtin_data_set_comes_with_its_images_and_held_out_questions(
    server: FaultyServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = partial(write_builtin, num_train_pictures=14, num_heldout_pictures=7)
    monkeypatch.setattr(stages, "write_builtin", small)
    builtin = Source(name="builtin", kind="builtin", url="builtin:after")
    config = config_for(server, tmp_path, sources=(builtin,), output=tmp_path / "runs" / "run")
    prepared, _ = prepare(config)
    assert prepared.heldout is not None
    data = prepared.heldout.parent
    assert prepared.heldout.name == "heldout.json"
    assert prepared.num_records == len(json.loads((data / "labels.json").read_bytes()))
    image = Index.open(prepared.index)[0].image
    assert image is not None
    assert image.is_relative_to(data / "images")
    assert Prepared.read(tmp_path / "runs" / "run" / "prepared.json") == prepared


def test_a_folder_that_cannot_be_written_is_named(server: FaultyServer, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    output = tmp_path / "file" / "run"
    sentence = f"{output} cannot be made, because {output.parent} is no folder"
    with pytest.raises(StorageError, match=sentence):
        prepare(config_for(server, tmp_path, output=output))


def test_what_prep_hands_over_survives_a_power_cut(
    server: FaultyServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = config_for(server, tmp_path)
    syncs = note_syncs(monkeypatch, tmp_path / "run" / "prepared.json")
    prepare(config)
    assert [path for path in syncs.before if path.parent == tmp_path / "run"]
    assert syncs.after == {tmp_path / "run"}


def test_second_prep_finds_everything(server: FaultyServer, tmp_path: Path) -> None:
    prepare(config_for(server, tmp_path, "first"))
    _, events = prepare(config_for(server, tmp_path, "second"))
    assert all(event.cached for event in events if isinstance(event, PrepProgress))
    assert len(server.ranges) == 2


def spoil(miniature: Miniature, how: str) -> None:
    """Damage the served files."""
    if how == "html labels":
        miniature.labels.write_text("<!DOCTYPE html><title>cleaned_labels.json</title>")
    elif how == "labels cut":
        miniature.labels.write_bytes(miniature.labels.read_bytes()[:-300])
    elif how == "archive cut":
        miniature.archive.write_bytes(miniature.archive.read_bytes()[:6000])
    else:
        with tarfile.open(miniature.archive) as tar:
            names = tar.getnames()
        with tarfile.open(miniature.archive, "w") as tar:
            for name in names[: -1 if how == "image missing" else None]:
                add_file(tar, name, b"no image")


@pytest.mark.parametrize(
    ("how", "error", "words"),
    [
        ("html labels", UnavailableError, "HTML"),
        ("labels cut", DataError, "truncated|not valid JSON"),
        ("archive cut", DataError, "truncated"),
        ("image missing", DataError, "00011.jpg|is no JPEG"),
        ("images undecodable", DataError, "no record is usable"),
    ],
)
def test_bad_source_is_a_verdict(
    server: FaultyServer,
    miniature: Miniature,
    tmp_path: Path,
    how: str,
    error: type[RunError],
    words: str,
) -> None:
    spoil(miniature, how)
    with pytest.raises(error, match=words):
        prepare(config_for(server, tmp_path))
    assert not (tmp_path / "run" / "prepared.json").exists()
    for folder in (tmp_path / "cache" / "units").glob("[!.]*"):
        verify(folder)


def test_dropped_records_are_counted(
    server: FaultyServer, miniature: Miniature, tmp_path: Path
) -> None:
    records = [*miniature.records, {**miniature.records[0], "id": "lost", "image": "lost.jpg"}]
    miniature.labels.write_text(json.dumps(records))
    config = config_for(server, tmp_path, missing_images="Drop", max_missing=1)
    prepared, _ = prepare(config)
    assert (prepared.num_records, prepared.num_dropped) == (len(miniature.records), 1)
    assert json.loads(prepared.gate_report.read_text())["bad"][0]["id"] == "lost"


def test_a_number_of_records_that_was_not_published_is_told(
    server: FaultyServer, miniature: Miniature, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    labels, images = PrepConfig.read(config_for(server, tmp_path)).sources
    published = labels.model_copy(update={"num_records": 200_534})
    prepare(config_for(server, tmp_path, sources=(published, images)))
    said = f"q-instruct-labels has {len(miniature.records)} records, 200,534 were published"
    assert said in caplog.messages


def test_label_file_changed_on_this_machine_is_taken(
    server: FaultyServer, miniature: Miniature, tmp_path: Path
) -> None:
    local = Source(name="q-instruct-labels", kind="labels", url=miniature.labels.as_uri())
    images = PrepConfig.read(config_for(server, tmp_path)).sources[1]
    config = config_for(server, tmp_path, sources=(local, images))
    prepare(config)
    miniature.labels.write_text(json.dumps(miniature.records[:6]))
    assert prepare(config)[0].num_records == 6
