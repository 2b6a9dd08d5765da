from pathlib import Path

from qinstruct_trainer.contract.launch import contents_command, prep_command, train_command


def test_the_command_of_prep() -> None:
    assert prep_command("python", Path("/etc/qinstruct/prep.json")) == [
        *("python", "-m", "qinstruct_trainer", "prep", "--config", "/etc/qinstruct/prep.json"),
    ]


def test_torchrun_starts_as_many_processes_as_are_planned() -> None:
    assert train_command("/venv/bin/python", Path("/run.json"), 8) == [
        *("/venv/bin/python", "-m", "qinstruct_trainer.torchrun", "--nproc-per-node=8"),
        *("-m", "qinstruct_trainer", "train", "--config", "/run.json"),
    ]


def test_the_command_that_says_what_is_installed() -> None:
    assert contents_command("python") == ["python", "-m", "qinstruct_trainer", "contents"]
