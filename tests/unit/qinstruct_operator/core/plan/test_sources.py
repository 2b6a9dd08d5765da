"""Which sources a run takes, and how a document changes them."""

from qinstruct_operator.api.spec import SourceOverride
from qinstruct_operator.catalog.sources import SOURCES, sources_of
from qinstruct_operator.core.plan.sources import num_images
from support.operator_documents import document, plan, sample


def test_mix_takes_every_source_with_q_instruct_first() -> None:
    sources = plan(sample("run-13b-mix")).prep_config.sources
    assert [source.name for source in sources] == list(SOURCES)
    assert [s.name for s in sources if s.kind == "labels"] == [
        "q-instruct-labels",
        "mix665k-labels",
    ]


def test_a_revision_takes_the_place_of_main() -> None:
    raw = document(data={"sources": {"q-instruct-labels": {"revision": "46c87ef"}}})
    labels = plan(raw).prep_config.sources[0]
    assert labels.url.endswith("/resolve/46c87ef/cleaned_labels.json")
    assert labels.revision == "46c87ef"
    assert labels.num_records == 200_534


def test_a_revision_is_of_each_address_of_the_hub() -> None:
    override = {
        "url": "hf://datasets/me/set/l.json",
        "mirrors": ["https://h/me/set/resolve/main/l.json", "https://h/l.json"],
        "revision": "46c87ef",
    }
    labels = plan(document(data={"sources": {"q-instruct-labels": override}})).prep_config.sources
    assert (labels[0].url, *labels[0].mirrors) == (
        "hf://datasets/me/set@46c87ef/l.json",
        "https://h/me/set/resolve/46c87ef/l.json",
        "https://h/l.json",
    )


def test_a_mirror_promises_no_published_size() -> None:
    raw = document(data={"sources": {"q-instruct-labels": {"url": "https://example.org/l.json"}}})
    made = plan(raw)
    assert made.prep_config.sources[0].num_records is None
    assert made.num_steps is None


def test_a_download_is_bounded_by_the_published_size_or_the_users_number() -> None:
    url = "https://mirror.example/file"
    raw = document(
        data={"sources": {"q-instruct-labels": {"url": url}, "q-instruct-images": {"maxBytes": 7}}}
    )
    assert plan(raw).prep_config.max_bytes == {
        "q-instruct-labels": 2 * 76_500_000,
        "q-instruct-images": 7,
    }
    mix = plan(sample("run-13b-mix")).prep_config
    assert set(mix.max_bytes) == {source.name for source in mix.sources}


def test_the_images_that_records_name() -> None:
    names = sources_of("mix")
    every_record = 18_973 + 364_100 + 86_417 + 72_140 + 80_000 + 21_953
    found = num_images(names, {})
    assert found is not None
    assert num_images(sources_of("after"), {}) == 18_973 < found < every_record
    assert num_images(names, {"coco": SourceOverride(sha256="a" * 64)}) == found
    assert num_images(names, {"coco": SourceOverride(url="https://a.b/c.zip")}) is None
    assert num_images((), {}) is None
