"""Records: what is accepted, and the sentence for each bad one."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qinstruct_trainer.contract.errors import DataError
from qinstruct_trainer.data.records import Record, Turn, parse_record

TURNS = [{"from": "human", "value": "Is it sharp?\n<image>"}, {"from": "gpt", "value": "Yes."}]


def record(**changes: Any) -> dict[str, Any]:
    return {"id": "r1", "image": "spaq_koniq/1.jpg", "conversations": TURNS} | changes


def test_a_record_is_parsed() -> None:
    parsed = parse_record(record(qtype="yes-or-no"), 7)
    turns = (Turn("human", "Is it sharp?\n<image>"), Turn("gpt", "Yes."))
    assert parsed == Record("r1", "spaq_koniq/1.jpg", turns)
    assert parsed.num_words == 5


def test_what_may_be_missing() -> None:
    assert parse_record({"conversations": TURNS}, 7) == Record(
        "7", None, parse_record(record(), 0).turns
    )
    assert parse_record(record(image=None, id=12), 0).image is None
    assert parse_record(record(id=12), 0).id == "12"


BAD = {
    "not an object": ([], "not an object"),
    "no conversations": ({"id": "r1"}, "not a list of turns"),
    "no turns": (record(conversations=[]), "not a list of turns"),
    "turn is a text": (record(conversations=["hello"]), "turn 0 is a text"),
    "unknown speaker": (record(conversations=[{"from": "system", "value": "x"}]), "system"),
    "unhashable speaker": (record(conversations=[{"from": [], "value": "x"}]), "from"),
    "no text": (record(conversations=[{"from": "human"}]), "value of turn 0 is missing"),
    "twice the same side": (record(conversations=[TURNS[0], TURNS[0]]), "turn 1 is from human"),
    "no words": (record(conversations=[{"from": "human", "value": " \n"}]), "not a single word"),
    "lone surrogate": (record(conversations=[{"from": "human", "value": "\ud800"}]), "surrogate"),
    "absolute image": (record(image="/etc/passwd"), "not below the image folder"),
    "escaping image": (record(image="a/../../b.jpg"), "not below the image folder"),
    "the folder itself": (record(image="."), "not below the image folder"),
    "backslash": (record(image="a\\b.jpg"), "character no path may have"),
    "NUL": (record(image="a\0b.jpg"), "character no path may have"),
    "surrogate in image": (record(image="\udc00.jpg"), "character no path may have"),
    "empty image": (record(image=""), "not a path"),
    "image is a list": (record(image=["a.jpg", "b.jpg"]), "it names 2 images"),
    "id is a list": (record(id=[1]), "its id is a list"),
}


@pytest.mark.parametrize("case", BAD.values(), ids=BAD.keys())
def test_a_bad_record_is_named(case: tuple[object, str]) -> None:
    raw, reason = case
    with pytest.raises(DataError, match=reason) as error:
        parse_record(raw, 41)
    assert str(error.value).startswith("record 41 ")
    assert "; correct " in str(error.value), "the message says no way out"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["id", "image", "conversations", "from", "value", "x"]), inner
        )
    ),
    max_leaves=12,
)


@given(JSON)
def test_any_json_is_a_record_or_a_data_error(raw: object) -> None:
    try:
        parsed = parse_record(raw, 0)
    except DataError:
        return
    assert parsed.num_words > 0
