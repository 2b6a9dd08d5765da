"""The CRD as a document: fresh, described, with the columns that people read."""

from typing import Any, get_args

import yaml

from qinstruct_operator.api.crd import crd, crd_yaml
from qinstruct_operator.api.status import MAX_SOURCES
from qinstruct_operator.catalog.sources import SOURCES
from qinstruct_trainer.contract.events import SourceState
from support.operator_documents import ROOT

CRD_FILE = ROOT / "crds" / "qinstruct.dev_qinstructtrainings.yaml"
VERSION: dict[str, Any] = crd()["spec"]["versions"][0]


def test_the_checked_in_crd_is_fresh() -> None:
    assert CRD_FILE.read_text("utf-8") == crd_yaml()


def test_the_yaml_reads_back_as_the_definition() -> None:
    assert yaml.safe_load(crd_yaml()) == crd()


def test_columns() -> None:
    columns = VERSION["additionalPrinterColumns"]
    shown = [column["name"] for column in columns if not column.get("priority")]
    wide = [column["name"] for column in columns if column.get("priority")]
    assert shown == ["MODEL", "STRATEGY", "PHASE", "PROGRESS", "ETA", "ATTEMPT", "QUEUE", "AGE"]
    assert wide == ["LOSS", "GPU-H", "GOODPUT", "CHECKPOINT", "RESTARTS", "NODE"]


def test_a_column_shows_a_field_that_the_schema_has() -> None:
    schema = VERSION["schema"]["openAPIV3Schema"]
    for column in VERSION["additionalPrinterColumns"]:
        node = schema
        path = column["jsonPath"].removeprefix(".").split(".")
        if path[0] == "metadata":
            continue  # the API server's own
        for part in path:
            node = node["properties"][part]
        assert node["type"] == column["type"], column["name"]


def test_status_is_a_subresource_and_qit_the_short_name() -> None:
    assert VERSION["subresources"] == {"status": {}}
    assert crd()["spec"]["names"]["shortNames"] == ["qit"]


def test_the_name_is_the_plural_and_the_group() -> None:
    spec = crd()["spec"]
    assert crd()["metadata"]["name"] == f"{spec['names']['plural']}.{spec['group']}"


def test_sources_of_a_status_are_described_bounded_and_named_once() -> None:
    schema = VERSION["schema"]["openAPIV3Schema"]["properties"]["status"]
    prep = schema["properties"]["prep"]["properties"]
    rows = prep["sources"]
    assert rows["maxItems"] == MAX_SOURCES >= len(SOURCES) + 16  # published, and all that may be
    assert (rows["x-kubernetes-list-type"], rows["x-kubernetes-list-map-keys"]) == ("map", ["name"])
    fields = rows["items"]["properties"]
    assert [*fields] == ["name", "state", "done", "total", "unit", "eta"]
    assert rows["items"]["required"] == ["name", "state"]
    for name, field in {**fields, "sources": rows, "downloadsEta": prep["downloadsEta"]}.items():
        assert field["description"], name
        assert {"maxLength", "maxItems", "minimum"} & {*field}, name
    for state in get_args(SourceState):
        assert state in fields["state"]["description"]
