"""One prepared folder and one uninterrupted run, shared by all training tests of a session."""

from pathlib import Path

import pytest

from qinstruct_trainer.contract.config import RunConfig
from support.training.prepared_folder import write_prepared
from support.training.processes import train
from support.training.run_configs import run_config


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_prepared(tmp_path_factory.mktemp("prepared"))


@pytest.fixture(scope="session")
def uninterrupted(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> RunConfig:
    """The configuration of a run that went from the first step to the last one."""
    config = run_config(prepared, tmp_path_factory.mktemp("uninterrupted"))
    ended = train(config)
    assert ended.code == 0, ended.stderr
    return config
