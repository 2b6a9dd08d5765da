"""`qinstruct convert MODEL FOLDER`: start the conversion, and draw how far it is."""

from contextlib import closing
from pathlib import Path
from typing import Final

from rich.console import Console

from qinstruct_operator.cli.humanize import size_text
from qinstruct_operator.cli.show_events import open_view
from qinstruct_operator.cli.terminal import sanitize
from qinstruct_operator.cli.trainer import ask_trainer, interpreter
from qinstruct_trainer.contract.launch import convert_command
from qinstruct_trainer.contract.summary import ConvertedModel

_OTHERS: Final = ("mpt", "mistral")
"""What makes a name that of another kind of model (llava/model/builder.py)."""


def convert_model(
    console: Console, model: Path, folder: Path, vision_tower: str, *, with_tower: bool
) -> None:
    """Write the model, with a bar on a terminal and lines elsewhere.

    Args:
        console: Where to draw.
        model: A finished model's folder.
        folder: The new folder.
        vision_tower: What config.json names as CLIP.
        with_tower: Whether to write CLIP's weights too.

    Raises:
        TrainerFailed: a sentence for the user.
    """
    command = convert_command(interpreter(), model, folder, vision_tower, with_tower=with_tower)
    with closing(open_view(console)) as view:
        found = ask_trainer(command, ConvertedModel, view.show)
    path, size = sanitize(found.path), size_text(found.num_bytes)
    lines = [f"{path} holds the model in the layout of the original LLaVA ({size})"]
    if why := why_not_loaded(folder.absolute()):
        lines.append(f"rename {path} before LLaVA loads it: {why}")
    for line in lines:
        console.print(line, markup=False, soft_wrap=True)


def why_not_loaded(folder: Path) -> str | None:
    """Why LLaVA's own code takes a folder for another model: it asks nothing but the name.

    That of a `checkpoint-N` has the folder above it (llava/mm_utils.py).
    """
    name = folder.name
    name = (f"{folder.parent.name}_{name}" if name.startswith("checkpoint-") else name).lower()
    if "llava" not in name:
        return "it looks for `llava` in the name"
    other = next((each for each in _OTHERS if each in name), None)
    return other and f"it takes a name with `{other}` in it for that kind of model"
