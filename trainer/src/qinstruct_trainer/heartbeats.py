"""What each rank does, and how long it may take: a page of memory that its launcher looks at.

A rank writes its own row, without a lock or a system call, whenever it begins something else. The
row stays as it is when the rank hangs, whatever it hangs in. All ranks begin the same things in
the same order, so that the one with the fewest heartbeats is the one that the others wait for.
"""

import logging
import mmap
import os
import struct
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from math import inf
from pathlib import Path
from statistics import median
from typing import Annotated, Final, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

LIMITS_ENV: Final = "QINSTRUCT_WATCH"
_PAGE_ENV: Final = "QINSTRUCT_HEARTBEATS"
_ROW: Final = struct.Struct("=qdqqq")  # beats, limit, phase, step, process id
_MAX_RANKS: Final = 512  # of one machine
_BYTES: Final = _MAX_RANKS * _ROW.size
_RECENT: Final = 50  # steps: one slow step moves their median little
_MIN_KNOWN: Final = 3  # steps, of which the first ones are slow
_log = logging.getLogger(__name__)

Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Phase(StrEnum):
    """What a rank does, as part of a sentence."""

    START = "starting"
    JOIN = "meeting the other ranks"
    MODEL = "loading the model"
    RESUME = "reading a checkpoint"
    LOAD = "loading data"
    COMPUTE = "computing"
    REDUCE = "adding up the losses"
    UPDATE = "updating the weights"
    REPORT = "reporting"
    AGREE = "agreeing whether to save"
    SAVE = "saving a checkpoint"
    EXPORT = "exporting the model"
    EVALUATE = "evaluating the model"


_OF_A_STEP: Final = frozenset(
    {Phase.LOAD, Phase.COMPUTE, Phase.REDUCE, Phase.UPDATE, Phase.REPORT, Phase.AGREE}
)
_OF_FILES: Final = frozenset({Phase.RESUME, Phase.SAVE, Phase.EXPORT})
_PHASES: Final = tuple(Phase)


class Limits(BaseModel):
    """How long a rank may be silent, in seconds; in the environment as JSON, for tests.

    Args:
        long: At the start, in the first steps, in evaluation.
        files: While a checkpoint is read or written, or a model. Those of 13B are 157 GB, of which
            a damaged one is read before the one that is loaded, and one that is pending is written
            before the last one: twice that, at 30 MB/s.
        floor: In a step, at least.
        factor: In a step, as a multiple of the median of the recent ones.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    long: Seconds = 3600.0
    files: Seconds = 10_800.0
    floor: Seconds = 300.0
    factor: Seconds = 10.0

    @classmethod
    def read(cls, environment: Mapping[str, str]) -> Self:
        """Those of this process; what does not parse is as good as absent."""
        try:
            return cls.model_validate_json(environment.get(LIMITS_ENV, "{}"))
        except ValidationError:
            return cls()


@dataclass(frozen=True)
class Row:
    """What a rank has said last.

    Attributes:
        beats: How many times it has said something.
        limit: Seconds that it may be silent; infinite once it has ended.
        step: 0 before the first one.
    """

    beats: int
    limit: float
    phase: Phase
    step: int
    pid: int


class Page:
    """The rows of all ranks, as their launcher sees them."""

    def __init__(self) -> None:
        """Make it, and have the environment tell the ranks where it is.

        Where there can be none, its ranks are told of none, and it stays empty.
        """
        os.environ.pop(_PAGE_ENV, None)
        self._memory: mmap.mmap | bytes = bytes(_BYTES)
        try:
            descriptor = os.memfd_create("heartbeats")  # open, and so there, until this one ends
            os.truncate(descriptor, _BYTES)
            self._memory = mmap.mmap(descriptor, _BYTES)
        except (AttributeError, OSError) as error:  # an old C library; a sandbox
            _log.warning("nobody watches whether a rank hangs: %s", error)
        else:
            os.environ[_PAGE_ENV] = f"/proc/{os.getpid()}/fd/{descriptor}"

    def rows(self) -> dict[int, Row]:
        """By rank; without those that have not said anything yet.

        No lock is taken: once in a great many times a row is read while it is written.
        """
        found = {}
        for rank, (beats, limit, phase, step, pid) in enumerate(_ROW.iter_unpack(self._memory)):
            if pid:
                found[rank] = Row(beats, limit, _PHASES[phase], step, pid)
        return found


class Heartbeat:
    """A rank's own row."""

    def __init__(self, limits: Limits, memory: mmap.mmap | bytearray, rank: int):
        self._limits = limits
        self._memory = memory
        self._offset = rank * _ROW.size
        self._beats = 0
        self._pid = os.getpid()
        self._steps: deque[float] = deque(maxlen=_RECENT)
        self._of_a_step = limits.long
        self.is_watched = not isinstance(memory, bytearray)

    @classmethod
    def of(cls, environment: Mapping[str, str], rank: int) -> Self:
        """The row on the launcher's page; nobody looks at it where there is none."""
        memory: mmap.mmap | None = None
        if path := environment.get(_PAGE_ENV):
            try:
                with Path(path).open("r+b", buffering=0) as file:
                    memory = mmap.mmap(file.fileno(), _BYTES)
            except (OSError, ValueError) as error:
                _log.warning("nobody watches whether rank %d hangs: %s", rank, error)
        return cls.unwatched() if memory is None else cls(Limits.read(environment), memory, rank)

    @classmethod
    def unwatched(cls) -> Self:
        """A row that nobody looks at."""
        return cls(Limits(), bytearray(_ROW.size), 0)

    def begin(self, phase: Phase, step: int = 0) -> None:
        """Say what begins now. Each rank that others may wait for says the same."""
        limit = self._limits.files if phase in _OF_FILES else self._limits.long
        self._write(self._of_a_step if phase in _OF_A_STEP else limit, phase, step)

    def took(self, seconds: float) -> None:
        """Note the duration of one more step."""
        self._steps.append(seconds)
        if len(self._steps) >= _MIN_KNOWN:
            usual = median(self._steps)
            self._of_a_step = max(self._limits.floor, self._limits.factor * usual)

    def end(self) -> None:
        """Say that nothing more is to come."""
        self._write(inf, Phase.EVALUATE, 0)

    def _write(self, limit: float, phase: Phase, step: int) -> None:
        self._beats += 1
        number = _PHASES.index(phase)
        _ROW.pack_into(self._memory, self._offset, self._beats, limit, number, step, self._pid)
