import os
import shutil
import signal
import subprocess
import sys
from argparse import Namespace
from pathlib import Path

import pytest
from torch.distributed.elastic.multiprocessing.errors import ProcessFailure

from qinstruct_trainer import torchrun
from qinstruct_trainer.contract.errors import (
    EXIT_DATA,
    EXIT_PEER_LOST,
    EXIT_SOFTWARE,
    EXIT_STOPPED,
)
from qinstruct_trainer.contract.events import (
    TERMINATION_LOG_ENV,
    Failed,
    parse_line,
    write_termination_message,
)
from qinstruct_trainer.heartbeats import LIMITS_ENV
from qinstruct_trainer.torchrun import conclude
from support.running import SECONDS

KILLED, TERMINATED = -signal.SIGKILL, -signal.SIGTERM
SENTENCE = Failed(reason="BadData", message="the sentence", exit_code=EXIT_DATA)


@pytest.fixture(autouse=True)
def _termination_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TERMINATION_LOG_ENV, str(tmp_path / "termination-log"))


def failures(*ends: tuple[int, int]) -> dict[int, ProcessFailure]:
    """Of rank 0, 1, ...: exit code, and the second in which it ended."""
    found = {}
    for rank, (code, second) in enumerate(ends):
        found[rank] = ProcessFailure(rank, pid=1000 + rank, exitcode=code, error_file="none")
        found[rank].timestamp = second
    return found


CAUSES: dict[str, tuple[list[tuple[int, int]], int]] = {
    "the earliest": ([(EXIT_SOFTWARE, 5), (EXIT_DATA, 4)], EXIT_DATA),
    "the lower rank of a tie": ([(EXIT_SOFTWARE, 5), (EXIT_DATA, 5)], EXIT_SOFTWARE),
    "not the one that lost its peer": ([(EXIT_PEER_LOST, 4), (EXIT_DATA, 5)], EXIT_DATA),
    "not the one that torchrun ended": ([(TERMINATED, 4), (EXIT_DATA, 5)], EXIT_DATA),
    "the killed one": ([(EXIT_SOFTWARE, 4), (KILLED, 5)], 137),
    "asked to stop": ([(EXIT_STOPPED, 5), (EXIT_STOPPED, 5)], EXIT_STOPPED),
    "ended before training": ([(TERMINATED, 5), (TERMINATED, 5)], 143),
}


@pytest.mark.parametrize(("ends", "expected"), CAUSES.values(), ids=CAUSES)
def test_the_exit_code_is_that_of_the_cause(ends: list[tuple[int, int]], expected: int) -> None:
    assert conclude(failures(*ends)) == expected


def test_a_killed_rank_gets_an_event(capsys: pytest.CaptureFixture[str]) -> None:
    conclude(failures((EXIT_PEER_LOST, 4), (KILLED, 5)))
    said = capsys.readouterr()
    event = parse_line(said.out, None)
    assert isinstance(event, Failed)
    assert (event.reason, event.exit_code) == ("Killed", 137)
    assert event.message.startswith("rank 1 was killed by SIGKILL, most often because memory")
    assert said.err == f"{event.message}\n"


@pytest.mark.parametrize(
    ("number", "hint"),
    [
        (
            signal.SIGABRT,
            "by SIGABRT, most often because torch gave up on a collective call",
        ),
        (signal.SIGBUS, "killed by SIGBUS, most often because shared memory or a disk is full"),
        (signal.SIGSEGV, "killed by SIGSEGV; start the same command again"),
    ],
)
def test_a_signal_says_what_it_most_often_means(
    number: signal.Signals, hint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    conclude(failures((EXIT_PEER_LOST, 4), (-number, 5)))
    assert hint in capsys.readouterr().err


def test_a_rank_that_the_kernel_killed_for_want_of_memory_ends_as_such(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Another try would be killed again: the code is none that is retried."""
    ends = failures((EXIT_PEER_LOST, 4), (KILLED, 5))
    assert conclude(ends, out_of_memory=True) == EXIT_SOFTWARE
    event = parse_line(capsys.readouterr().out, None)
    assert isinstance(event, Failed)
    assert (event.reason, event.exit_code) == ("OutOfMemory", EXIT_SOFTWARE)
    assert event.message.startswith("rank 1 was killed by the kernel")


def test_a_rank_that_fails_otherwise_while_the_kernel_kills_another_process_says_why() -> None:
    write_termination_message(SENTENCE)
    assert conclude(failures((EXIT_DATA, 4)), out_of_memory=True) == EXIT_DATA


def test_a_reason_that_a_rank_has_written_is_not_repeated(
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_termination_message(SENTENCE)
    conclude(failures((EXIT_DATA, 4), (EXIT_PEER_LOST, 5)))
    assert capsys.readouterr().out == ""


def test_the_reason_of_another_rank_is_printed_where_rank_0_was_ended(
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_termination_message(SENTENCE)
    conclude(failures((TERMINATED, 5), (EXIT_DATA, 4)))
    assert parse_line(capsys.readouterr().out, None) == SENTENCE


def test_a_stop_is_no_failure(capsys: pytest.CaptureFixture[str]) -> None:
    conclude(failures((EXIT_STOPPED, 5)))
    assert capsys.readouterr() == ("", "")


RANKS = Namespace(nproc_per_node="2", module=True, training_script="qinstruct_trainer")
NO_FORKS: dict[str, dict[str, object]] = {
    "another program": {"module": False, "training_script": "worker.py"},
    "another module": {"training_script": "another"},
    "as many as there are GPUs": {"nproc_per_node": "gpu"},
}


@pytest.fixture
def _imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torchrun, "_import_training", lambda: None)
    monkeypatch.setattr(torchrun, "has_opened", lambda _device: False)


@pytest.mark.usefixtures("_imported")
def test_ranks_of_ours_are_forks() -> None:
    assert torchrun._num_forks(RANKS) == 2


@pytest.mark.usefixtures("_imported")
@pytest.mark.parametrize("change", NO_FORKS.values(), ids=NO_FORKS)
def test_what_else_torchrun_starts_is_no_fork(change: dict[str, object]) -> None:
    assert torchrun._num_forks(Namespace(**vars(RANKS) | change)) == 0


@pytest.mark.usefixtures("_imported")
def test_ranks_are_no_forks_where_imports_fail_or_have_opened_a_gpu(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail() -> None:
        raise OSError("a library is damaged")

    with monkeypatch.context() as patch:
        patch.setattr(torchrun, "_import_training", fail)
        assert torchrun._num_forks(RANKS) == 0
    monkeypatch.setattr(torchrun, "has_opened", lambda device: device == "/dev/nvidia-uvm")
    assert torchrun._num_forks(RANKS) == 0


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")
@pytest.mark.parametrize("devices", ["", "0"])
def test_what_ranks_are_forked_from_has_not_called_cuda(devices: str, tmp_path: Path) -> None:
    """CUDA works in no fork of a process that has called its driver, even to count GPUs.

    Here the driver is a library whose functions only say that they were called, NVML one that
    knows a GPU, and flash-attn an empty package.
    """
    names = ("cuInit", "cuDriverGetVersion", "cuGetProcAddress", "cuGetProcAddress_v2")
    body = '{ open(getenv("WITNESS"), O_CREAT | O_WRONLY, 0600); return 999; }'
    _compile(tmp_path / "libcuda.so.1", *(f"int {name}(void) {body}" for name in names))
    count = "int nvmlDeviceGetCount_v2(unsigned *n) { *n = 1; return 0; }"
    _compile(tmp_path / "libnvidia-ml.so.1", "int nvmlInit(void) { return 0; }", count)
    (tmp_path / "flash_attn").mkdir()
    (tmp_path / "flash_attn" / "__init__.py").write_text("")
    facts = tmp_path / "flash_attn-2.8.3.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: flash-attn\nVersion: 2.8.3\n")
    (facts / "top_level.txt").write_text("flash_attn\n")
    witness = tmp_path / "called"
    environment = os.environ | {
        "CUDA_VISIBLE_DEVICES": devices,
        "LD_LIBRARY_PATH": str(tmp_path),
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(tmp_path),
        "WITNESS": str(witness),
    }

    # A library that other tests import may have set it in this process.
    environment.pop("PYTORCH_NVML_BASED_CUDA_CHECK", None)

    def run(*lines: str) -> None:
        subprocess.run([sys.executable, "-c", "\n".join(lines)], env=environment, check=True)

    run(
        "import os",
        "from qinstruct_trainer.torchrun import _import_training",
        "_import_training()",
        "assert os.listdir('/proc/self/task') == [str(os.getpid())], 'it has threads'",
        f"assert not {devices!r} or 'PYTORCH_NVML_BASED_CUDA_CHECK' not in os.environ",
        "from transformers.utils import is_flash_attn_2_available",
        f"assert is_flash_attn_2_available() == bool({devices!r})",
    )
    assert not witness.exists()
    run("from transformers.utils import is_flash_attn_2_available as f", "assert not f()")
    assert witness.exists()  # it would have been seen


def _compile(library: Path, *functions: str) -> None:
    source = library.with_suffix(".c")
    source.write_text("\n".join(["#include <stdlib.h>", "#include <fcntl.h>", *functions, ""]))
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source], check=True)


def test_a_stop_signal_during_the_imports_is_heeded(tmp_path: Path) -> None:
    """In a container this is process 1, to which a signal without a handler means nothing."""
    (tmp_path / "torch.py").write_text(
        f"import time; print('importing', flush=True); time.sleep({10 * SECONDS})"
    )
    command = [sys.executable, "-m", "qinstruct_trainer.torchrun", "--nproc-per-node=2"]
    with subprocess.Popen(
        [*command, "-m", "qinstruct_trainer", "--help"],
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"importing\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait(SECONDS) == 128 + signal.SIGTERM


@pytest.mark.slow
def test_imports_that_hang_end_with_their_stacks(tmp_path: Path) -> None:
    """Also where C code holds the interpreter, as while a library is loaded."""
    (tmp_path / "torch.py").write_text(
        f"import ctypes; ctypes.PyDLL(None).sleep({10 * SECONDS})\nnever = 1\n"
    )
    command = [sys.executable, "-m", "qinstruct_trainer.torchrun", "--nproc-per-node=2"]
    ended = subprocess.run(
        [*command, "-m", "qinstruct_trainer", "--help"],
        env=os.environ | {"PYTHONPATH": str(tmp_path), LIMITS_ENV: '{"long": 2}'},
        stderr=subprocess.PIPE,
        text=True,
        timeout=SECONDS,
    )
    assert ended.returncode == 1
    assert f'"{tmp_path / "torch.py"}", line 1 in <module>' in ended.stderr
