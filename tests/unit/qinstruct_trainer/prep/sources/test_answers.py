"""What an answer has, by its headers."""

import httpx
import pytest

from qinstruct_trainer.prep.sources.answers import (
    Stamp,
    continues_at,
    divisible_bytes,
    is_part,
    length_of,
    stamp_of,
    status_sentence,
)
from qinstruct_trainer.prep.sources.retry import AttemptError


def answer(status: int, **headers: str) -> httpx.Response:
    return httpx.Response(status, headers={k.replace("_", "-"): v for k, v in headers.items()})


def test_a_whole_file_does_not_go_on() -> None:
    assert not continues_at(answer(200), 5, 10)


def test_the_rest_goes_on() -> None:
    assert continues_at(answer(206, content_range="bytes 5-9/10"), 5, 10)
    assert continues_at(answer(206, content_range="bytes 5-9/*"), 5, None)


@pytest.mark.parametrize("said", ["", "bytes 4-9/10", "bytes 5-9/11", "bytes */10", "5-9/10 bytes"])
def test_another_part_is_refused(said: str) -> None:
    with pytest.raises(AttemptError, match="another range"):
        continues_at(answer(206, content_range=said), 5, 10)


@pytest.mark.parametrize(("said", "length"), [("12", 12), ("-1", None), ("", None), ("1,2", None)])
def test_the_length_of_a_body(said: str, length: int | None) -> None:
    assert length_of(answer(200, content_length=said)) == length


def test_a_status_in_the_words_of_the_standard() -> None:
    assert status_sentence(answer(429)) == "the server answers 429 Too Many Requests"
    assert status_sentence(answer(599)) == "the server answers 599"


GOOD = {"accept_ranges": "bytes", "content_length": "100", "etag": '"one"'}
PART = {"content_range": "bytes 10-19/100", "content_length": "10", "etag": '"one"'}


@pytest.mark.parametrize(
    ("status", "changes", "size"),
    [
        (200, {}, 100),
        (200, {"accept_ranges": "none"}, None),
        (200, {"etag": 'W/"one"'}, None),
        (200, {"etag": "one"}, None),
        (200, {"etag": ""}, None),
        (200, {"content_length": ""}, None),
        (200, {"content_encoding": "gzip"}, None),
        (200, {"content_encoding": "identity"}, 100),
        (206, {}, None),
    ],
)
def test_the_size_of_a_file_that_comes_in_parts(
    status: int, changes: dict[str, str], size: int | None
) -> None:
    assert divisible_bytes(answer(status, **(GOOD | changes))) == size


@pytest.mark.parametrize(
    ("status", "changes", "expected"),
    [
        (206, {}, True),
        (206, {"content_length": ""}, True),
        (200, {}, False),
        (206, {"content_range": "bytes 10-20/100"}, False),
        (206, {"content_range": "bytes 10-19/101"}, False),
        (206, {"content_range": "bytes 10-19/*"}, False),
        (206, {"content_range": ""}, False),
        (206, {"content_length": "11"}, False),
        (206, {"etag": '"two"'}, False),
        (206, {"etag": ""}, False),
        (206, {"content_encoding": "gzip"}, False),
    ],
)
def test_a_part_is_exactly_what_was_asked_for(
    status: int, changes: dict[str, str], expected: bool
) -> None:
    assert is_part(answer(status, **(PART | changes)), (10, 20), 100, '"one"') == expected


@pytest.mark.parametrize(
    ("status", "headers", "stamp"),
    [
        (200, {"content_length": "5"}, Stamp(num_bytes=5)),
        (206, {"content_length": "1", "content_range": "bytes 0-0/5"}, Stamp(num_bytes=5)),
        (206, {"content_length": "1", "content_range": "bytes 0-0/*"}, Stamp()),
        (206, {"content_range": f"bytes 0-0/{'9' * 5000}"}, Stamp()),
        (206, {}, Stamp()),
        (200, {"content_length": "5", "content_encoding": "gzip"}, Stamp()),
        (200, {"etag": '"one"'}, Stamp(etag='"one"')),
        (200, {"etag": 'W/"one"', "last_modified": "today"}, Stamp(etag='"one"', changed="today")),
        (200, {"etag": '"\t"', "last_modified": "x" * 2000}, Stamp()),
        (200, {"etag": "", "last_modified": ""}, Stamp()),
    ],
)
def test_what_is_said_of_a_version(status: int, headers: dict[str, str], stamp: Stamp) -> None:
    assert stamp_of(answer(status, **headers)) == stamp


@pytest.mark.parametrize(
    ("one", "two", "is_same"),
    [
        (Stamp(), Stamp(), None),
        (Stamp(etag='"a"'), Stamp(changed="today"), None),
        (Stamp(num_bytes=1), Stamp(etag='"a"'), None),
        (Stamp(num_bytes=1), Stamp(num_bytes=1), True),
        (Stamp(num_bytes=1), Stamp(num_bytes=2), False),
        (Stamp(etag='"a"', num_bytes=1), Stamp(etag='"a"', num_bytes=2), False),
        (Stamp(etag='"a"', num_bytes=1), Stamp(etag='"b"', num_bytes=1), False),
        (Stamp(etag='"a"', changed="today"), Stamp(etag='"a"', changed="now"), True),
        (Stamp(changed="today", num_bytes=1), Stamp(changed="now", num_bytes=1), False),
        (Stamp(changed="today"), Stamp(etag='"a"', changed="today"), True),
    ],
)
def test_whether_two_are_of_one_version(one: Stamp, two: Stamp, is_same: bool | None) -> None:
    assert one.is_of(two) is is_same
    assert two.is_of(one) is is_same
