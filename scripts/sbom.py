"""Write what an image contains as CycloneDX: its Python, its Python packages, its Debian packages.

`python scripts/sbom.py gather` prints, inside of the image, what is there; `python scripts/sbom.py
IMAGE` reads that from its input and prints the document. `scripts/sbom.sh` does both.
"""

import json
import platform
import re
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cyclonedx.model.component import Component

_DPKG = Path("/var/lib/dpkg/status")
_RELEASE = Path("/etc/os-release")


def gather() -> dict[str, Any]:
    """What this installation has; the standard library alone."""
    return {
        "python": platform.python_version(),
        "packages": sorted({(one.name, one.version) for one in metadata.distributions()}),
        "dpkg": _DPKG.read_text("utf-8") if _DPKG.exists() else "",
        "release": _RELEASE.read_text("utf-8"),
    }


def components(found: dict[str, Any]) -> "Iterator[Component]":
    """Each with the package URL by which scanners know it."""
    from cyclonedx.model.component import Component, ComponentType
    from packageurl import PackageURL

    def component(kind: str, name: str, version: str, **more: Any) -> Component:
        url = PackageURL(kind, name=name, version=version, **more)
        return Component(
            name=name, version=version, purl=url, bom_ref=str(url), type=ComponentType.LIBRARY
        )

    yield component("generic", "python", found["python"])
    for name, version in found["packages"]:
        yield component("pypi", re.sub(r"[-_.]+", "-", name).lower(), version)
    system = dict(re.findall(r'^(\w+)="?([^"\n]*)', found["release"], re.MULTILINE))
    distribution = f"{system['ID']}-{system.get('VERSION_ID', '')}".rstrip("-")
    for paragraph in found["dpkg"].split("\n\n"):
        field = dict(re.findall(r"^([\w-]+): (.*)", paragraph, re.MULTILINE))
        if field.get("Status", "").endswith(" installed"):
            where = {"arch": field["Architecture"], "distro": distribution}
            name, version = field["Package"], field["Version"]
            yield component("deb", name, version, namespace=system["ID"], qualifiers=where)


def document(image: str, found: dict[str, Any]) -> str:
    """The CycloneDX document, as JSON."""
    from cyclonedx.model.bom import Bom, BomMetaData
    from cyclonedx.model.component import Component, ComponentType
    from cyclonedx.output.json import JsonV1Dot6

    subject = Component(name=image, type=ComponentType.CONTAINER, bom_ref=image)
    bom = Bom(components=components(found), metadata=BomMetaData(component=subject))
    bom.register_dependency(subject, bom.components)
    return JsonV1Dot6(bom).output_as_string(indent=2)


def main(argument: str) -> None:
    """Print what is asked for."""
    if argument == "gather":
        print(json.dumps(gather()))  # noqa: T201 - its answer
    else:
        print(document(argument, json.load(sys.stdin)))  # noqa: T201 - its answer


if __name__ == "__main__":
    main(sys.argv[1])
