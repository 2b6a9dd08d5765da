"""Each argument that cannot lead to a model is refused in one sentence, and without torch."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from qinstruct_trainer.builtin import model as tiny_model
from qinstruct_trainer.contract.errors import EXIT_CONFIG, ConfigError, DataError, StorageError
from qinstruct_trainer.model.original_checks import TINY, check_request
from support.model.checkpoints import build, vicuna
from support.tmpfs import tmpfs
from support.unprivileged import open_folder, unprivileged

SENTENCES = {
    "": r"denied; .* belongs to",
    "hub": r"denied; .*hub belongs to",
    "hub/config.json": "has no readable config.json",
    "clip": "clip.* has no readable config.json|denied; .*clip belongs to",
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("made")
    build(vicuna(root), root / "hub")
    return root


@pytest.fixture
def root(made: Path, tmp_path: Path) -> Path:
    """With a finished model `hub` and its tower `clip`."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    return tmp_path


def check(root: Path, *, model: str = "hub", to: str = "new/llava", tower: str = "clip") -> None:
    vision_tower = str(root / tower) if (root / tower).exists() else tower
    check_request(root / model, root / to, vision_tower=vision_tower, with_tower=True)


def test_what_is_right_passes_and_leaves_nothing(root: Path) -> None:
    before = sorted(root.rglob("*"))
    for tower in ("clip", "laion/CLIP-ViT-L-14", "Lin-Chen/ShareGPT4V-7B_Pretrained_vit-large336"):
        check(root, tower=tower)
    assert sorted(root.rglob("*")) == before


def edit(root: Path, **fields: object) -> None:
    config = json.loads((root / "hub/config.json").read_text())
    (root / "hub/config.json").write_text(json.dumps(config | fields))


def be_a_run(root: Path) -> None:
    (root / "hub").rename(root / "model")
    (root / "hub").mkdir()
    (root / "model").rename(root / "hub/model")


def with_a_pipe(root: Path) -> None:
    (root / "hub/config.json").unlink()
    os.mkfifo(root / "hub/config.json")


HARMS: dict[str, tuple[Callable[[Path], object], str]] = {
    "a run's folder": (be_a_run, r"hub is the folder of a run; give its model, .*/hub/model"),
    "no configuration": (
        lambda root: (root / "hub/config.json").unlink(),
        "has no readable config.json",
    ),
    "another layout": (
        lambda root: (root / "hub/config.json").write_text("{}"),
        "is not in the Hugging Face layout",
    ),
    "another model": (
        lambda root: edit(root, text_config={"model_type": "mistral"}),
        "joins mistral and clip_vision_model",
    ),
    "no tokenizer": (
        lambda root: (root / "hub/tokenizer.model").unlink(),
        "has no tokenizer.model, the only tokenizer",
    ),
    "no weights": (lambda root: (root / "hub/model.safetensors").unlink(), "has no weights"),
    "half the weights": (
        lambda root: os.truncate(root / "hub/model.safetensors", 5000),
        "is not a complete safetensors file",
    ),
    "a pipe": (with_a_pipe, "config.json is a pipe; give the folder"),
}


@pytest.mark.parametrize("harm", HARMS)
def test_a_model_that_is_none(harm: str, root: Path) -> None:
    do, words = HARMS[harm]
    do(root)
    with pytest.raises(DataError, match=words):
        check(root)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"model": "none"}, "none is not there; give a finished model's folder"),
        ({"model": "hub/config.json"}, "config.json is no folder; give a finished model's"),
        ({"to": "hub"}, "hub is there already; name a new folder"),
        ({"to": "link"}, "link is there already; name a new folder"),
        ({"to": "hub/llava"}, "lies in the model .*; name a folder outside of it"),
        ({"to": "clip/config.json/x/y"}, "cannot be made, because .*/config.json is no folder"),
        ({"tower": "hub"}, "has a config.json of model_type 'llava', and a tower is clip"),
        ({"tower": "hub/config.json"}, "is no folder; name CLIP's folder or repository"),
        ({"tower": "me/clip"}, "me/clip is no folder here, and LLaVA's own code loads reposit"),
        ({"tower": "openai/"}, "openai/ is no folder here"),
        ({"model": "x" * 300}, r"\.\.\. has a name that is too long for its file system; give a "),
        ({"to": f"new/{'x' * 300}"}, r"\.\.\. has a name that is too long for its file system"),
        # Its partial one is longer.
        ({"to": f"new/{'x' * 250}"}, r"\.\.\. has a name that is too long for its file system"),
        ({"tower": "/nowhere/clip"}, "/nowhere/clip is no folder here"),
        (
            {"tower": "openai/clip-vit-large-patch14-336"},
            "has hidden_size 1024, and the model was made with a tower of hidden_size 24",
        ),
        ({"tower": "openai/clip-vit-base-patch32"}, "has hidden_size 768, and the model was"),
    ],
)
def test_an_argument_that_is_wrong(arguments: dict[str, str], words: str, root: Path) -> None:
    (root / "link").symlink_to("nowhere")
    (root / "new").mkdir()
    with pytest.raises((ConfigError, DataError), match=words):
        check(root, **arguments)
    assert not list((root / "new").iterdir())


@pytest.mark.parametrize(
    ("tower", "words"),
    [
        ("", r"is empty; name CLIP's folder or repository$"),
        ("  ", r"is empty; name CLIP's folder or repository$"),
        (f"openai/{'x' * 300}", r"openai/x{73}\.\.\. is no folder here, "),
        (f"openai/{'x' * 5000}", r"openai/x{73}\.\.\. is no folder here, "),
        ("openai/a b", r"openai/a b is no folder here, "),
        ("x/" * 3000, r"(x/){40}\.\.\. is no folder here, "),
    ],
    ids=["empty", "blank", "long", "longer", "with a blank", "deep"],
)
def test_a_name_that_no_tower_can_have(tower: str, words: str, root: Path) -> None:
    with pytest.raises(ConfigError, match=f"^--vision-tower {words}"):
        check_request(root / "hub", root / "new", vision_tower=tower, with_tower=True)


def test_a_tiny_model_has_a_tower_that_nobody_can_name(root: Path) -> None:
    edit(root, vision_config={"model_type": "clip_vision_model", **TINY})
    with pytest.raises(ConfigError, match=r"1024, and .* 224; size Tiny's is built in, no folder"):
        check(root, tower="openai/clip-vit-large-patch14-336")
    own = tiny_model.TOWER
    assert {name: own[name] for name in TINY} == TINY


@pytest.mark.parametrize("field", ["hidden_size", "num_hidden_layers", "image_size", "patch_size"])
def test_a_tower_of_another_size(field: str, root: Path) -> None:
    file = root / "clip/config.json"
    config = json.loads(file.read_text())
    config["vision_config"][field] += 2
    file.write_text(json.dumps(config))
    with pytest.raises(ConfigError, match=f"clip has {field} .*; name that tower"):
        check(root)


def test_a_tower_without_weights(root: Path) -> None:
    (root / "clip/pytorch_model.bin").unlink()
    with pytest.raises(DataError, match="clip has no weights"):
        check(root)


@pytest.mark.parametrize("closed", ["", "hub", "hub/config.json", "clip"])
def test_a_folder_that_may_not_be_written_or_read(closed: str, root: Path) -> None:
    with open_folder() as folder:
        for name in ("hub", "clip"):
            shutil.copytree(root / name, folder / name)
        (folder / closed).chmod(0o555 if closed == "" else 0)
        with unprivileged(), pytest.raises((StorageError, DataError), match=SENTENCES[closed]):
            check(folder)


def test_a_disk_without_room(root: Path) -> None:
    with (
        tmpfs(root / "disk", "size=64k") as disk,
        pytest.raises(StorageError, match=f"{disk} has .* bytes free and the model needs 1"),
    ):
        check(root, to="disk/llava")


def test_without_the_tower_it_needs_less(root: Path) -> None:
    with tmpfs(root / "disk", "size=128k"):
        tower, folder = str(root / "clip"), root / "disk/llava"
        check_request(root / "hub", folder, vision_tower=tower, with_tower=False)
        with pytest.raises(StorageError, match="bytes free"):
            check_request(root / "hub", folder, vision_tower=tower, with_tower=True)


def test_a_refusal_imports_no_torch(tmp_path: Path) -> None:
    code = (
        "import sys; from qinstruct_trainer.__main__ import main\n"
        "code = main(sys.argv[1:])\n"
        "sys.exit(1 if {'torch', 'transformers', 'numpy'} & set(sys.modules) else code)"
    )
    arguments = ["convert", "--vision-tower=x", str(tmp_path / "none"), str(tmp_path / "new")]
    ended = subprocess.run([sys.executable, "-c", code, *arguments], check=False)
    assert ended.returncode == EXIT_CONFIG
