"""A mix from every source of the table: fetched, checked and merged, and two processes train on it.

The sources are those of the catalog, at another base; the checkpoints have the published files'
names and formats and a few thousand parameters.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from qinstruct_operator.api.parse import parse
from qinstruct_operator.core.plan.configs import prep_config
from qinstruct_operator.settings import Settings
from qinstruct_trainer.contract.config import Prepared, PrepConfig
from qinstruct_trainer.contract.errors import EXIT_OK
from qinstruct_trainer.contract.events import Step
from qinstruct_trainer.data.index.reader import Index
from qinstruct_trainer.model.llava import load_checked
from qinstruct_trainer.prep.run import run_prep
from support.model.checkpoints import vicuna
from support.operator_documents import document
from support.prep.file_server import serve
from support.prep.published_sources import DEAD, TREE, Published, served, write_published
from support.training.processes import train
from support.training.run_configs import run_config

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("mix")


@pytest.fixture(scope="module")
def site(folder: Path) -> Iterator[tuple[str, Published]]:
    """Where the sources are, and what they hold."""
    (folder / "site").mkdir()
    with serve(folder / "site") as server:
        yield server.url, write_published(folder / "site", server.url)


@pytest.fixture(scope="module")
def prepared(folder: Path, site: tuple[str, Published]) -> Prepared:
    """As the plan of a 7B mix says, but for what this machine is: its folders and its room."""
    sources = {name: {"url": url} for name, url in served(site[0]).items()}
    data = {"sources": sources, "missingImages": "Drop", "maxMissing": 1}
    spec = parse(document(size="7B", strategy="mix", data=data)).spec
    planned = prep_config(spec, "mix", Settings())
    here = {
        "cache": folder / "cache",
        "output": folder / "output",
        "model": vicuna(folder / "models"),
        "private_networks": None,
        "cache_bytes": 0,
        "output_bytes": 0,
    }
    return run_prep(PrepConfig.model_validate(planned.model_dump() | here), lambda _: None)


def test_every_image_is_where_the_published_tree_has_it(
    folder: Path, site: tuple[str, Published], prepared: Prepared
) -> None:
    units = folder / "cache" / "units"
    roots = [path / "files" for path in units.iterdir() if (path / "files").is_dir()]
    there = {
        path.relative_to(root).as_posix(): path.read_bytes()
        for root in roots
        for path in root.rglob("*")
        if path.is_file()
    }
    assert {name.rpartition("/")[0] for name in there} == TREE
    assert {name.rpartition(".")[2] for name in there} == {"jpg"}
    assert there.items() >= site[1].images.items()
    assert not [name for name in there if name.endswith("/13.jpg")]  # listed, but nobody's
    (dead,) = units.glob("fetch-ocr-vqa-images-*/dead.json")
    assert list(json.loads(dead.read_text())) == [f"{DEAD}.jpg"]


def test_records_come_in_the_published_order(
    site: tuple[str, Published], prepared: Prepared
) -> None:
    index = Index.open(prepared.index)
    assert (len(index), prepared.num_dropped) == (site[1].num_records - 1, 1)
    shown = [index[number].image for number in range(len(index))]
    folders = ["/".join(path.parts[-3:-1]) if path else "" for path in shown]
    first = list(dict.fromkeys(each.removeprefix("files/") for each in folders))
    assert first == [
        *("spaq_koniq", "livefb_liveitw_aigc", "coco/train2017", "gqa/images"),
        *("textvqa/train_images", "vg/VG_100K", "vg/VG_100K_2", "ocr_vqa/images", ""),
    ]


def test_two_processes_train_on_it(folder: Path, prepared: Prepared) -> None:
    config = run_config(
        folder / "output" / "prepared.json",
        folder / "trained",
        epochs=1,
        zero_stage=3,
        precision="bf16",
    )
    ended = train(config)
    assert ended.code == EXIT_OK, ended.stderr
    steps = [event for event in ended.events if isinstance(event, Step)]
    assert len(steps) == -(-prepared.num_records // config.global_batch_size)
    model = load_checked(folder / "trained" / "model", precision="bf16")
    assert model.config.image_token_index == Index.open(prepared.index).meta.image_token_id
