"""JSON that is nearly right: kept documents with a few values changed, and odd ways to write it.

What json.dumps cannot write (numbers without an end, a thousand levels) stands in the value as a
text that is replaced in the written one.
"""

import json
from collections.abc import Sequence
from copy import deepcopy
from typing import Any, Final

from hypothesis import strategies as st

from support.fuzz.byte_inputs import damaged

_RAW: Final = {
    "@raw:exponent@": "1e999",
    "@raw:minus exponent@": "-1e999",
    "@raw:tiny@": "1e-999",
    "@raw:digits@": "9" * 5000,
    "@raw:nan@": "NaN",
    "@raw:infinity@": "-Infinity",
    "@raw:minus zero@": "-0",
    "@raw:deep@": "[" * 3000 + "]" * 3000,
    "@raw:deep objects@": '{"a":' * 300 + "1" + "}" * 300,
    "@raw:quite deep@": "[" * 60 + "]" * 60,
    "@raw:twice@": '{"type": 1, "type": [], "type": null}',
    "@raw:half a pair@": '"\\ud800"',
}
_TEXTS: Final = (
    *(
        "",
        " ",
        "\0",
        "\n",
        "a\r\nb",
        "\x1b]0;title\x07",
        "\x7f\x9b2J",
        "\u202etxt",
        "\ud800",
        "\U0001f600",
    ),
    *("../../etc/passwd", "/etc/passwd", "a/../b", "./a.png", "a\\b", "//", ".", "\u2028", "\xa0"),
    *("<image>", "</s>", "<s><s>", "<pad>", "<0x0A>", "\u2581", "USER: ", "ASSISTANT:", "{}%s"),
    *(
        "true",
        "NaN",
        "1e5",
        "2026-13-45T99:99:99Z",
        "9999-12-31T23:59:59Z",
        "https://u:p@h/?token=x",
    ),
    *("a" * 300, "\u00e4" * 1500, "b " * 40_000),
    '\n{"v":1,"time":1,"event":"complete","model":"x"}\n',
)
_NUMBERS: Final = (
    *(
        0,
        1,
        -1,
        2,
        7,
        255,
        256,
        65_535,
        99_999,
        2**31 - 1,
        2**31,
        -(2**31),
        2**53,
        2**63,
        2**64,
        10**30,
    ),
    *(0.5, -0.0, 1e-9, 1.5e300, 3.0),
)
_SCALARS: Final = (None, True, False, *_NUMBERS, *_TEXTS, *_RAW)

SCALARS: Final = st.sampled_from(_SCALARS)
TEXTS: Final = st.sampled_from(_TEXTS) | st.text(max_size=12)
VALUES: Final = st.one_of(
    SCALARS,
    SCALARS,
    st.lists(SCALARS, max_size=3),
    st.dictionaries(st.sampled_from(_TEXTS[:30]), SCALARS, max_size=2),
)


@st.composite
def changed(draw: st.DrawFn, documents: Sequence[Any], *, most: int = 4) -> Any:
    """One of the documents, with a few of its values changed, or parts of another in them."""
    holder = [deepcopy(draw(st.sampled_from(documents)))]
    for _ in range(draw(st.integers(0, most))):
        _change(draw, holder, documents)
    return holder[0]


def _change(draw: st.DrawFn, holder: list[Any], documents: Sequence[Any]) -> None:
    parent, key = _place(draw, holder)
    value = parent[key]
    match draw(st.integers(0, 6)):
        case 0 if parent is not holder:
            del parent[key]
        case 1:
            other, place = _place(draw, [draw(st.sampled_from(documents))])
            parent[key] = deepcopy(other[place])
        case 2 if isinstance(parent, dict):
            parent[draw(TEXTS | st.sampled_from(sorted(map(str, parent))))] = value
        case 3 if isinstance(parent, list) and parent is not holder:
            parent[:] = parent[:key] + [value] * draw(st.sampled_from([2, 3, 50])) + parent[key:]
        case 4:
            parent[key] = [value] if draw(st.booleans()) else {draw(TEXTS): value}
        case _:
            parent[key] = draw(_like(value)) if draw(st.booleans()) else draw(VALUES)


@st.composite
def _like(draw: st.DrawFn, value: Any) -> Any:
    """A value of the same type that is not far away."""
    if isinstance(value, str):
        at = draw(st.integers(0, len(value)))
        return value[:at] + draw(TEXTS) + value[at:]
    if type(value) in (int, float):
        return draw(st.sampled_from([-value, value + 1, value - 1, value * 2**20, str(value)]))
    if isinstance(value, dict):
        return value | {draw(TEXTS): draw(VALUES)}
    return draw(VALUES)


def _place(draw: st.DrawFn, holder: list[Any]) -> tuple[Any, Any]:
    """A container and a key of it, more often near the root than in a long list."""
    parent: Any = holder
    key: Any = 0
    while True:
        value = parent[key]
        if not isinstance(value, dict | list) or not value or draw(st.integers(0, 4)) == 0:
            return parent, key
        parent = value
        places = list(value) if isinstance(value, dict) else range(len(value))
        key = draw(st.sampled_from(places))


@st.composite
def written(draw: st.DrawFn, value: Any) -> bytes:
    """The value as JSON, as somebody may write it; now and then with a few bytes changed."""
    text = json.dumps(
        value,
        ensure_ascii=draw(st.booleans()),
        indent=draw(st.sampled_from([None, None, None, 1])),
    )
    for word, raw in _RAW.items():
        text = text.replace(f'"{word}"', raw)
    form = draw(st.integers(0, 19))
    if form == 0:
        text = "\ufeff" + text
    if form == 1:
        text = text.replace(", ", " ,\r\n\t")
    content = text.encode("utf-8", "surrogatepass")
    return draw(damaged(content)) if form >= 17 else content


def json_inputs(documents: Sequence[Any], *, most: int = 4) -> st.SearchStrategy[bytes]:
    """Documents that are nearly like these, as bytes."""
    return changed(documents, most=most).flatmap(written)
