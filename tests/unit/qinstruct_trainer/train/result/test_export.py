import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from torch import Tensor
from transformers import LlavaForConditionalGeneration

from qinstruct_trainer.contract.config import Prepared
from qinstruct_trainer.contract.errors import (
    ConfigError,
    DataError,
    OutputBusyError,
    StorageError,
)
from qinstruct_trainer.contract.events import Exported, parse_line
from qinstruct_trainer.data.index.reader import Index
from qinstruct_trainer.heartbeats import Heartbeat
from qinstruct_trainer.lease import Lease
from qinstruct_trainer.model.export import probe_logits
from qinstruct_trainer.model.llava import load_checked
from qinstruct_trainer.train.checkpoint.identity import Identity
from qinstruct_trainer.train.context import RunContext
from qinstruct_trainer.train.engine import Engine
from qinstruct_trainer.train.ranks import Ranks
from qinstruct_trainer.train.result.export import export, has_export, write_export_identity
from support.syncs import note_syncs
from support.training.prepared_folder import write_prepared
from support.training.run_configs import run_config


class WholeEngine(Engine):
    """A model that is whole in this process, as if it had been trained."""

    def __init__(self, folder: Path):
        self._whole = load_checked(folder, precision="fp32")

    @property
    def model(self) -> LlavaForConditionalGeneration:
        return self._whole

    def logits(self, input_ids: Tensor, pixel_values: Tensor) -> Tensor:
        return probe_logits(self._whole, input_ids, pixel_values)

    def gathered(self) -> Iterator[tuple[str, Tensor]]:
        yield from self._whole.named_parameters()

    def full_state_dict(self, *, keep: bool) -> dict[str, Tensor]:
        return dict(self.gathered()) if keep else {}


@pytest.fixture(scope="module")
def prepared_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_prepared(tmp_path_factory.mktemp("prepared"))


@pytest.fixture(scope="module")
def identity(prepared_file: Path) -> Identity:
    return identity_of(prepared_file)


def identity_of(path: Path) -> Identity:
    prepared = Prepared.read(path)
    return Identity.of(run_config(path, path.parent), prepared, Index.open(prepared.index))


def export_to(output: Path, prepared_file: Path, lease: Lease | None = None) -> None:
    prepared = Prepared.read(prepared_file)
    config = run_config(prepared_file, output, world_size=1, micro_batch_size=4)
    run = RunContext(
        config=config,
        prepared=prepared,
        index=Index.open(prepared.index),
        identity=identity_of(prepared_file),
        ranks=Ranks(rank=0, local_rank=0, world_size=1),
        lease=lease,
        heartbeat=Heartbeat.unwatched(),
    )
    export(WholeEngine(prepared.model), run)


def test_a_model_is_on_the_disk_before_it_has_its_name(
    prepared_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    model, partial = tmp_path / "model", tmp_path / "model.partial"
    syncs = note_syncs(monkeypatch, model)
    export_to(tmp_path, prepared_file)
    written = {partial / path.relative_to(model) for path in model.rglob("*")}
    assert syncs.before >= {partial, *written}
    assert syncs.after == {tmp_path}
    event = parse_line(capsys.readouterr().out.splitlines()[-1], None)
    assert isinstance(event, Exported)
    assert event.path == str(model)
    assert event.num_bytes == sum(path.stat().st_size for path in model.iterdir())


def test_a_run_that_has_lost_its_lease_publishes_no_model(
    prepared_file: Path, tmp_path: Path
) -> None:
    with Lease.acquire(tmp_path / "lease", "one") as lease:
        (tmp_path / "lease.2").touch()  # as a process does that takes the lease over
        with pytest.raises(OutputBusyError, match="taken over"):
            export_to(tmp_path, prepared_file, lease)
    assert not (tmp_path / "model").exists()


def test_what_a_killed_export_has_left_is_no_part_of_the_model(
    prepared_file: Path, tmp_path: Path
) -> None:
    partial = tmp_path / "model.partial"
    partial.mkdir()
    (partial / "model-00001-of-00002.safetensors").write_bytes(b"half")
    export_to(tmp_path, prepared_file)
    assert [path.name for path in (tmp_path / "model").glob("*.safetensors")] == [
        "model.safetensors"
    ]
    assert not partial.exists()


def test_a_planted_link_does_not_lead_the_model_elsewhere(
    prepared_file: Path, tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "config.json").write_text("another model's")
    (tmp_path / "model.partial").symlink_to("other")
    export_to(tmp_path, prepared_file)
    assert [path.name for path in (tmp_path / "other").iterdir()] == ["config.json"]
    assert (tmp_path / "other" / "config.json").read_text() == "another model's"
    assert not (tmp_path / "model").is_symlink()


def test_whose_model_it_is_survives_a_power_cut(
    identity: Identity, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    syncs = note_syncs(monkeypatch, tmp_path / "identity.json")
    write_export_identity(tmp_path, identity)
    assert len(syncs.before) == 1
    assert syncs.after == {tmp_path}


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


@pytest.mark.parametrize(
    "content", [None, "{", "[" * 10**5, "pipe"], ids=["no file", "a torn file", "deep", "a pipe"]
)
def test_a_model_that_no_run_claims_is_refused(
    content: str | None, identity: Identity, tmp_path: Path
) -> None:
    (tmp_path / "model").mkdir()
    if content == "pipe":
        os.mkfifo(tmp_path / "identity.json")
    elif content is not None:
        (tmp_path / "identity.json").write_text(content)
    with pytest.raises(DataError, match="does not say which run made it"):
        has_export(tmp_path, identity)


def test_an_output_folder_that_cannot_be_written_is_said(
    identity: Identity, tmp_path: Path
) -> None:
    with pytest.raises(StorageError, match=r"identity\.json cannot be written"):
        write_export_identity(tmp_path / "missing", identity)
