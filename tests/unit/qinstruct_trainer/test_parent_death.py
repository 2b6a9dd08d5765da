import os
import signal
import subprocess
import sys
from pathlib import Path

from qinstruct_trainer.contract.launch import ends_with_parent
from support.running import SECONDS, is_running, wait_until

SLEEP = f"import time; time.sleep({10 * SECONDS})"


def test_the_command_takes_the_place_of_the_program() -> None:
    command = [sys.executable, "-c", "import os, sys; print(os.getpid()); sys.exit(65)"]
    with subprocess.Popen(
        ends_with_parent(command, sys.executable, os.getpid()), stdout=subprocess.PIPE, text=True
    ) as child:
        said, _ = child.communicate()
    assert (child.returncode, int(said)) == (65, child.pid)


def test_a_parent_that_has_died_already_starts_nothing() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        gone.wait()
    command = [sys.executable, "-c", "print('started')"]
    done = subprocess.run(
        ends_with_parent(command, sys.executable, gone.pid), capture_output=True, check=False
    )
    assert (done.returncode, done.stdout) == (128 + signal.SIGTERM, b"")


def test_a_signal_of_the_process_s_choice_comes_when_the_parent_dies(tmp_path: Path) -> None:
    """SIGKILL, as ranks ask for, ends even a child that ignores what can be ignored."""
    child = (
        "import os, signal, time\n"
        "from qinstruct_trainer.parent_death import signal_on_parent_death\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "signal_on_parent_death(signal.SIGKILL)\n"
        f"print(os.getpid(), flush=True); {SLEEP}"
    )
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    assert_ends_with_parent(parent, tmp_path)


def test_a_worker_of_a_pool_ends_with_the_pool_s_owner(tmp_path: Path) -> None:
    owner = (
        "import multiprocessing, os, time\n"
        "from concurrent.futures import ProcessPoolExecutor\n"
        "from qinstruct_trainer.parent_death import kill_worker_with_pool\n"
        "context = multiprocessing.get_context('forkserver')\n"
        "pool = ProcessPoolExecutor(1, context, initializer=kill_worker_with_pool)\n"
        f"print(pool.submit(os.getpid).result(), flush=True); {SLEEP}"
    )
    assert_ends_with_parent(owner, tmp_path)


def assert_ends_with_parent(script: str, folder: Path) -> None:
    """Run a script that prints the process id of a descendant, and kill it."""
    said = folder / "said"
    with (
        said.open("w") as stream,
        subprocess.Popen([sys.executable, "-c", script], stdout=stream) as parent,
    ):
        wait_until(lambda: said.read_text().endswith("\n"))
        descendant = int(said.read_text())
        assert is_running(descendant)
        parent.kill()
    wait_until(lambda: not is_running(descendant))
