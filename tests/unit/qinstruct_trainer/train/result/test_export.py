from pathlib import Path

import pytest

from qinstruct_trainer.contract.config import Prepared
from qinstruct_trainer.contract.errors import ConfigError, DataError, StorageError
from qinstruct_trainer.data.index.reader import Index
from qinstruct_trainer.train.checkpoint.identity import Identity
from qinstruct_trainer.train.result.export import has_export, write_export_identity
from support.training.prepared_folder import run_config, write_prepared


@pytest.fixture(scope="module")
def identity(tmp_path_factory: pytest.TempPathFactory) -> Identity:
    path = write_prepared(tmp_path_factory.mktemp("prepared"))
    prepared = Prepared.read(path)
    return Identity.of(run_config(path, path.parent), prepared, Index.open(prepared.index))


def test_a_run_without_a_model_has_no_export(identity: Identity, tmp_path: Path) -> None:
    write_export_identity(tmp_path, identity)
    (tmp_path / "model.partial").mkdir()
    assert not has_export(tmp_path, identity)


def test_a_run_knows_its_own_model(identity: Identity, tmp_path: Path) -> None:
    write_export_identity(tmp_path, identity)
    (tmp_path / "model").mkdir()
    assert has_export(tmp_path, identity)


def test_the_model_of_another_run_is_refused(identity: Identity, tmp_path: Path) -> None:
    write_export_identity(tmp_path, identity.model_copy(update={"seed": 8}))
    (tmp_path / "model").mkdir()
    with pytest.raises(ConfigError, match="written with seed 8, but the run now has 7"):
        has_export(tmp_path, identity)


@pytest.mark.parametrize("content", [None, "{"], ids=["no file", "a torn file"])
def test_a_model_that_no_run_claims_is_refused(
    content: str | None, identity: Identity, tmp_path: Path
) -> None:
    (tmp_path / "model").mkdir()
    if content is not None:
        (tmp_path / "identity.json").write_text(content)
    with pytest.raises(DataError, match="does not say which run made it"):
        has_export(tmp_path, identity)


def test_an_output_folder_that_cannot_be_written_is_said(
    identity: Identity, tmp_path: Path
) -> None:
    with pytest.raises(StorageError, match=r"identity\.json cannot be written"):
        write_export_identity(tmp_path / "missing", identity)
