"""Model folders that are nearly right: kept ones with changes in one or two of their files."""

import json
import struct
from typing import Any, Final

from hypothesis import strategies as st

from support.fuzz.byte_inputs import damaged
from support.fuzz.json_inputs import changed, written
from support.fuzz.target import kept
from support.fuzz.targets.model_folder import content_of, files_of

_TENSOR: Final = {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]}
_HEADERS: Final = (
    {"__metadata__": {"format": "pt"}, "lm_head.weight": _TENSOR},
    {"model.embed_tokens.weight": _TENSOR, "model.norm.weight": _TENSOR | {"dtype": "BF16"}},
)
_INDEX: Final = {"metadata": {"total_size": 16}, "weight_map": {"lm_head.weight": "a.safetensors"}}


@st.composite
def model_folders(draw: st.DrawFn, target: str) -> bytes:
    """A kept folder, changed."""
    folders = [files_of(path.read_bytes()) for path in kept(target)]
    files = dict(draw(st.sampled_from(folders)))
    for _ in range(draw(st.integers(1, 2))):
        name = draw(st.sampled_from(sorted(files)))
        if name.endswith(".json") and draw(st.integers(0, 9)):
            files[name] = draw(_json_file(name, folders))
        elif draw(st.integers(0, 3)):
            files[name] = draw(damaged(files[name]))
        else:
            del files[name]
    if draw(st.integers(0, 9)) == 0:
        files |= draw(_weights(draw(st.sampled_from(["hub/", "original/", "clip/"]))))
    return content_of(files) if any(not name.startswith("clip") for name in files) else b"{}"


def _json_file(name: str, folders: list[dict[str, bytes]]) -> st.SearchStrategy[bytes]:
    """The file of any of the folders that has one, changed."""
    documents: list[Any] = []
    for files in folders:
        for path, held in files.items():
            if path.rpartition("/")[2] == name.rpartition("/")[2]:
                try:
                    documents.append(json.loads(held))
                except (ValueError, RecursionError):
                    continue
    return changed(documents).flatmap(written) if documents else st.just(b"{}")


@st.composite
def _weights(draw: st.DrawFn, folder: str) -> dict[str, bytes]:
    """A weight file with a header that may be wrong, or an index of such files."""
    text = draw(changed(_HEADERS).flatmap(written))
    length = draw(st.sampled_from([len(text), len(text), len(text) + 1, 0, 2**40, 2**64 - 1]))
    content = struct.pack("<Q", length) + text + bytes(draw(st.sampled_from([16, 32, 0])))
    if draw(st.booleans()):
        return {f"{folder}model.safetensors": content}
    index = draw(changed([_INDEX]).flatmap(written))
    return {f"{folder}model.safetensors.index.json": index, f"{folder}a.safetensors": content}
