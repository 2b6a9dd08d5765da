from pathlib import Path

from qinstruct_trainer.contract.launch import (
    cache_command,
    contents_command,
    convert_command,
    data_command,
    ends_with_parent,
    prep_command,
    run_config_of,
    train_command,
)


def test_the_command_of_prep() -> None:
    assert prep_command("python", Path("/etc/qinstruct/prep.json")) == [
        *("python", "-m", "qinstruct_trainer", "prep", "--config", "/etc/qinstruct/prep.json"),
    ]


def test_a_command_that_ends_with_its_parent_is_the_same_command_behind_it() -> None:
    assert ends_with_parent(["/venv/bin/x", "--y"], "/venv/bin/python", 17) == [
        *("/venv/bin/python", "-m", "qinstruct_trainer.parent_death", "17", "/venv/bin/x", "--y"),
    ]


def test_torchrun_starts_as_many_processes_as_are_planned() -> None:
    assert train_command("/venv/bin/python", Path("/run.json"), 8) == [
        *("/venv/bin/python", "-m", "qinstruct_trainer.torchrun", "--nproc-per-node=8"),
        *("-m", "qinstruct_trainer", "train", "--config", "/run.json"),
    ]


def test_the_command_that_says_what_is_installed() -> None:
    assert contents_command("python") == ["python", "-m", "qinstruct_trainer", "contents"]


def test_the_command_of_the_way_back_takes_any_path() -> None:
    command = convert_command("python", Path("-m"), Path("llava"), "me/clip", with_tower=False)
    assert command == [
        *("python", "-m", "qinstruct_trainer", "convert", "--vision-tower=me/clip"),
        *("--without-tower", "--", "-m", "llava"),
    ]


def test_the_command_that_reports_on_data() -> None:
    assert data_command("python", ["x.json", "--seed=1"]) == [
        *("python", "-m", "qinstruct_trainer", "data", "x.json", "--seed=1"),
    ]


def test_a_command_of_a_cache() -> None:
    assert cache_command("python", ["ls", "--cache=/cache"]) == [
        *("python", "-m", "qinstruct_trainer", "cache", "ls", "--cache=/cache"),
    ]


def test_the_config_of_a_training_is_found_in_its_arguments() -> None:
    command = train_command("python", Path("/run.json"), 8)
    assert run_config_of(command[3:]) == Path("/run.json")
    assert run_config_of(["-m", "qinstruct_trainer", "--help"]) is None
    assert run_config_of(["-m", "qinstruct_trainer", "prep", "--config", "x"]) is None
    assert run_config_of([]) is None
