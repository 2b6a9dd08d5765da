"""DeepSpeed, behind the few calls that training needs: step, save, load, gather the weights."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from math import inf
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, distributed, nn
from transformers import LlavaForConditionalGeneration

from qinstruct_trainer.contract.config import RunConfig
from qinstruct_trainer.contract.errors import DataError, RunError, StorageError
from qinstruct_trainer.data.collate import Batch
from qinstruct_trainer.model.export import probe_logits
from qinstruct_trainer.model.llava import (
    count_parameters,
    enable_activation_checkpointing,
    load_model,
)
from qinstruct_trainer.model.loss import LlavaLoss
from qinstruct_trainer.train.checkpoint_files import only_weights, safe_checkpoint_engine
from qinstruct_trainer.train.ds_config import build_ds_config
from qinstruct_trainer.train.optimizer.adamw import build_optimizer
from qinstruct_trainer.train.ranks import Ranks, wait_alike_in_all_groups
from qinstruct_trainer.train.state_files import WriteState, write_state
from qinstruct_trainer.train.torch_errors import explain_error


class Engine:
    """The model, its optimizer and their sharding."""

    def __init__(self, config: RunConfig, model_folder: Path, hidden_size: int, ranks: Ranks):
        import deepspeed  # a second of start-up that other commands do not need

        ds_config = build_ds_config(config, hidden_size)
        model = _load(config, model_folder, ds_config, ranks)
        if config.activation_checkpointing:
            enable_activation_checkpointing(model)
        module = LlavaLoss(model)
        module.train()
        self.parameters = count_parameters(module)
        optimizer = build_optimizer(module, config, fused=ranks.device.type == "cuda")
        self._engine, *_ = deepspeed.initialize(model=module, optimizer=optimizer, config=ds_config)
        wait_alike_in_all_groups()
        self._engine.checkpoint_engine = safe_checkpoint_engine(self._engine.checkpoint_engine)
        self._zero_stage = config.zero_stage
        self._ranks = ranks

    @property
    def model(self) -> LlavaForConditionalGeneration:
        """The Hugging Face model inside; its parameters may be shards."""
        model: LlavaForConditionalGeneration = self._engine.module.model
        return model

    def forward_backward(self, batch: Batch, *, is_last: bool) -> Tensor:
        """One forward and backward pass; the batch's loss, which the device may still owe.

        DeepSpeed divides it by the micro-batches that a rank has of a step, however many passes
        those are computed in; `is_last` says which is the last one.
        """
        self._engine.set_gradient_accumulation_boundary(is_last)
        loss: Tensor = self._engine(batch)
        self._engine.backward(loss)
        return loss.detach()

    def end_pass(self) -> None:
        """Close a forward pass that is not the last one of its step: gradients accumulate."""
        self._engine.step()

    def optimizer_step(self, learning_rate: float) -> float:
        """Close the last forward pass of a step: clip and update.

        Returns:
            The global gradient norm before clipping. If it is not finite, nothing was updated.
        """
        for group in self._engine.optimizer.param_groups:
            group["lr"] = learning_rate
        self._engine.step()
        # DeepSpeed skips a step with such a norm silently, in every precision.
        return (
            float(self._engine.get_global_grad_norm()) if self._engine.was_step_applied() else inf
        )

    def save(self, folder: Path, write: WriteState = write_state) -> None:
        """Save this rank's share of weights and optimizer state below `folder`. A collective call.

        Args:
            folder: Rank 0 also puts there what DeepSpeed adds, which is small.
            write: Is given the path and the state of each large file, in place of writing it. The
                state is the live one: it changes with the next step.
        """
        files = self._engine.checkpoint_engine
        files.save = lambda state_dict, path: write(Path(path), state_dict)
        try:
            self._engine.save_checkpoint(str(folder), tag="engine", save_latest=False)
        finally:
            del files.save  # with it goes what `write` holds: the states

    def load(self, folder: Path) -> None:
        """Read what `save` wrote; the world size must be the same.

        Raises:
            DataError: it is damaged, of other weights, or holds more than a checkpoint does.
            StorageError: it cannot be read now.
        """
        with _refused_in_a_sentence(folder, self._ranks), only_weights():
            loaded, _ = self._engine.load_checkpoint(str(folder), tag="engine")
        if loaded is None:  # DeepSpeed's way to say that it has found nothing
            raise DataError(f"{folder / 'engine'} holds no weights; {_way_out(folder)}")

    def logits(self, input_ids: Tensor, pixel_values: Tensor) -> Tensor:
        """Logits of the model as it is now, without gradients. A collective call."""
        self._engine.eval()
        with torch.no_grad():
            found = probe_logits(self.model, input_ids, pixel_values.to(self.model.dtype))
        self._engine.train()
        return found

    def gathered(self) -> Iterator[tuple[str, Tensor]]:
        """Names and whole values of the weights, one at a time, on this rank's device.

        A collective call: every rank must take it to its end. A value is only valid until the
        next one is asked for.
        """
        import deepspeed

        for name, parameter in self.model.named_parameters():
            with deepspeed.zero.GatheredParameters([parameter], enabled=self._zero_stage == 3):
                yield name, parameter.detach()

    def full_state_dict(self, *, keep: bool) -> dict[str, Tensor]:
        """All weights of the model on the CPU, gathered parameter by parameter.

        A collective call. Only a rank with `keep` holds the result; the others get {}.
        """
        full: dict[str, Tensor] = {}
        for name, value in self.gathered():
            if keep:
                full[name] = value.to("cpu", copy=True)
        distributed.barrier()
        return full


@contextmanager
def _refused_in_a_sentence(folder: Path, ranks: Ranks) -> Iterator[None]:
    """DeepSpeed looks at nothing that it takes: what is wrong in a file fails anywhere in it."""
    try:
        yield
    except DataError as error:
        raise DataError(f"{error}; {_way_out(folder)}") from error
    except RunError:
        raise
    except OSError as error:
        raise StorageError(
            f"the checkpoint {folder} cannot be read: {error.strerror}; check the volume, then run "
            "again"
        ) from error
    except Exception as error:
        if explain_error(error, ranks) is not None:
            raise
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise DataError(
            f"{folder} cannot be loaded ({reason:.200}): it is damaged or belongs to other "
            f"weights; {_way_out(folder)}"
        ) from error


def _way_out(folder: Path) -> str:
    return f"delete {folder} to go on from the checkpoint before it"


def _load(
    config: RunConfig, folder: Path, ds_config: dict[str, Any], ranks: Ranks
) -> LlavaForConditionalGeneration:
    """The starting model; under ZeRO-3 only this rank's shard of each parameter is kept."""
    import deepspeed

    def shard(module: nn.Module, own: Iterable[nn.Parameter]) -> None:
        # DeepSpeed broadcasts rank 0's values, and leaves buffers where they are.
        deepspeed.zero.Init(module=nn.ParameterList(own), config_dict_or_path=ds_config)
        for name, buffer in module.named_buffers(recurse=False):
            setattr(module, name, buffer.to(ranks.device))

    is_sharded = config.zero_stage == 3
    return load_model(
        folder,
        precision=config.precision,
        attention=config.attention,
        reads=ranks.is_main or not is_sharded,
        place=shard if is_sharded else None,
    )
