"""What `qinstruct plan` draws of a plan."""

import io
from typing import Any

import pytest
from rich.console import Console

from qinstruct_operator.api.parse import parse
from qinstruct_operator.cli.plan.show_plan import show_plan
from qinstruct_operator.core.plan.make import make_plan
from qinstruct_operator.core.plan.warnings import warnings
from qinstruct_operator.settings import Settings
from support.operator_documents import RUNS, document, plan, sample


def shown_of(raw: dict[str, Any], settings: Settings | None = None) -> str:
    out = io.StringIO()
    show_plan(Console(file=out, width=1000), make_plan(parse(raw), settings or Settings()))
    return out.getvalue()


PLANNED = {
    "run-7b-mix": ("18.0 hours (documented)", "144 GPU-hours", "865,832 records, 6,765 steps"),
    "run-13b-mix": ("21.0 hours (documented)", "168 GPU-hours", "lmsys/vicuna-13b-v1.5"),
    "run-7b-after": ("3.0 hours (documented)", "24 GPU-hours", "200,534 records, 1,567 steps"),
    "run-13b-after": ("3.5 hours (documented)", "28 GPU-hours", "any with 80 GB GPUs or larger"),
    "run-tiny": ("none; 2 processes on CPUs", "a tiny LLaVA, built from the seed", "builtin"),
}


@pytest.mark.parametrize("name", RUNS)
def test_plan_shows_the_figures(name: str) -> None:
    shown = shown_of(sample(name))
    for text in (*PLANNED[name], f"{name}-prep", f"{name}-1", f"{name}-config"):
        assert text in shown
    assert "\x1b" not in shown  # plain where there is no terminal


def test_plan_shows_the_memory_of_a_gpu() -> None:
    shown = shown_of(sample("run-13b-after"))
    assert "26.0 GB model states + " in shown
    assert " a GPU, of 80 GB" in shown


@pytest.mark.parametrize(
    ("gpu", "nodes"),
    [
        ({"strict": True}, "nodeSelector nvidia.com/gpu.product: NVIDIA-A100-SXM4-40GB"),
        ({"product": "NVIDIA-H200"}, "any with NVIDIA-H200"),
        ({}, "any with 40 GB GPUs or larger: by the labels of"),
        ({"allowLarger": False}, "any with 40 GB GPUs and no larger: by the labels of"),
    ],
)
def test_plan_shows_how_nodes_are_selected(gpu: dict[str, Any], nodes: str) -> None:
    assert nodes in shown_of(document(gpu=gpu))


def test_plan_shows_packing_where_there_is_some() -> None:
    assert "packing" not in shown_of(document())
    assert "random, packing prefix, seed 42" in shown_of(document(training={"packing": "prefix"}))


def test_hours_that_are_not_the_documented_ones_say_so() -> None:
    shown = shown_of(document(gpu={"perNode": 4, "product": "NVIDIA-H200"}))
    assert "6.0 hours (documented for 8 GPUs, scaled)" in shown


def test_sizes_that_nobody_published_are_not_made_up() -> None:
    labels = {"url": "https://example.org/labels.json"}
    shown = shown_of(document(data={"sources": {"q-instruct-labels": labels}}))
    assert "what the sources of unknown size take" in shown
    assert " steps" not in shown


@pytest.mark.parametrize(
    ("spec", "size", "words"),
    [
        ({}, "400Gi", "up to 6.4 GB more of the cache, for which a claim of 400Gi has room"),
        ({"strategy": "mix"}, "400Gi", "up to 142.1 GB more of the cache, for which a claim of"),
        ({"strategy": "mix"}, "200Gi", "a claim of 200Gi has no room: training decodes each"),
        ({"data": {"claimName": "mine"}}, "400Gi", "6.4 GB more of the cache, if claim mine has"),
        ({"data": {"pixelStore": "Never"}}, "400Gi", "not stored (data.pixelStore: Never)"),
        ({"size": "Tiny"}, "400Gi", "stored in the cache if all of them fit; their number is"),
    ],
)
def test_plan_says_whether_decoded_images_fit(spec: dict[str, Any], size: str, words: str) -> None:
    assert words in shown_of(document(**spec), Settings(cache_size=size))


def test_claims_of_the_user_are_no_children() -> None:
    shown = shown_of(document(data={"claimName": "data"}, output={"claimName": "mine"}))
    children = shown[shown.index("Children, in apply order") :]
    assert "PersistentVolumeClaim" not in children
    assert children.index("x-config") < children.index("x-prep") < children.index("x-1")


def test_warnings_are_shown() -> None:
    raw = document()
    found = list(warnings(plan(raw)))
    assert len(found) > 1
    shown = shown_of(raw)
    assert all(f"\nwarning: {warning}" in shown for warning in found)
    assert "warning" not in shown_of(sample("run-tiny"))


def test_plan_tells_no_token_of_an_address() -> None:
    source = {"url": "https://mirror.example/x.json?token=s3cret"}
    raw = sample("run-7b-after")
    raw["spec"]["data"] = {"sources": {"q-instruct-labels": source}}
    shown = shown_of(raw)
    assert "https://mirror.example/x.json" in shown
    assert "s3cret" not in shown
