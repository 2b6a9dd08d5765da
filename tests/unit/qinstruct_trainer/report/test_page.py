"""The page: nothing in it is run, loaded from elsewhere, or taken for markup."""

from html.parser import HTMLParser
from typing import Any

from qinstruct_trainer.contract.errors import DataError
from qinstruct_trainer.contract.summary import SummaryTable
from qinstruct_trainer.data.images import Picture
from qinstruct_trainer.data.records import parse_record
from qinstruct_trainer.report.page import Histogram, page_of
from qinstruct_trainer.report.read import Row
from support.report import HOSTILE, RECORDS, record


class Tags(HTMLParser):
    """All tags with their attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def parsed(*raws: dict[str, Any], picture: Picture | str) -> Tags:
    rows = [Row(HOSTILE, n, raw, parse_record(raw, n)) for n, raw in enumerate(raws)]
    names = {row.record.image for row in rows if not isinstance(row.record, DataError)}
    pictures = {name: picture for name in names if name}
    table = SummaryTable(title=HOSTILE, columns=(HOSTILE,), rows=((HOSTILE,),))
    histogram = Histogram(HOSTILE, [(HOSTILE, 1), ("b", 0)])
    tags = Tags()
    page = page_of(HOSTILE, [table], [histogram], rows, pictures)
    assert "\x1b" not in page
    assert "\u202e" not in page
    tags.feed(page)
    return tags


def test_hostile_texts_are_texts() -> None:
    tags = parsed(*RECORDS, picture=HOSTILE)
    names = {name for name, _ in tags.found}
    assert not names & {"img", "script", "iframe", "object", "link", "form", "a"}
    assert not [key for _, attributes in tags.found for key in attributes if key.startswith("on")]
    assert tags.text.count("<script>alert(2)</script>") >= 9


def test_pictures_are_in_the_page_and_the_policy_allows_nothing_else() -> None:
    tags = parsed(RECORDS[0], picture=Picture(640, 480, "JPEG", b"\xff\xd8"))
    (image,) = [attributes for name, attributes in tags.found if name == "img"]
    assert image["src"] == "data:image/jpeg;base64,/9g="
    (policy,) = [a["content"] for _, a in tags.found if a.get("http-equiv")]
    assert str(policy).startswith("default-src 'none'; img-src data:;")
    assert "640 x 480 JPEG" in tags.text


def test_long_texts_and_many_turns_are_cut() -> None:
    raw = record("a.jpg", "x" * 10**6)
    raw["conversations"] *= 1000
    tags = parsed(raw, picture="missing")
    assert len(tags.text) < 10**5
    assert "1988 more turns" in tags.text
