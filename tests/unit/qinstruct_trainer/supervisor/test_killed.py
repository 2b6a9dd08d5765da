import signal

from qinstruct_trainer.contract.errors import EXIT_SOFTWARE
from qinstruct_trainer.supervisor.killed import killed


def test_a_signal_is_named_with_what_it_most_often_means() -> None:
    event = killed("rank 3", signal.SIGKILL, out_of_memory=False)
    assert (event.reason, event.exit_code) == ("Killed", 137)
    assert event.message.startswith("rank 3 was killed by SIGKILL, most often because memory ran")


def test_what_the_kernel_killed_for_want_of_memory_says_what_to_change() -> None:
    event = killed("rank 3", signal.SIGKILL, out_of_memory=True)
    assert (event.reason, event.exit_code) == ("OutOfMemory", EXIT_SOFTWARE)
    assert "most often" not in event.message
    assert "lower training.microBatchSize" in event.message


def test_another_signal_is_not_the_kernels_for_want_of_memory() -> None:
    event = killed("rank 3", signal.SIGSEGV, out_of_memory=True)
    assert (event.reason, event.exit_code) == ("Killed", 139)
