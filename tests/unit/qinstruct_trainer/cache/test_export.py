"""Copies for use elsewhere; the label file is compared with that of the real jq."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from qinstruct_trainer.cache.export import export
from qinstruct_trainer.contract.errors import ConfigError, DataError
from support.cache.units import IMAGES, LABELS, make, make_merged, unit

FIRST = [
    {
        "id": "a/1",
        "image": "a/1.jpg",
        "qtype": "0",
        "conversations": [
            {"from": "human", "value": 'Is it?\n<image>\t"quoted" \\ / é 漢 😀 \u2028'},
            {"from": "gpt", "value": "\u0000\u0001\b\f\r\u001f\u007f\u0080"},
        ],
    },
    {"id": 7, "empty": {}, "none": [], "null": None, "is": [True, False], "conversations": [[]]},
]
SECOND = [{"id": 9007199254740991, "neg": -3, "model": "", "conversations": []}]


@pytest.mark.skipif(shutil.which("jq") is None, reason="needs jq (apt-get install jq)")
@pytest.mark.parametrize("files", [(FIRST, SECOND), (FIRST, []), ([], [])])
def test_labels_are_byte_for_byte_what_jq_makes_of_the_two_files(
    files: tuple[list[object], ...], tmp_path: Path
) -> None:
    names = ["cleaned_labels.json", "llava_v1_5_mix665k.json"]
    for name, records in zip(names, files, strict=True):
        (tmp_path / name).write_text(json.dumps(records))
    jq = subprocess.run(
        ["jq", "-s", "add", *names], cwd=tmp_path, capture_output=True, check=True
    ).stdout
    make_merged(tmp_path / "cache", [record for records in files for record in records])
    target = tmp_path / "mix_cleaned_labels.json"
    copied = export(tmp_path / "cache", "labels", target, 0)
    assert target.read_bytes() == jq
    assert copied.num_bytes == len(jq)


def test_numbers_that_jq_rounds_keep_their_value(tmp_path: Path) -> None:
    record = {"id": 2**53 + 1, "score": 0.1, "conversations": []}
    make_merged(tmp_path / "cache", [record])
    export(tmp_path / "cache", "labels", tmp_path / "labels.json", 0)
    assert json.loads((tmp_path / "labels.json").read_text()) == [record]


@pytest.mark.parametrize("link", [False, True])
def test_the_files_of_a_unit(link: bool, tmp_path: Path) -> None:
    (folder,) = make(tmp_path / "cache", LABELS)
    export(tmp_path / "cache", "fetch-labels", tmp_path / "new/copy", 0, link=link)
    copy = tmp_path / "new/copy/file"
    assert [path.name for path in (tmp_path / "new/copy").iterdir()] == ["file"]
    assert copy.read_bytes() == (folder / "file").read_bytes()
    assert copy.samefile(folder / "file") == link


def test_several_units_or_none_can_be_meant(tmp_path: Path) -> None:
    cache, target = tmp_path / "cache", tmp_path / "copy"
    make(cache, LABELS, IMAGES)
    with pytest.raises(ConfigError, match="2 units can be meant by a"):
        export(cache, "a", target, 0)
    for name in ("nothing", "labels", "labels:fetch"):
        with pytest.raises(ConfigError, match=f"no unit of the cache is meant by {name}"):
            export(cache, name, target, 0)
    first, _ = make_merged(cache, FIRST), make_merged(cache, SECOND, "others")
    with pytest.raises(ConfigError, match=r"2 units can be meant by labels .*give labels:NAME"):
        export(cache, "labels", target, 0)
    assert export(cache, f"labels:{first.name}", target, 0).unit == first.name
    with pytest.raises(ConfigError, match="is there already"):
        export(cache, unit("labels").folder_name, target, 0)


def test_a_damaged_unit_is_not_exported(tmp_path: Path) -> None:
    (folder,) = make(tmp_path / "cache", LABELS)
    (folder / "file").unlink()
    (folder / "file").symlink_to("/etc/passwd")
    with pytest.raises(DataError, match="was damaged after it was made"):
        export(tmp_path / "cache", "labels-", tmp_path / "copy", 0)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cache"]


@pytest.mark.parametrize("where", ["copy", "units/copy", "../cache/copy"])
def test_nothing_is_written_into_the_cache(where: str, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    (folder,) = make(cache, LABELS)
    with pytest.raises(ConfigError, match=r"lies in the cache .*; name a place outside of it"):
        export(cache, folder.name, cache / where, 0)
    assert not [*cache.rglob("copy*")]
