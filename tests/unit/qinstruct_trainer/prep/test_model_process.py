"""The model is built by another process, which ends with this one; its errors are told here."""

import json
import multiprocessing
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from qinstruct_trainer.contract.config import ModelSource
from qinstruct_trainer.contract.errors import EXIT_OK
from qinstruct_trainer.durable_files import sha256_of
from qinstruct_trainer.prep.model_process import ModelTask, _send, build_apart
from support.running import is_running, wait_until

# Builds; says what it was told of progress or of an error, and whether torch is here.
PROGRAM = """
import multiprocessing, os, pickle, signal, sys, threading, time
from pathlib import Path
from qinstruct_trainer.contract.errors import RunError
from qinstruct_trainer.prep.model_process import build_apart

def with_child(do):
    while not multiprocessing.active_children():
        time.sleep(0.01)
    do(multiprocessing.active_children()[0].pid)

def say(pid):
    print(pid, flush=True)

task = pickle.loads(Path(sys.argv[1]).read_bytes())
if sys.argv[2] == "kill":
    kill = lambda pid: os.kill(pid, signal.SIGKILL)
    threading.Thread(target=with_child, args=(kill,)).start()
if sys.argv[2] == "say":
    threading.Thread(target=with_child, args=(say,)).start()
try:
    build_apart(task, lambda done, total: print(done, total))
except RunError as error:
    print(type(error).__name__, error)
print("torch" in sys.modules)
"""


def task(tmp_path: Path, source: ModelSource, name: str = "model") -> ModelTask:
    said = [{"from": "human", "value": "Is it sharp?"}, {"from": "gpt", "value": "Rather dim."}]
    lines = [json.dumps({"id": number, "conversations": said}) for number in range(40)]
    (tmp_path / "records.jsonl").write_text("\n".join(lines))
    (tmp_path / name).mkdir()
    records = tmp_path / "records.jsonl"
    return ModelTask(source, tmp_path / name, 7, records, tmp_path / "hub", None)


def command(task: ModelTask, mode: str = "") -> list[str]:
    path = task.records.with_name("task")
    path.write_bytes(pickle.dumps(task))
    return [sys.executable, "-c", PROGRAM, str(path), mode]


def said(task: ModelTask, mode: str = "") -> list[str]:
    done = subprocess.run(command(task, mode), capture_output=True, text=True, check=True)
    assert "Traceback" not in done.stderr
    return done.stdout.splitlines()


def digests(folder: Path) -> dict[str, str]:
    return {path.name: sha256_of(path) for path in folder.iterdir()}


def test_the_model_is_the_same_and_torch_stays_in_the_other_process(tmp_path: Path) -> None:
    apart = task(tmp_path, ModelSource(kind="tiny"))
    here = task(tmp_path, ModelSource(kind="tiny"), "here")
    *told, has_torch = said(apart)
    assert "torch" in sys.modules  # so that it is built here
    seen: list[str] = []
    build_apart(here, lambda done, total: seen.append(f"{done} {total}"))
    assert told == seen != []
    assert has_torch == "False"
    assert digests(apart.folder) == digests(here.folder) != {}


def test_what_is_wrong_is_told_in_the_same_sentence(tmp_path: Path) -> None:
    wrong = task(tmp_path, ModelSource(kind="llava", base=str(tmp_path / "no folder")))
    with pytest.raises(Exception, match="no folder") as caught:
        build_apart(wrong, lambda *_: None)
    assert said(wrong) == [f"{type(caught.value).__name__} {caught.value}", "False"]


def test_a_killed_process_is_a_sentence(tmp_path: Path) -> None:
    sentence, _ = said(task(tmp_path, ModelSource(kind="tiny")), "kill")
    assert sentence == (
        "OutOfMemoryError the process that builds the starting model was killed by SIGKILL, most "
        "often because memory ran out; give prep more memory"
    )


def test_it_ends_with_the_one_that_waits_for_it(tmp_path: Path) -> None:
    with subprocess.Popen(
        command(task(tmp_path, ModelSource(kind="tiny")), "say"), stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout
        child = int(parent.stdout.readline())
        assert is_running(child)
        parent.kill()
    assert parent.returncode != EXIT_OK
    wait_until(lambda: not is_running(child))


def test_an_exception_that_cannot_be_pickled_is_told_by_its_text() -> None:
    class LocalError(Exception):
        pass

    ours, theirs = multiprocessing.Pipe(duplex=False)
    _send(theirs, LocalError("of this test"))
    told = ours.recv()
    assert str(told) == "LocalError: of this test"
    assert told.__notes__
