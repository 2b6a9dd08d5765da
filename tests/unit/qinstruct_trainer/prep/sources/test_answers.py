"""What an answer has, by its headers."""

import httpx
import pytest

from qinstruct_trainer.prep.sources.answers import continues_at, length_of, status_sentence
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
