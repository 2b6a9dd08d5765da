"""Model folders that are not what they seem: nothing but a few numbers of them is believed."""

import json
import shutil
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import transformers.dynamic_module_utils
from transformers.integrations import hub_kernels

from qinstruct_trainer.contract.config import ModelSource
from qinstruct_trainer.contract.errors import DataError
from qinstruct_trainer.model.llava import load_checked, load_model
from support.model.checkpoints import build, hub

Change = Callable[[dict[str, Any]], object]


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(hub(tmp_path_factory.mktemp("hub")).base)


@pytest.fixture
def folder(good: Path, tmp_path: Path) -> Path:
    shutil.copytree(good, tmp_path / "hub")
    return tmp_path / "hub"


@pytest.fixture(autouse=True)
def calls(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """What would load code of a folder or of a repository; no call may reach it."""
    reached: list[str] = []

    def trap(name: str) -> Callable[..., object]:
        def note(*arguments: object, **options: object) -> object:
            reached.append(f"{name}{arguments!r:.80}{options!r:.80}")
            raise OSError(f"{name} was reached")

        return note

    for module, names in (
        (
            transformers.dynamic_module_utils,
            ("get_class_from_dynamic_module", "get_cached_module_file"),
        ),
        (hub_kernels, ("get_kernel", "load_and_register_attn_kernel", "lazy_load_kernel")),
        (socket, ("create_connection", "getaddrinfo")),
    ):
        for name in names:
            if hasattr(module, name):
                monkeypatch.setattr(module, name, trap(name))
    yield reached
    assert reached == []


def change_json(path: Path, change: Change) -> None:
    document = json.loads(path.read_text("utf-8"))
    change(document)
    path.write_text(json.dumps(document), "utf-8")


def text(**values: object) -> Change:
    return lambda document: document["text_config"].update(values)


def vision(**values: object) -> Change:
    return lambda document: document["vision_config"].update(values)


def top(**values: object) -> Change:
    return lambda document: document.update(values)


def deep(document: dict[str, Any]) -> None:
    for _ in range(900):
        document = document.setdefault("text_config", {})


REFUSED: dict[str, Change] = {
    "zero layers": text(num_hidden_layers=0),
    "negative layers": text(num_hidden_layers=-1),
    "a million layers": text(num_hidden_layers=10**6),
    "layers as text": text(num_hidden_layers="2"),
    "no width": text(hidden_size=0),
    "huge width": text(hidden_size=10**12),
    "width of a truth value": text(hidden_size=True),
    "no heads": text(num_attention_heads=0),
    "negative heads": text(num_key_value_heads=-4),
    "huge vocabulary": text(vocab_size=10**10),
    "a vocabulary smaller than the tokenizer's": text(vocab_size=3),
    "no epsilon": text(rms_norm_eps=0.0),
    "a negative theta": text(rope_parameters={"rope_theta": -1.0, "rope_type": "default"}),
    "an unknown rope": text(rope_parameters={"rope_theta": 1e4, "rope_type": "yarn"}),
    "an unknown activation": text(hidden_act="os.system"),
    "another activation": vision(hidden_act="relu"),
    "a patch of nothing": vision(patch_size=0),
    "a patch larger than the image": vision(patch_size=60),
    "a huge image": vision(image_size=10**6),
    "no image": vision(image_size=-28),
    "a list for a number": vision(hidden_size=[24, 24]),
    "no layer to look into": vision(num_hidden_layers=0),
    "a number for a part": top(text_config=7),
    "quantized weights": top(quantization_config={"quant_method": "bitsandbytes"}),
    "quantized text": text(quantization_config={"quant_method": "gptq"}),
    "biases that nobody trains": text(attention_bias=True),
    "another projector": top(projector_hidden_act="silu"),
}


@pytest.mark.parametrize("change", REFUSED.values(), ids=REFUSED)
@pytest.mark.parametrize("reader", ["prep", "train"])
def test_values_that_no_such_model_has_are_refused_in_a_sentence(
    change: Change, reader: str, folder: Path, tmp_path: Path
) -> None:
    change_json(folder / "config.json", change)
    with pytest.raises(DataError, match=r"config\.json") as refused:
        _read(reader, folder, tmp_path / "model")
    assert len(str(refused.value).splitlines()) == 1
    assert len(str(refused.value)) < 600


def _read(reader: str, folder: Path, built: Path) -> None:
    if reader == "prep":
        build(ModelSource(kind="llava", base=str(folder)), built)
    else:
        load_model(folder, precision="fp32", attention="eager")


IGNORED: dict[str, Change] = {
    "parts in parts": deep,
    "code of the folder": top(auto_map={"AutoConfig": "evil.Config", "AutoModel": "evil.Model"}),
    "code of a repository": top(auto_map={"AutoModel": "some/repo--evil.Model"}),
    "a kernel of a repository": top(_attn_implementation="some/repo", attn_implementation="a/b"),
    "a kernel for the text": text(_attn_implementation="some/repo"),
    "a kernel inside": text(_attn_implementation_internal="some/repo:kernel"),
    "another class": top(architectures=["EvilModel"], transformers_weights="../x.safetensors"),
    "a plan for more processes": text(base_model_tp_plan={"*": "colwise"}),
    "names of labels": top(id2label={str(number): "x" for number in range(50_000)}),
}


@pytest.mark.parametrize("change", IGNORED.values(), ids=IGNORED)
def test_what_is_not_needed_is_neither_read_nor_written(
    change: Change, folder: Path, good: Path, tmp_path: Path
) -> None:
    change_json(folder / "config.json", change)
    (folder / "evil.py").write_text("raise SystemExit('code ran')")
    (folder / "chat_template.jinja").write_text("{{ cycler.__init__.__globals__ }}")
    expected = load_model(good, precision="fp32", attention="eager").config.to_dict()
    assert load_model(folder, precision="fp32", attention="eager").config.to_dict() == expected
    load_checked(folder, precision="fp32", attention="eager")
    built = build(ModelSource(kind="llava", base=str(folder)), tmp_path / "model")
    names = {path.name for path in good.iterdir()}
    assert {path.name for path in built.iterdir()} == names
    assert (built / "config.json").read_bytes() == (good / "config.json").read_bytes()


def test_an_adapter_beside_the_weights_is_not_loaded(folder: Path) -> None:
    (folder / "adapter_config.json").write_text('{"base_model_name_or_path": "some/repo"}')
    with pytest.raises(DataError, match=r"adapter_config\.json"):
        load_checked(folder, precision="fp32", attention="eager")


@pytest.mark.parametrize(
    "content",
    [
        "[" * 100_000,
        '{"a":' * 100_000,
        '{"hidden_size": ' + "9" * 5_000 + "}",
        " " * (3 << 20) + "{}",
    ],
    ids=["lists", "objects", "a long number", "a long file"],
)
def test_a_config_that_breaks_the_reader_is_refused_in_a_sentence(
    content: str, folder: Path
) -> None:
    (folder / "config.json").write_text(content)
    with pytest.raises(DataError, match=r"config\.json"):
        load_model(folder, precision="fp32", attention="eager")
