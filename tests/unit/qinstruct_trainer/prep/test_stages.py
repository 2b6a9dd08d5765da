"""What the key of each stage's unit holds; and prep itself needs no torch."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from qinstruct_trainer.contract.config import ModelSource, PrepConfig, Source
from qinstruct_trainer.contract.errors import ConfigError
from qinstruct_trainer.contract.events import PrepProgress
from qinstruct_trainer.prep.code_versions import CODE_VERSIONS, CodeVersion
from qinstruct_trainer.prep.gate import GateReport, RecordFile
from qinstruct_trainer.prep.stages import FinishedUnit, ImageFolders, Labels, Stages
from qinstruct_trainer.prep.unit_cache import Build, UnitCache
from qinstruct_trainer.prep.unit_manifest import Unit
from support.prep.miniature import write_miniature

# Says at every event which of the heavy packages are there.
PROGRAM = """
import sys
from pathlib import Path
from qinstruct_trainer.__main__ import main
from qinstruct_trainer.contract.config import PrepConfig
from qinstruct_trainer.prep.run import run_prep

def report(event):
    stage = getattr(event, "stage", "done")
    print(stage, *{"torch", "transformers", "sentencepiece"} & sys.modules.keys())

run_prep(PrepConfig.read(Path(sys.argv[1])), report)
"""

VICUNA = ModelSource(kind="vicuna", base="me/v", projector="me/p", vision_tower="me/t")
Make = Callable[[Stages], FinishedUnit]


class UnbuiltCache(UnitCache):
    """Names the units and builds none: here only their names matter."""

    def get(self, unit: Unit, build: Build, *, resumes: bool = False) -> Path:
        return self.downloads.parent / unit.folder_name


@pytest.fixture
def stages(tmp_path: Path) -> Stages:
    return Stages(UnbuiltCache(tmp_path / "cache", "run", lambda _: None), lambda _: None)


def made(key: str) -> FinishedUnit:
    """A unit of an earlier stage."""
    return FinishedUnit(key, Path("/units") / key)


def fetch(**changes: object) -> Make:
    source = Source(name="labels", kind="labels", url="https://host/one")
    return lambda stages: stages.fetch(source.model_copy(update=changes))


def builtin(url: str = "builtin:after", seed: int = 1, name: str = "builtin") -> Make:
    return lambda stages: stages.builtin(Source(name=name, kind="builtin", url=url), seed)


def extract(into: str = "here", fetched: str = "f", name: str = "images") -> Make:
    source = Source(name=name, kind="images", url="https://host/one.tar", into=into)
    return lambda stages: stages.extract(source, made(fetched))


def gate(
    source: str = "labels", published: int | None = 5, key: str = "f", images: str = "i"
) -> Make:
    file = RecordFile(source=source, path=Path("/labels"), published=published)
    folders = ImageFolders((Path("/one"),), (images,))
    return lambda stages: stages.gate(
        Labels((file,), (key,)), folders, stages.pixel_units(folders, 336, 0)
    )


def merge(gate: str = "g") -> Make:
    report = GateReport(counts=(), images=0, bad=())
    return lambda stages: stages.merge(made(gate), report)


def changed(**values: str) -> ModelSource:
    """A hub's model with other values."""
    return ModelSource.model_validate(VICUNA.model_dump() | values)


def model(source: ModelSource = VICUNA, seed: int = 1, merged: str = "m") -> Make:
    return lambda stages: stages.model(source, seed, made(merged))


def tiny(seed: int = 1, merged: str = "m") -> Make:
    return lambda stages: stages.model(ModelSource(kind="tiny"), seed, made(merged))


def index(
    merged: str = "m",
    model: str = "n",
    images: str = "i",
    root: str = "/one",
    *,
    max_length: int = 512,
    num_records: int = 9,
) -> Make:
    return lambda stages: stages.index(
        made(merged),
        made(model),
        ImageFolders((Path(root),), (images,)),
        max_length=max_length,
        num_records=num_records,
    )


DIFFERENT: dict[str, list[Make]] = {
    "fetch": [
        fetch(),
        fetch(name="other"),
        fetch(url="https://host/two"),
        fetch(revision="v1"),
        fetch(sha256="0" * 64),
        fetch(sha256="1" * 64),
        fetch(mirrors=("https://mirror/one",)),
        fetch(mirrors=("https://mirror/two", "https://mirror/one")),
        fetch(mirrors=("https://mirror/one", "https://mirror/two")),
    ],
    "builtin": [builtin(), builtin("builtin:mix"), builtin(seed=2), builtin(name="other")],
    "extract": [extract(), extract("there"), extract(fetched="g"), extract(name="other")],
    "gate": [gate(), gate("other"), gate(published=6), gate(key="g"), gate(images="j")],
    "merge": [merge(), merge("h")],
    "model": [
        model(),
        model(changed(kind="llava")),
        model(changed(base="me/other")),
        model(changed(revision="v1")),
        model(changed(projector="me/other")),
        model(changed(vision_tower="me/other")),
    ],
    "tiny": [tiny(), tiny(seed=2), tiny(merged="o")],
    "index": [
        index(),
        index("o"),
        index(model="o"),
        index(images="j"),
        index(root="/two"),
        index(max_length=1024),
    ],
}
SAME: dict[str, list[Make]] = {
    "a file of a known digest is that file wherever it comes from": [
        fetch(sha256="0" * 64),
        fetch(sha256="0" * 64, url="https://host/two"),
        fetch(sha256="0" * 64, mirrors=("https://mirror/one",)),
        fetch(sha256="0" * 64, revision="v1"),
    ],
    "a builtin data set is for strategy after": [builtin(), builtin("builtin:")],
    "a hub's model has no seed and no data": [model(), model(seed=2, merged="o")],
    "the number of records is only for the progress": [index(), index(num_records=10)],
}


@pytest.mark.parametrize("makes", DIFFERENT.values(), ids=DIFFERENT)
def test_whatever_decides_the_content_is_in_the_key(makes: list[Make], stages: Stages) -> None:
    assert len({make(stages).key for make in makes}) == len(makes)


def test_a_builtin_data_set_of_no_strategy_is_named(stages: Stages) -> None:
    sentence = (
        "data.sources.builtin.url builtin:both names no strategy; use builtin:after or builtin:mix"
    )
    with pytest.raises(ConfigError, match=f"^{sentence}$"):
        builtin("builtin:both")(stages)


def test_a_builtin_data_set_is_told_of_before_it_is_drawn(tmp_path: Path) -> None:
    def stop(event: object) -> None:
        assert isinstance(event, PrepProgress)
        raise KeyboardInterrupt(event.done)

    with pytest.raises(KeyboardInterrupt, match=r"^0$"):
        builtin()(Stages(UnitCache(tmp_path / "cache", "run", lambda _: None), stop))


@pytest.mark.parametrize("makes", SAME.values(), ids=SAME)
def test_what_does_not_is_not(makes: list[Make], stages: Stages) -> None:
    assert len({make(stages).key for make in makes}) == 1


@pytest.mark.parametrize("makes", DIFFERENT.values(), ids=DIFFERENT)
def test_other_code_makes_another_unit(
    makes: list[Make], stages: Stages, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = makes[0](stages).key
    for maker, version in CODE_VERSIONS.items():
        monkeypatch.setitem(CODE_VERSIONS, maker, CodeVersion(version.number + 1, ""))
    assert makes[0](stages).key != before


@pytest.mark.parametrize("harm", ["longer", "younger", "renamed"])
@pytest.mark.parametrize("field", ["base", "projector", "vision_tower"])
def test_a_folder_that_has_changed_in_its_place_makes_another_model(
    field: str, harm: str, stages: Stages, tmp_path: Path
) -> None:
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    file = folder / "config.json"
    file.write_text("{}")
    os.utime(file, (1, 1))
    make = model(changed(**{field: str(folder)}))
    before = make(stages).key
    assert make(stages).key == before
    if harm == "longer":
        file.write_text("{ }")
        os.utime(file, (1, 1))
    elif harm == "younger":
        os.utime(file, (2, 2))
    else:
        file.rename(folder / "other.json")
    assert make(stages).key != before


@pytest.mark.parametrize("url", ["file://{}", "{}", "./file", "../{}/file"])
def test_a_file_that_has_changed_in_its_place_makes_another_unit(
    url: str, stages: Stages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "file"
    file.write_text("one")
    base = url.format(tmp_path.name if url.startswith("../") else file)
    before = model(changed(base=base))(stages).key
    file.write_text("another")
    assert model(changed(base=base))(stages).key != before


def test_a_label_file_that_has_changed_in_its_place_is_fetched_again(
    stages: Stages, tmp_path: Path
) -> None:
    file = tmp_path / "labels.json"
    file.write_text("[]")
    before = fetch(url=file.as_uri())(stages).key
    file.write_text("[ ]")
    assert fetch(url=file.as_uri())(stages).key != before


def test_no_stage_imports_torch_into_prep_itself(tmp_path: Path) -> None:
    made = write_miniature(tmp_path / "served")
    config = PrepConfig(
        run="run",
        cache=tmp_path / "cache",
        output=tmp_path / "output",
        sources=(
            Source(name="labels", kind="labels", url=made.labels.as_uri()),
            Source(name="images", kind="images", url=made.archive.as_uri()),
        ),
        model=ModelSource(kind="tiny"),
        max_length=512,
        seed=0,
    )
    path = tmp_path / "prep.json"
    path.write_text(config.to_json())
    command = [sys.executable, "-c", PROGRAM, str(path)]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    stages = {"fetch", "extract", "gate", "pixels", "merge", "model", "index"}
    assert {*lines} == stages | {"done"}
