"""Small builtin data sets and tiny checkpoints for the tests of builtin and evaluate."""

import json
from pathlib import Path
from typing import Any

from qinstruct_trainer.builtin.dataset import write_builtin
from qinstruct_trainer.builtin.model import write_tiny_model
from qinstruct_trainer.builtin.tokenizer import write_tiny_tokenizer


def write_small_builtin(folder: Path, *, seed: int = 7, strategy: str = "after") -> Path:
    """A data set of 56 training pictures and 21 held-out ones."""
    write_builtin(
        folder, seed=seed, strategy=strategy, num_train_pictures=56, num_heldout_pictures=21
    )
    return folder


def read_array(path: Path) -> list[dict[str, Any]]:
    """A JSON array of objects."""
    document: list[dict[str, Any]] = json.loads(path.read_text("utf-8"))
    return document


def write_small_model(folder: Path, texts: list[str], *, seed: int = 7) -> Path:
    """A tiny checkpoint whose tokenizer was trained on the texts."""
    write_tiny_tokenizer(folder / "tokenizer", texts)
    write_tiny_model(folder / "model", tokenizer_folder=folder / "tokenizer", seed=seed)
    return folder / "model"


def texts_of(records: list[dict[str, Any]]) -> list[str]:
    """Everything that is said in the records."""
    return [turn["value"] for record in records for turn in record["conversations"]]
