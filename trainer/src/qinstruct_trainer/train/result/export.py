"""The finished model in the hub layout, loaded back and compared before it gets its name."""

import os
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from torch import Tensor

from qinstruct_trainer.contract import output_files
from qinstruct_trainer.contract.config import Attention
from qinstruct_trainer.contract.errors import DataError, RunError
from qinstruct_trainer.contract.events import Exported, emit
from qinstruct_trainer.data.collate import collate
from qinstruct_trainer.data.index.reader import Example, Index
from qinstruct_trainer.durable_files import (
    delete_tree,
    num_bytes,
    read_bounded,
    sync_path,
    sync_tree,
    write_durably,
)
from qinstruct_trainer.model.export import (
    check_export,
    dry_run_export,
    first_difference,
    write_export,
)
from qinstruct_trainer.storage_errors import storage_errors
from qinstruct_trainer.train.checkpoint.identity import Identity
from qinstruct_trainer.train.context import RunContext
from qinstruct_trainer.train.engine import Engine

_MAX_IDENTITY_BYTES = 1 << 20
_MAX_SEARCHED = 1000  # records read to find one with an image


def has_export(output: Path, identity: Identity) -> bool:
    """Whether this run's finished model is there; it gets its name only when it is complete.

    Raises:
        ConfigError: there is one, of another run: nothing is overwritten.
        DataError: there is one, but no file that says which run made it.
    """
    model, owner = export_folder(output), output / output_files.IDENTITY
    if not model.is_dir():
        return False
    try:
        found = Identity.model_validate_json(read_bounded(owner, _MAX_IDENTITY_BYTES))
    except (OSError, ValidationError) as error:
        raise DataError(
            f"{model} is there, but {owner} does not say which run made it; move it away, or give "
            "the run another output claim"
        ) from error
    identity.check(found, model)
    return True


def write_export_identity(output: Path, identity: Identity) -> None:
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


def preflight_export(engine: Engine, run: RunContext) -> None:
    """Write everything of the export but the weights, and remove it again.

    Raises:
        RunError: transformers refuses to write a config.
        StorageError: the output folder cannot be written.
    """
    if run.ranks.is_main:
        folder = run.config.output / output_files.PARTIAL_MODEL
        with storage_errors(f"the model {folder}"):
            _remove_partial(run.config.output)
            dry_run_export(engine.model, run.prepared.model, folder)
            shutil.rmtree(folder)


def export(engine: Engine, run: RunContext) -> None:
    """Gather, write, load back, compare, publish by one rename. A collective call.

    Raises:
        StorageError: the disk is full or broken.
        RunError: what was written is not the model in training.
    """
    config, ranks = run.config, run.ranks
    vision: Any = engine.model.config.vision_config
    input_ids, pixel_values = _check_inputs(run.index, vision.image_size)
    logits = engine.logits(input_ids.to(ranks.device), pixel_values.to(ranks.device))
    weights = engine.full_state_dict(keep=ranks.is_main)
    final = export_folder(config.output)
    folder = config.output / output_files.PARTIAL_MODEL
    with storage_errors(f"the model {final}"):
        if ranks.is_main:
            write_export(engine.model, weights, run.prepared.model, _remove_partial(config.output))
        del weights  # the whole model
        wrong = first_difference(folder, engine.gathered(), compare=ranks.is_main)
        if not ranks.is_main:
            return
        if wrong is not None:
            raise RunError(
                f"{wrong} in {folder} is not what was trained; the checkpoint is kept: run again "
                "to export it, and check the disk if it happens again"
            )
        check = partial(
            check_export,
            folder,
            engine.model,
            precision=config.precision,
            input_ids=input_ids,
            pixel_values=pixel_values,
            expected=logits.cpu(),
        )
        _check_on_device(check, config.attention, ranks.device)
        sync_tree(folder)
        if run.lease is not None:
            run.lease.check()
        folder.rename(final)
        sync_path(config.output)
    emit(Exported(path=str(final), num_bytes=num_bytes(final)))


def _check_on_device(
    check: Callable[..., None], attention: Attention, device: torch.device
) -> None:
    """Check on the GPU, where the training state leaves room for the model, else on all cores.

    torchrun gives each rank one thread, with which a 13B model would hold the GPUs for minutes.
    """
    if device.type == "cuda":
        torch.cuda.empty_cache()
        try:
            check(device=device, attention=attention)
        except torch.OutOfMemoryError:
            torch.cuda.empty_cache()
        else:
            return
    threads = torch.get_num_threads()
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    try:
        check()
    finally:
        torch.set_num_threads(threads)


def _check_inputs(index: Index, image_size: int) -> tuple[Tensor, Tensor]:
    """Ids [1, T] and pixels [1, 3, S, S] that the exported model is compared on.

    They are those of a record that shows one whole image, if there is one early in the data set.
    """
    candidates = (index[i] for i in range(min(len(index), _MAX_SEARCHED)))
    example = next((e for e in candidates if _shows_one_image(index, e)), index[0])
    batch = collate([example], image_size)
    return batch.input_ids.unsqueeze(0), batch.pixel_values


def _shows_one_image(index: Index, example: Example) -> bool:
    whole = index.meta.num_image_tokens
    return [length for _, length in example.image_runs] == [whole]


def _remove_partial(output: Path) -> Path:
    """The path of the partial folder, without what a killed attempt may have left there."""
    folder = output / output_files.PARTIAL_MODEL
    if os.path.lexists(folder):
        delete_tree(folder)  # of a link only the link: nothing is written to where it leads
    return folder
