"""`qinstruct run` on a served miniature of Q-Instruct: to the end, stopped, killed, misled."""

import signal
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from qinstruct_trainer.contract.config import Prepared
from qinstruct_trainer.contract.errors import (
    EXIT_CONFIG,
    EXIT_DATA,
    EXIT_OK,
    EXIT_STOPPED,
    EXIT_UNAVAILABLE,
)
from qinstruct_trainer.contract.events import PrepDone, parse_line
from support.cli.run_command import (
    Command,
    processes_that_mention,
    read_until,
    wait_until,
    write_spec,
)
from support.prep.file_server import FaultyServer, serve
from support.prep.miniature import ARCHIVE, add_file, write_miniature

pytestmark = pytest.mark.slow

TRAINING = {"globalBatchSize": 4, "epochs": 3}  # 36 records: 27 steps


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultyServer]:
    folder = tmp_path_factory.mktemp("served")
    write_miniature(folder)
    with serve(folder) as served:
        yield served


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, server: FaultyServer) -> Command:
    """The file and the cache that the runs below share."""
    folder = tmp_path_factory.mktemp("runs")
    file = write_spec(folder, server.url, training=TRAINING)
    return Command(file, folder / "whole", folder / "cache")


@pytest.fixture(scope="module")
def whole(shared: Command) -> tuple[Command, str]:
    """An uninterrupted run, and what it printed."""
    code, said = shared.run()
    assert code == EXIT_OK, said
    return shared, said


def test_a_run_over_http_ends_in_a_model(whole: tuple[Command, str]) -> None:
    command, said = whole
    for text in (
        "fetch q-instruct-images: ",
        "data ready: 36 records",
        "starting: 27 steps, 36 records",
        "step 27 of 27  loss ",
        "checkpoint after step 27",
        "model exported",
        f"model       {command.folder}/model",
        f"logs        {command.folder}/logs",
    ):
        assert text in said
    for name in ("config.json", "model.safetensors", "tokenizer_config.json"):
        assert (command.folder / "model" / name).is_file()
    assert (command.folder / "loss.png").read_bytes().startswith(b"\x89PNG")
    assert len((command.folder / "metrics.jsonl").read_text().splitlines()) == 27


def test_a_complete_run_says_so(whole: tuple[Command, str]) -> None:
    command, _ = whole
    before = command.weights()
    code, said = command.run()
    assert (code, command.weights()) == (EXIT_OK, before)
    assert said.startswith(f"this run is already complete: {command.folder}\n")
    assert f"model       {command.folder}/model" in said


def test_other_values_in_the_same_folder_are_refused(
    whole: tuple[Command, str], server: FaultyServer, tmp_path: Path
) -> None:
    command, _ = whole
    file = write_spec(tmp_path, server.url, training=TRAINING | {"seed": 1})
    code, said = Command(file, command.workdir, command.cache).run()
    assert code == EXIT_CONFIG
    assert "holds a training that began with seed 42, and the file now says 1; " in said


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_run_goes_on_to_the_same_weights(
    number: int, whole: tuple[Command, str], tmp_path: Path
) -> None:
    uninterrupted, _ = whole
    command = Command(uninterrupted.file, tmp_path, uninterrupted.cache)
    with command.start() as process:
        read_until(process, "step 1 of 27")
        process.send_signal(number)
        said, _ = process.communicate()
    assert process.returncode == EXIT_STOPPED
    assert "saving a checkpoint ... (Ctrl-C again to kill)" in said
    assert f"go on with: qinstruct run {command.file} --workdir {tmp_path}" in said
    assert "Traceback" not in said
    assert processes_that_mention(str(tmp_path)) == []

    code, said = command.run()

    assert code == EXIT_OK
    assert "extract q-instruct-images: from the cache" in said
    assert "resuming after step " in said
    assert command.weights() == uninterrupted.weights()


def test_a_killed_command_leaves_no_process_and_goes_on(
    whole: tuple[Command, str], tmp_path: Path
) -> None:
    uninterrupted, _ = whole
    command = Command(uninterrupted.file, tmp_path, uninterrupted.cache)
    with command.start() as process:
        read_until(process, "step 1 of 27")
        process.kill()
        process.wait()
        wait_until(lambda: processes_that_mention(str(tmp_path)) == [])

    code, said = command.run()

    assert code == EXIT_OK, said
    assert command.weights() == uninterrupted.weights()


def test_stopped_and_killed_in_the_middle_of_a_download(
    server: FaultyServer, tmp_path: Path
) -> None:
    """The server sends half of the file and falls silent; then it behaves."""
    command = Command(write_spec(tmp_path, server.url), tmp_path, tmp_path / "cache")
    for number, code in ((signal.SIGINT, EXIT_STOPPED), (signal.SIGKILL, -signal.SIGKILL)):
        server.faults[:] = ["slow"]
        with command.start() as process:
            wait_until(lambda: not server.faults)
            process.send_signal(number)
            process.communicate()
        assert process.returncode == code
        wait_until(lambda: processes_that_mention(str(tmp_path)) == [])

    prep = [sys.executable, "-m", "qinstruct_operator", "prep", "--config"]
    done = subprocess.run(
        [*prep, str(command.folder / "prep.json")], capture_output=True, text=True, check=True
    )

    assert isinstance(parse_line(done.stdout.splitlines()[-1], None), PrepDone)
    assert Prepared.read(command.folder / "prepared.json").num_records == 36


def test_a_page_instead_of_the_file(server: FaultyServer, tmp_path: Path) -> None:
    server.faults[:] = ["html"] * 9
    command = Command(write_spec(tmp_path, server.url), tmp_path, tmp_path / "cache")
    ended, said = command.run()
    server.faults[:] = []
    assert_refused(command, ended, said, EXIT_UNAVAILABLE, "HTML")


def test_a_wrong_digest(server: FaultyServer, tmp_path: Path) -> None:
    sources = {
        "q-instruct-labels": {"url": f"{server.url}/cleaned_labels.json", "sha256": "0" * 64},
        "q-instruct-images": {"url": f"{server.url}/{ARCHIVE}"},
    }
    file = write_spec(tmp_path, server.url, data={"sources": sources})
    command = Command(file, tmp_path, tmp_path / "cache")
    ended, said = command.run()
    assert_refused(command, ended, said, EXIT_DATA, "sha256")


def test_a_truncated_archive(tmp_path: Path) -> None:
    miniature = write_miniature(tmp_path / "served")
    whole = miniature.archive.read_bytes()
    miniature.archive.write_bytes(whole[: len(whole) // 2])
    with serve(tmp_path / "served") as server:
        command = Command(write_spec(tmp_path, server.url), tmp_path, tmp_path / "cache")
        ended, said = command.run()
    assert_refused(command, ended, said, EXIT_DATA, "the archive is truncated")


def test_a_missing_image(tmp_path: Path) -> None:
    miniature = write_miniature(tmp_path / "served")
    with tarfile.open(miniature.archive) as tar:
        *kept, missing = [(member.name, tar.extractfile(member)) for member in tar]
        contents = [(name, stream.read()) for name, stream in kept if stream]
    with tarfile.open(miniature.archive, "w") as tar:
        for name, content in contents:
            add_file(tar, name, content)
    with serve(tmp_path / "served") as server:
        command = Command(write_spec(tmp_path, server.url), tmp_path, tmp_path / "cache")
        ended, said = command.run()
    assert_refused(command, ended, said, EXIT_DATA, missing[0])


def assert_refused(command: Command, ended: int, said: str, code: int, text: str) -> None:
    """One sentence with this text, where the log is, no traceback, and no training."""
    assert ended == code, said
    assert "Traceback" not in said
    (sentence,) = [line for line in said.splitlines() if line.startswith("prep failed: ")]
    assert text in sentence
    assert said.endswith(f"the whole log: {command.folder}/logs/prep.log\n")
    assert not (command.folder / "checkpoints").exists()
