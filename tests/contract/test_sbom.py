"""The list of an image's contents names all of it, in the words by which scanners know it."""

import json
import platform
import subprocess
import sys
from importlib.metadata import version
from typing import Any, Final

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from support.readme import ROOT

IMAGE: Final = "ghcr.io/qinstruct/operator:0.1.0"
DPKG: Final = """\
Package: libc6
Status: install ok installed
Architecture: amd64
Source: glibc
Version: 2.36-9+deb12u10
Description: GNU C Library
 Package: not-a-package

Package: gone
Status: deinstall ok config-files
Architecture: amd64
Version: 1

Package: tzdata
Status: hold ok installed
Architecture: all
Version: 2025b-0+deb12u1
"""
FOUND: Final = {
    "python": "3.11.2",
    "packages": [["kopf", "1.45.2"], ["PyYAML", "6.0.2"], ["ruamel.yaml", "0.18"]],
    "dpkg": DPKG,
    "release": 'PRETTY_NAME="Debian"\nVERSION_ID="12"\nID=debian\n',
}
URLS: Final = [
    "pkg:deb/debian/libc6@2.36-9%2Bdeb12u10?arch=amd64&distro=debian-12",
    "pkg:deb/debian/tzdata@2025b-0%2Bdeb12u1?arch=all&distro=debian-12",
    "pkg:generic/python@3.11.2",
    "pkg:pypi/kopf@1.45.2",
    "pkg:pypi/pyyaml@6.0.2",
    "pkg:pypi/ruamel-yaml@0.18",
]


def sbom(argument: str, given: str = "") -> str:
    command = [sys.executable, str(ROOT / "scripts" / "sbom.py"), argument]
    return subprocess.run(command, input=given, capture_output=True, text=True, check=True).stdout


def urls(document: dict[str, Any]) -> list[str]:
    return sorted(one["purl"] for one in document["components"])


def test_what_an_installation_has_is_found() -> None:
    found = json.loads(sbom("gather"))
    assert found["python"] == platform.python_version()
    assert ["kopf", version("kopf")] in found["packages"]
    assert "ID=" in found["release"]


def test_it_is_written_for_scanners() -> None:
    text = sbom(IMAGE, json.dumps(FOUND))
    document = json.loads(text)
    assert urls(document) == URLS
    assert document["metadata"]["component"]["name"] == IMAGE
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None


@pytest.mark.parametrize(
    ("missing", "expected"),
    [({"dpkg": ""}, URLS[2:]), ({"packages": []}, URLS[:3]), ({"release": "ID=debian"}, None)],
    ids=["no dpkg", "no packages", "no version of the system"],
)
def test_an_image_without_one_kind_of_packages(
    missing: dict[str, Any], expected: list[str] | None
) -> None:
    document = json.loads(sbom(IMAGE, json.dumps(FOUND | missing)))
    assert urls(document) == (expected or [one.replace("debian-12", "debian") for one in URLS])
