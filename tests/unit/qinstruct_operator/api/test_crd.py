"""The CRD as a document: fresh, described, with the columns that people read."""

from typing import Any

import yaml

from qinstruct_operator.api.crd import crd, crd_yaml
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
    assert wide == ["LOSS", "GPU-H", "CHECKPOINT", "RESTARTS", "NODE"]


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
