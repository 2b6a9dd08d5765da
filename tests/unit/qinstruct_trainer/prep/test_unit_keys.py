"""What stands in a unit's key; `test_stages` has what must differ, stage by stage."""

from pathlib import Path

import pytest

from qinstruct_trainer.contract.config import ModelSource, Source
from qinstruct_trainer.prep.unit_keys import (
    extracted_unit,
    fetched_unit,
    local_stamp,
    model_identity,
)
from qinstruct_trainer.prep.versions import FIRST

SIGNED = "https://host/file?token=s3cret"


def test_no_secret_stands_in_a_key() -> None:
    source = Source(name="labels", kind="labels", url=SIGNED, mirrors=(SIGNED,))
    parts = (
        *fetched_unit(source).key_parts,
        model_identity(ModelSource(kind="llava", base=SIGNED)),
    )
    assert "s3cret" not in "".join(parts)


def test_a_version_is_in_the_key_of_all_that_is_made_of_it() -> None:
    source = Source(name="images", kind="images", url="https://host/a.tar", into="here")
    first, second = fetched_unit(source, FIRST), fetched_unit(source, "0" * 16)
    assert fetched_unit(source) == first
    assert first.key != second.key
    assert extracted_unit(source, first.key).key != extracted_unit(source, second.key).key


@pytest.mark.parametrize("place", [None, "", "me/model", "https://host/file", "/nowhere/at/all"])
def test_what_is_not_here_has_no_stamp(place: str | None) -> None:
    assert local_stamp(place) == ""


def test_a_mirror_of_this_machine_is_another_file_when_it_has_changed(tmp_path: Path) -> None:
    own = tmp_path / "own.json"
    own.write_text("[]")
    source = Source(name="l", kind="labels", url="https://host/l", mirrors=(own.as_uri(),))
    before = fetched_unit(source).key
    own.write_text("[ ]")
    assert fetched_unit(source).key != before
