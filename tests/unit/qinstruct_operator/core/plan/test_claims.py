"""The claims of a run: which one, and of what size."""

import pytest

from qinstruct_operator.core import names
from qinstruct_operator.core.plan.claims import has_room
from qinstruct_operator.core.plan.types import Claim
from qinstruct_operator.core.quantity import parse_quantity
from qinstruct_operator.settings import Settings
from support.operator_documents import document, plan


def test_tiny_with_real_data_shares_the_real_cache() -> None:
    sources = {"q-instruct-labels": {"url": "http://h/l.json"}, "q-instruct-images": {}}
    made = plan(document(size="Tiny", data={"sources": sources}))
    assert [source.kind for source in made.prep_config.sources] == ["labels", "images"]
    assert made.cache_claim.name == names.CACHE_CLAIM


def test_tiny_on_built_in_data_has_a_small_cache_of_its_own() -> None:
    claim = plan(document(size="Tiny")).cache_claim
    assert claim.name == names.TINY_CACHE_CLAIM
    assert claim.size
    small, usual = parse_quantity(claim.size), parse_quantity(Settings().cache_size)
    assert small
    assert usual
    assert 0 < small < usual / 100


def test_a_claim_of_the_users_is_not_sized_and_not_owned() -> None:
    made = plan(document(data={"claimName": "cache"}, output={"claimName": "out"}))
    assert made.cache_claim == Claim("cache", None, None, owned=False)
    assert made.output_claim == Claim("out", None, None, owned=False)


@pytest.mark.parametrize(
    ("size", "has"), [("1Gi", False), ("2Gi", True), ("3Gi", True), (None, None)]
)
def test_whether_a_claim_has_room(size: str | None, has: bool | None) -> None:
    assert has_room(Claim("cache", size, None, owned=False), 2 << 30) is has


def test_the_store_of_decoded_images_makes_no_claim_larger() -> None:
    claims = {plan(document(data={"pixelStore": p})).cache_claim for p in ("Auto", "Never")}
    assert len(claims) == 1
