"""A model folder: tokenizer, configuration and weights become the starting checkpoint.

An input is a JSON object of paths and what is there, `hub/config.json` for one. The weights that
it does not bring are true ones of that layout: `hub`, or `original` with the tower in `clip`.
Bytes that are no UTF-8 stand as lone surrogates.
"""

import json
import os
import tempfile
from functools import cache
from pathlib import Path
from typing import Final

from qinstruct_trainer.contract.config import ModelSource
from qinstruct_trainer.model.llava import load_model
from qinstruct_trainer.prep.index import write_index
from qinstruct_trainer.prep.model import build_model
from qinstruct_trainer.prep.progress import Progress
from support.model.checkpoints import hub, original

MEMORY: Final = 768 << 20
LAYOUTS: Final = ("hub", "original")
_TURNS: Final = [{"from": "human", "value": "Is it sharp?"}, {"from": "gpt", "value": "No."}]


def files_of(content: bytes) -> dict[str, bytes]:
    """The files that an input stands for."""
    texts: dict[str, str] = json.loads(content)
    return {name: text.encode("utf-8", "surrogateescape") for name, text in texts.items()}


def content_of(files: dict[str, bytes]) -> bytes:
    """The input that stands for the files."""
    texts = {name: held.decode("utf-8", "surrogateescape") for name, held in files.items()}
    return json.dumps(texts, indent=1).encode()


def run(content: bytes) -> object:
    """Build the checkpoint, load it, and encode a record by its tokenizer."""
    files = files_of(content)
    layout = next(each for each in LAYOUTS if any(name.startswith(each) for name in files))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for path, held in files.items():
            (folder / path).parent.mkdir(exist_ok=True)
            (folder / path).write_bytes(held)
        _link_weights(folder, layout)
        model = folder / "model"
        model.mkdir()
        tower = str(folder / "clip") if layout == "original" else None
        source = ModelSource(kind="llava", base=str(folder / layout), vision_tower=tower)
        build_model(source, model, seed=0, texts=(), progress=lambda done, total: None)
        load_model(model, precision="fp32", attention="eager")
        return _encode(model, folder)


def _link_weights(folder: Path, layout: str) -> None:
    for place in (layout, "clip"):
        if (folder / place).is_dir() and not any((folder / place).glob("*.safetensors*")):
            for weights in (_true_weights(layout) / place).iterdir():
                os.link(weights, folder / place / weights.name)


@cache
def _true_weights(layout: str) -> Path:
    """A folder with the weights of a layout; lives as long as this process."""
    root = Path(tempfile.mkdtemp(prefix="qinstruct-fuzz-"))
    (root / "made").mkdir()
    if layout == "hub":
        hub(root / "made")
    else:
        original(root / "made", tower=False)
        (root / "made" / "llava").rename(root / "made" / "original")
    for place in (layout, "clip"):
        (root / place).mkdir()
        for pattern in ("*.safetensors", "*.bin", "*.index.json"):
            for weights in (root / "made" / place).glob(pattern):
                weights.rename(root / place / weights.name)
    return root


def _encode(model: Path, folder: Path) -> int:
    records = folder / "records.jsonl"
    records.write_text(json.dumps({"conversations": _TURNS}) + "\n", "utf-8")
    progress = Progress(lambda _: None, "index", "records", "records")
    write_index(records, model, [folder], folder / "index", progress, max_length=2048)
    return progress.done
