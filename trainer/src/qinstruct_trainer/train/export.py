"""The end of training: the model in the hub layout, loaded back before it gets its name."""

import shutil
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from torch import Tensor

from qinstruct_trainer.contract import output_files
from qinstruct_trainer.contract.config import Prepared, RunConfig
from qinstruct_trainer.contract.errors import DataError
from qinstruct_trainer.contract.events import Exported, emit
from qinstruct_trainer.data import Example, Index, collate
from qinstruct_trainer.durable_files import sync_path, write_durably
from qinstruct_trainer.lease import Lease
from qinstruct_trainer.model.export import check_export, dry_run_export, write_export
from qinstruct_trainer.train.checkpoint.identity import Identity
from qinstruct_trainer.train.engine import Engine
from qinstruct_trainer.train.files import num_bytes, storage_errors, sync_tree
from qinstruct_trainer.train.ranks import Ranks

_SEARCHED = 1000  # records looked at for one with an image


def has_export(output: Path, identity: Identity) -> bool:
    """Whether this run's finished model is there; it gets its name only when it is complete.

    Raises:
        ConfigError: there is one, of another run: nothing is overwritten.
        DataError: there is one, and nothing says whose.
    """
    model, owner = export_folder(output), output / output_files.IDENTITY
    if not model.is_dir():
        return False
    try:
        found = Identity.model_validate_json(owner.read_bytes())
    except (OSError, ValidationError) as error:
        raise DataError(
            f"{model} is there, but {owner} does not say which run made it; move it away, or give "
            "the run another output claim"
        ) from error
    identity.check(found, model)
    return True


def say_whose_export(output: Path, identity: Identity) -> None:
    """Leave the run's identity where `has_export` looks for it; before the model is there.

    Raises:
        StorageError: the output folder cannot be written.
    """
    path = output / output_files.IDENTITY
    with storage_errors(str(path)):
        write_durably(path, identity.model_dump_json(indent=1) + "\n")


def export_folder(output: Path) -> Path:
    """Where the finished model is."""
    return output / output_files.MODEL


def rehearse_export(engine: Engine, prepared: Prepared, output: Path, ranks: Ranks) -> None:
    """Write everything of the export but the weights, and remove it again.

    Raises:
        StorageError: the output folder cannot be written.
    """
    if ranks.is_main:
        partial = _empty(output)
        with storage_errors(f"the model {partial}"):
            dry_run_export(engine.model, prepared.model, partial)
            shutil.rmtree(partial)


def export(
    engine: Engine,
    config: RunConfig,
    prepared: Prepared,
    index: Index,
    ranks: Ranks,
    lease: Lease | None,
) -> None:
    """Gather, write, load back, compare, publish by one rename. A collective call.

    Raises:
        StorageError: the disk is full or broken.
        RunError: what was written is not the model in memory.
    """
    vision: Any = engine.model.config.vision_config
    input_ids, pixel_values = _probe(index, vision.image_size)
    logits = engine.logits(input_ids.to(ranks.device), pixel_values.to(ranks.device))
    weights = engine.full_state_dict(keep=ranks.is_main)
    if not ranks.is_main:
        return
    final = export_folder(config.output)
    partial = _empty(config.output)
    with storage_errors(f"the model {final}"):
        write_export(engine.model, weights, prepared.model, partial)
        check_export(
            partial,
            precision=config.precision,
            input_ids=input_ids,
            pixel_values=pixel_values,
            expected=logits.cpu(),
        )
        sync_tree(partial)
        if lease is not None:
            lease.check()
        partial.rename(final)
        sync_path(config.output)
    emit(Exported(path=str(final), num_bytes=num_bytes(final)))


def _probe(index: Index, image_size: int) -> tuple[Tensor, Tensor]:
    """Ids [1, T] and pixels [1, 3, S, S] of a record that shows one whole image, if there is one.

    In a data set without images the pixels are those of a record without: T placeholders are 0.
    """
    candidates = (index[i] for i in range(min(len(index), _SEARCHED)))
    example = next((e for e in candidates if _shows_one_image(index, e)), index[0])
    batch = collate([example], index.meta.pad_token_id, image_size)
    return batch.input_ids, batch.pixel_values


def _shows_one_image(index: Index, example: Example) -> bool:
    whole = index.meta.num_image_tokens
    return [length for _, length in example.image_runs] == [whole]


def _empty(output: Path) -> Path:
    """The partial folder, free of what a killed attempt may have left."""
    partial = output / output_files.PARTIAL_MODEL
    shutil.rmtree(partial, ignore_errors=True)
    return partial
