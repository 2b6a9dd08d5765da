"""What `python -m qinstruct_trainer cache` prints: one JSON document, which the command line draws.

Times are Unix times in seconds, sizes bytes. Every text may come from others who write into the
cache: whoever shows it makes it harmless.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Kind = Literal["unit", "building", "download", "foreign"]


class _Document(BaseModel):
    model_config = ConfigDict(frozen=True)


class CacheRun(_Document):
    """A run that has used a unit."""

    name: str
    output: str = Field(description="Its folder, as it knows it; empty if unknown.")
    state: Literal["unfinished", "complete", "gone"]


class CacheEntry(_Document):
    """One thing in a cache.

    `unit` is a finished result, `building` one that is being built or was left by a killed
    builder, `download` a partial download, `foreign` something that no run has made.
    """

    kind: Kind
    name: str = Field(description="Below the folder units or downloads.")
    stage: str = ""
    item: str = ""
    num_bytes: int = Field(description="Of all its files, also of those that it shares.")
    made: float
    used: float = Field(description="When a run last began to use it.")
    whole: bool | None = Field(
        default=None, description="All files are there, of their sizes; None: it is no unit."
    )
    unverified: bool = Field(
        default=False,
        description="Some have other times than they were given, as copies have: whoever uses "
        "it next reads them.",
    )
    runs: tuple[CacheRun, ...] = ()
    held_by: str = Field(default="", description="Why it may not be deleted; empty: it may be.")


class CacheListing(_Document):
    """All of a cache; bytes that several units share are counted once."""

    root: str
    entries: tuple[CacheEntry, ...]
    num_bytes: int
    free_bytes: int


class DamagedUnit(_Document):
    """A unit that is not what it was."""

    name: str
    reason: str


class Verified(_Document):
    """Every file of every unit was read."""

    num_units: int
    num_bytes: int
    damaged: tuple[DamagedUnit, ...]


class KeptEntry(_Document):
    """Something that was to be deleted, and why it was not."""

    name: str
    reason: str


class Pruned(_Document):
    """What was deleted, or would be."""

    deleted: tuple[CacheEntry, ...]
    kept: tuple[KeptEntry, ...] = ()
    freed_bytes: int
    num_bytes: int = Field(description="Of all that stays.")
    done: bool = Field(description="Whether it was deleted; otherwise nothing was.")


class CopiedUnit(_Document):
    """A unit, or the label file made of one, in another place."""

    unit: str
    path: str
    num_bytes: int
