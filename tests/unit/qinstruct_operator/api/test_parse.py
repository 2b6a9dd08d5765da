"""Documents that are no run: every fault in a sentence with the field and the way out."""

from typing import Any

import pytest

from qinstruct_operator.api.parse import parse
from qinstruct_operator.catalog.sources import SOURCES
from qinstruct_operator.errors import InvalidSpec
from support.operator_documents import RUNS, document, sample


def sentences(raw: dict[str, Any]) -> list[str]:
    with pytest.raises(InvalidSpec) as caught:
        parse(raw)
    return [violation.sentence() for violation in caught.value.violations]


@pytest.mark.parametrize("name", [*RUNS, "all-fields"])
def test_samples_are_runs(name: str) -> None:
    assert parse(sample(name)).metadata.name == sample(name)["metadata"]["name"]


def test_another_kind_gets_its_identity_corrected_first() -> None:
    raw = {"apiVersion": "v1", "spec": {"containers": []}}
    assert sentences(raw) == [
        "apiVersion v1: is not qinstruct.dev/v1alpha1; write apiVersion: qinstruct.dev/v1alpha1",
        "kind: is missing; write kind: QInstructTraining",
    ]


CASES: dict[str, tuple[dict[str, Any], str]] = {
    "no value": (
        {"size": None},
        "spec.size: has no value; give spec.size a value or remove it",
    ),
    "unknown": (
        {"colour": "red"},
        "spec.colour: is not a known field; known here: backend, budget, checkpoint, data, "
        "evaluation, gpu, model, output, patches, prep, recovery, scheduling, size, strategy, "
        "suspend, tracking, training",
    ),
    "unknown, but near": (
        {"training": {"learningrate": 1}},
        "spec.training.learningrate: is not a known field; did you mean learningRate?",
    ),
    "unknown in a list": (
        {"scheduling": {"tolerations": [{"kay": "x"}]}},
        "spec.scheduling.tolerations[0].kay: is not a known field; did you mean key?",
    ),
    "no near choice": (
        {"strategy": "both"},
        "spec.strategy both: is not one of the choices; use mix or after",
    ),
    "choice": (
        {"strategy": "aftr"},
        "spec.strategy aftr: is not one of the choices; use mix or after; did you mean after?",
    ),
    "bound": (
        {"training": {"epochs": 0}},
        "spec.training.epochs 0: must be at least 1; use a value at least 1",
    ),
    "bound that is not reached": (
        {"training": {"warmupRatio": 1}},
        "spec.training.warmupRatio 1: must be less than 1; use a value less than 1",
    ),
    "truth": (
        {"output": {"retain": "yes"}},
        "spec.output.retain yes: is text, not true or false; write true or false, without quotes",
    ),
    "whole number": (
        {"training": {"epochs": 0.5}},
        "spec.training.epochs 0.5: is not a whole number; write 1",
    ),
    "whole number, above one": (
        {"training": {"epochs": 2.5}},
        "spec.training.epochs 2.5: is not a whole number; write 2 or 3",
    ),
    "a number in quotes": (
        {"training": {"epochs": "3"}},
        "spec.training.epochs 3: is text, not a whole number; remove the quotes",
    ),
    "a number to the base 60": (
        {"checkpoint": {"everyMinutes": "1:30"}},
        "spec.checkpoint.everyMinutes 1:30: is text, not a number; "
        "see `kubectl explain qit.spec.checkpoint.everyMinutes`",
    ),
    "a truth for a number": (
        {"training": {"epochs": True}},
        "spec.training.epochs true: is a truth value, not a whole number; "
        "see `kubectl explain qit.spec.training.epochs`",
    ),
    "number": (
        {"training": {"learningRate": "fast"}},
        "spec.training.learningRate fast: is text, not a number; "
        "see `kubectl explain qit.spec.training.learningRate`",
    ),
    "text": (
        {"output": {"size": 500}},
        "spec.output.size 500: is a number, not text; put it in quotes",
    ),
    "group": (
        {"gpu": "A100"},
        "spec.gpu A100: is text, not a mapping of fields; see `kubectl explain qit.spec.gpu`",
    ),
    "list": (
        {"scheduling": {"tolerations": "sku"}},
        "spec.scheduling.tolerations sku: is text, not a list; "
        "see `kubectl explain qit.spec.scheduling.tolerations`",
    ),
    "another number is no slip": (
        {"size": "70B"},
        "spec.size 70B: is not one of the choices; use 7B, 13B or Tiny",
    ),
    "another number in lower case": (
        {"size": "3b"},
        "spec.size 3b: is not one of the choices; use 7B, 13B or Tiny",
    ),
    "the same number in lower case": (
        {"size": "13b"},
        "spec.size 13b: is not one of the choices; use 7B, 13B or Tiny; did you mean 13B?",
    ),
    "form": (
        {"output": {"size": "500"}},
        "spec.output.size 500: has the wrong form; use text that matches "
        "^[1-9][0-9]*(Mi|Gi|Ti|M|G|T)$",
    ),
    "source": (
        {"data": {"sources": {"cocoa": {}}}},
        "spec.data.sources cocoa: is not the name of a source; did you mean coco?",
    ),
    "no near source": (
        {"data": {"sources": {"mine": {}}}},
        "spec.data.sources mine: is not the name of a source; use one of " + ", ".join(SOURCES),
    ),
    "length": (
        {"data": {"sources": {"coco": {"sha256": "abc"}}}},
        "spec.data.sources.coco.sha256 abc: string should have at least 64 characters; see "
        "`kubectl explain qit.spec` or `qinstruct crd` for what it may be",
    ),
}


@pytest.mark.parametrize(("spec", "sentence"), CASES.values(), ids=CASES)
def test_a_fault_is_a_sentence(spec: dict[str, Any], sentence: str) -> None:
    assert sentence in sentences(document() | {"spec": document()["spec"] | spec})


NAME_FIX = (
    "use at most 48 lower-case letters, digits and '-', starting with a letter and ending with a "
    "letter or digit"
)
OTHER_CASES: dict[str, tuple[dict[str, Any], str]] = {
    "name": (
        document("Run_1"),
        f"metadata.name Run_1: is not a name that a run can have; {NAME_FIX}",
    ),
    "missing": (
        document() | {"spec": {"size": "7B"}},
        "spec.strategy: is required but missing; add spec.strategy",
    ),
    "a field without a name": (
        document() | {"": 1},
        '[""]: is not a known field; known here: apiVersion, kind, metadata, spec, status',
    ),
}


@pytest.mark.parametrize(("raw", "sentence"), OTHER_CASES.values(), ids=OTHER_CASES)
def test_a_fault_outside_the_spec_is_a_sentence_too(raw: dict[str, Any], sentence: str) -> None:
    assert sentences(raw) == [sentence]


def test_a_key_that_is_none_is_named() -> None:
    (said,) = sentences(document(scheduling={"nodeSelector": {"a b": "x"}}))
    start = "spec.scheduling.nodeSelector a b: is not a valid key; use a key that matches: string"
    assert said.startswith(start)


@pytest.mark.parametrize(
    "raw",
    [
        document() | {"x" * 50_000: 1},
        document() | {"spec": {"y" * 50_000: {"z": 1}}},
        document("n" * 50_000),
        document(size="7" * 50_000),
        document(scheduling={"nodeSelector": {"k" * 50_000: "x"}}),
        document(data={"sources": {"s" * 50_000: {}}}),
        document(data={"sources": {"coco": {"url": "https://h/" + "u" * 50_000, "x": 1}}}),
    ],
)
def test_no_name_is_quoted_at_full_length(raw: dict[str, Any]) -> None:
    assert all(len(said) < 1000 for said in sentences(raw))


def test_the_path_below_a_name_with_dots_can_be_followed() -> None:
    found = sentences(document(data={"sources": {"h2.json": {"url": 5}}}))
    assert any(one.startswith('spec.data.sources["h2.json"].url 5: is a number') for one in found)
    found = sentences(document(scheduling={"nodeSelector": {"kubernetes.io/arch": 5}}))
    assert found[0].startswith('spec.scheduling.nodeSelector["kubernetes.io/arch"] 5: is a number')


def test_every_fault_is_said() -> None:
    raw = document() | {"spec": {"size": "1B", "colour": "red"}}
    with pytest.raises(InvalidSpec) as caught:
        parse(raw)
    fields = [violation.field for violation in caught.value.violations]
    assert sorted(fields) == ["spec.colour", "spec.size", "spec.strategy"]


def test_a_document_of_faults_alone_does_not_fill_a_screen() -> None:
    unknown = {f"field{n}": n for n in range(50)}
    raw = document() | {"spec": document()["spec"] | unknown}
    assert len(sentences(raw)) == 20


def nested(levels: int, *, as_list: bool = False) -> Any:
    value: Any = "x"
    for _ in range(levels):
        value = [value] if as_list else {"a": value}
    return value


@pytest.mark.parametrize("levels", [100, 300, 1000, 20_000])
@pytest.mark.parametrize("as_list", [False, True])
@pytest.mark.parametrize("place", ["patch", "unknown", "size", "spec", "name", "extra", "status"])
def test_what_is_nested_too_deep_is_refused(levels: int, as_list: bool, place: str) -> None:
    value = nested(levels + 60, as_list=as_list)
    raw = document()
    match place:
        case "patch":
            raw["spec"]["patches"] = [{"target": "Prep", "patch": {"x": value}}]
        case "unknown" | "size":
            raw["spec"][place] = value
        case "name":
            raw["metadata"]["name"] = value
        case _:
            raw[place] = value
    with pytest.raises(InvalidSpec, match=r"is nested more than (64|128) levels deep"):
        parse(raw)


def test_a_patch_may_be_as_deep_as_a_pod_template_is() -> None:
    raw = document(patches=[{"target": "Prep", "patch": {"x": nested(30)}}])
    assert parse(raw).spec.patches
