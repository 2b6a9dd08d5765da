"""What DeepSpeed reads of a checkpoint, read in its place: it unpickles whatever it finds."""

import copyreg
import os
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import Any, Final

from qinstruct_trainer.model.torch_files import read_torch_file

_ZERO_STAGE: Final = "deepspeed.runtime.zero.config.ZeroStageEnum"
_FORCE: Final = {"TORCH_FORCE_WEIGHTS_ONLY_LOAD": "1", "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD": "0"}


def safe_checkpoint_engine(engine: Any) -> Any:
    """DeepSpeed's own reader and writer of files, with another `load`."""
    from deepspeed.runtime.fp16.loss_scaler import LossScaler
    from deepspeed.runtime.zero.config import ZeroStageEnum
    from deepspeed.utils.tensor_fragment import fragment_address

    classes = (LossScaler, fragment_address)

    def load(path: str, map_location: object = None) -> Any:
        del map_location  # the CPU, always
        return read_torch_file(Path(path), classes=classes, numbers=[_ZERO_STAGE])

    engine.load = load
    copyreg.pickle(ZeroStageEnum, _by_value)
    return engine


def _by_value(member: Enum) -> tuple[type[Enum], tuple[Any]]:
    """How it is stored; Python before 3.11.4 would store a call of `getattr`, which is refused."""
    return type(member), (member.value,)


@contextmanager
def only_weights() -> Iterator[None]:
    """Forbid torch to run what it reads, whoever calls it and whatever the caller allows."""
    before = {name: os.environ.get(name) for name in _FORCE}
    os.environ.update(_FORCE)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
