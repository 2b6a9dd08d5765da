import os
import subprocess
import sys

from qinstruct_trainer.process_stat import live_stat
from support.running import is_running, wait_until


def test_of_a_live_process_state_and_start_are_known() -> None:
    fields = live_stat(os.getpid())
    assert fields[0] in "RSD"
    assert int(fields[1]) == os.getppid()
    assert int(fields[19]) > 0


def test_of_an_ended_process_nothing_is_known_before_and_after_it_is_waited_for() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    wait_until(lambda: not is_running(process.pid))
    assert live_stat(process.pid) == []
    process.wait()
    assert live_stat(process.pid) == []
