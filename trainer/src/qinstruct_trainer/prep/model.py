"""The model stage: the starting checkpoint as one folder in the hub layout, whatever it came as."""

import re
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from transformers import LlavaConfig

from qinstruct_trainer.builtin.model import write_tiny_model
from qinstruct_trainer.builtin.tokenizer import write_tiny_tokenizer
from qinstruct_trainer.contract.config import ModelSource
from qinstruct_trainer.contract.errors import ConfigError, DataError
from qinstruct_trainer.data.conversation import END_TOKEN, IMAGE_TOKEN, render
from qinstruct_trainer.data.tokenizer import Tokenizer
from qinstruct_trainer.durable_files import num_bytes
from qinstruct_trainer.json_files import read_json
from qinstruct_trainer.model.config_fields import is_hub_layout
from qinstruct_trainer.model.configuration import compose_config, read_hub_config
from qinstruct_trainer.model.convert import MAX_SHARD_BYTES, collect, convert
from qinstruct_trainer.model.llava import sane_generation_config
from qinstruct_trainer.model.parameter_names import CLIP, HUB, LLAVA, PROJECTOR, VICUNA, Rules
from qinstruct_trainer.model.processing import add_tokens, read_tokenizer, write_processing
from qinstruct_trainer.model.tensors import StoredTensor, open_checkpoint
from qinstruct_trainer.prep.merge import read_records
from qinstruct_trainer.prep.sources.hub import Place, resolve

Parts = list[tuple[list[StoredTensor], Rules]]

_SPECIAL = re.compile(f"{re.escape(IMAGE_TOKEN)}|{re.escape(END_TOKEN)}")
_TOWER_INSIDE = "model.vision_tower."


def build_model(
    source: ModelSource,
    folder: Path,
    *,
    seed: int,
    texts: Iterable[str],
    progress: Callable[[int, int], None],
    place: Place | None = None,
    max_shard_bytes: int = MAX_SHARD_BYTES,
) -> None:
    """Write the starting checkpoint into `folder`: weights, configs, tokenizer, processor.

    Args:
        source: What to build it from.
        folder: An existing, empty folder.
        seed: Of the tiny model's random weights.
        texts: What the tiny model's tokenizer is trained on; not read for the others.
        progress: Called with the bytes of weights written and to be written.
        place: Where repositories of the hub are kept, and where they may come from; None:
            huggingface_hub's own cache, and any address.
        max_shard_bytes: Largest weight file; also what the conversion needs of memory.

    Raises:
        ConfigError: the source names too little.
        UnavailableError: a source cannot be reached.
        DataError: a file is missing, damaged, unsafe, or belongs to another model.
    """
    if source.kind == "tiny":
        _build_tiny(folder, seed=seed, texts=texts)
        size = num_bytes(folder)
        progress(size, size)
        return
    place = place or Place()
    base = resolve(source.base, source.revision, place)
    tokenizer = read_tokenizer(base)
    config, parts = _read_base(source, base, tokenizer, place)
    convert(collect(parts), config, folder, progress=progress, max_shard_bytes=max_shard_bytes)
    config.dtype = _dtype_name(parts)
    config.save_pretrained(folder)
    sane_generation_config(config).save_pretrained(folder)
    write_processing(folder, config, tokenizer, base)


def read_texts(records: Path) -> Iterator[str]:
    """Every merged record as it will be encoded, prompt included, without special tokens."""
    for record in read_records(records):
        yield from filter(None, _SPECIAL.split(render(record).text))


def _build_tiny(folder: Path, *, seed: int, texts: Iterable[str]) -> None:
    with tempfile.TemporaryDirectory() as tokenizer_folder:
        write_tiny_tokenizer(Path(tokenizer_folder), texts)
        write_tiny_model(folder, tokenizer_folder=Path(tokenizer_folder), seed=seed)


def _read_base(
    source: ModelSource, base: Path, tokenizer: Tokenizer, place: Place
) -> tuple[LlavaConfig, Parts]:
    """Configuration and tensors; gives the tokenizer its two tokens."""
    document = read_json(base / "config.json")
    num_tokens = len(tokenizer)
    add_tokens(tokenizer)
    tensors = open_checkpoint(base)
    if is_hub_layout(document):
        if source.kind == "vicuna":
            raise DataError(
                f"{base} is a LLaVA checkpoint, strategy mix starts from Vicuna; "
                "correct model.base, or use strategy after"
            )
        return read_hub_config(document, tokenizer), [(tensors, HUB)]
    tower = resolve(_required(source.vision_tower, "vision_tower", source), None, place)
    config = compose_config(document, read_json(tower / "config.json"), num_tokens)
    if source.kind == "vicuna":
        projector = resolve(_required(source.projector, "projector", source), None, place)
        parts: Parts = [(tensors, VICUNA), (open_checkpoint(projector), PROJECTOR)]
    else:
        parts = [(tensors, LLAVA)]
    # The published code reloads CLIP even where the checkpoint carries its own, frozen copy.
    if not any(tensor.name.startswith(_TOWER_INSIDE) for tensor in tensors):
        parts.append((open_checkpoint(tower), CLIP))
    return config, parts


def _required(value: str | None, field: str, source: ModelSource) -> str:
    if not value:
        raise ConfigError(
            f"model source {source.kind} ({source.base}) needs {field}; name a folder or a "
            "hub repository for it"
        )
    return value


def _dtype_name(parts: Parts) -> str:
    """The dtype of the language model, which is by far the most of it."""
    return str(parts[0][0][0].dtype).removeprefix("torch.")
