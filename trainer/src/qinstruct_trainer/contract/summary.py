"""What `python -m qinstruct_trainer data` and `convert` print.

Every text may be of a record, which is not trusted: whoever shows it makes it harmless.
"""

from pydantic import BaseModel, ConfigDict


class SummaryTable(BaseModel):
    """A table of text."""

    model_config = ConfigDict(frozen=True)
    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


class DataSummary(BaseModel):
    """What was found in data."""

    model_config = ConfigDict(frozen=True)
    page: str
    tables: tuple[SummaryTable, ...]


class ConvertedModel(BaseModel):
    """A model that was written in the layout of the original LLaVA."""

    model_config = ConfigDict(frozen=True)
    path: str
    num_bytes: int
