"""Whose checkpoint, or finished model, it is: the values that make two starts the same run."""

import hashlib
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict

from qinstruct_trainer.contract.config import Packing, Prepared, RunConfig
from qinstruct_trainer.contract.errors import ConfigError
from qinstruct_trainer.contract.safe_text import one_line
from qinstruct_trainer.data.index.reader import Index

_MAX_SHOWN = 200  # characters


class Identity(BaseModel):
    """What must be equal for a run to go on from a checkpoint, or to own a finished model.

    Besides `model` and `data` it holds the fixed values of `RunConfig`, by name.
    """

    model_config = ConfigDict(frozen=True, extra="allow")

    model: str  # folder name of the starting checkpoint: a unit's holds a digest of its content
    data: str  # sha256 over the lengths of the index's records
    packing: Packing = "none"  # what versions had that did not record it

    @classmethod
    def of(cls, config: RunConfig, prepared: Prepared, index: Index) -> Self:
        """The identity of a run."""
        data = hashlib.sha256(index.lengths.tobytes() + index.modality_lengths.tobytes())
        return cls(model=prepared.model.name, data=data.hexdigest(), **config.fixed_values())

    def check(self, found: "Identity", where: Path) -> None:
        """Refuse what another run has left.

        A value that an older version did not record yet is not compared.

        Raises:
            ConfigError: naming the first value that differs.
        """
        recorded = found.model_dump()
        for name, now in self.model_dump().items():
            was = recorded.get(name, now)
            if was != now:
                raise ConfigError(
                    f"{where} was written with {name} {_shown(was)}, but the run now has {now}; "
                    "set it back to go on, or give the run another name to start anew"
                )


def _shown(value: object) -> str:
    """A value of a file that anybody may have written."""
    return one_line(str(value)[:_MAX_SHOWN])
