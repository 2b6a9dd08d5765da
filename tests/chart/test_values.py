"""Values: which are refused, and where; what each is by default."""

import json
from collections.abc import Iterator
from dataclasses import fields
from typing import Any, Final

import pytest
import yaml

from qinstruct_operator.settings import Settings
from qinstruct_trainer.contract.net_settings import why_no_network
from support.helm_chart import CHART, HelmError, Values, helm, operator_container, render

pytestmark = pytest.mark.cluster

SCHEMA: Final = json.loads((CHART / "values.schema.json").read_text("utf-8"))
DEFAULTS: Final = yaml.safe_load((CHART / "values.yaml").read_text("utf-8"))
DIGEST: Final = "sha256:" + "0" * 64
RULE: Final = {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"}


def at(path: str, value: object) -> Values:
    """Values with one value, by the path in which the parts stand."""
    for part in reversed(path.split("/")):
        value = {part: value}
    assert isinstance(value, dict)
    return value


# The path that is given, the value there, and where it is refused if that is elsewhere.
BAD: Final[list[tuple[str, object, str]]] = [
    ("typo", 1, ""),
    ("images/registries", "x.example", "/images"),
    ("images/registry", "", "/images/registry"),
    ("images/registry", "https://ghcr.io/x", "/images/registry"),
    ("images/tag", 1.0, "/images/tag"),
    ("images/tag", "latest:1", "/images/tag"),
    ("images/pullPolicy", "Sometimes", "/images/pullPolicy"),
    ("images/pullSecrets", ["regcred"], "/images/pullSecrets/0"),
    ("images/pullSecrets", [{"title": "x"}], "/images/pullSecrets/0"),
    ("images/operator/repository", "Operator", "/images/operator/repository"),
    ("images/prep/digest", "sha256:123", "/images/prep/digest"),
    ("images/trainer/tag", "-x", "/images/trainer/tag"),
    ("images/trainer", "trainer:1", "/images/trainer"),
    ("nameOverride", "My Name", "/nameOverride"),
    ("fullnameOverride", "x" * 53, "/fullnameOverride"),
    ("crds/install", "yes please", "/crds/install"),
    ("crds/kepe", True, "/crds"),
    ("watchNamespaces", "team-a", "/watchNamespaces"),
    ("watchNamespaces", ["Team_A"], "/watchNamespaces/0"),
    ("watchNamespaces", ["a", "a"], "/watchNamespaces"),
    ("settings/cacheSize", "400 GB", "/settings/cacheSize"),
    ("settings/cacheSize", 400, "/settings/cacheSize"),
    ("settings/cacheStorageClass", "Fast_Class", "/settings/cacheStorageClass"),
    ("settings/cachePath", "cache", "/settings/cachePath"),
    ("settings/defaultQueue", "GPUs", "/settings/defaultQueue"),
    ("settings/trainerAttention", [], "/settings/trainerAttention"),
    ("settings/trainerAttention", ["flash"], "/settings/trainerAttention/0"),
    ("settings/priorityClasses", "*", "/settings/priorityClasses"),
    ("settings/priorityClasses", ["a,b"], "/settings/priorityClasses/0"),
    ("settings/toleratedTaints", [""], "/settings/toleratedTaints/0"),
    ("settings/privateNetworks", ["10.1.0.0"], "/settings/privateNetworks/0"),
    ("settings/privateNetworks", ["10.1.0.0/33"], "/settings/privateNetworks/0"),
    ("settings/privateNetworks", ["fd00::/129"], "/settings/privateNetworks/0"),
    ("settings/prepProxy", "proxy:3128", "/settings/prepProxy"),
    ("settings/prepProxy", "http://me:secret@proxy:3128", "/settings/prepProxy"),
    ("settings/hubEndpoint", "hub.example", "/settings/hubEndpoint"),
    ("settings/prepMaxBandwidth", "fast", "/settings/prepMaxBandwidth"),
    ("settings/prepMaxBandwidth", "50MB", "/settings/prepMaxBandwidth"),
    ("settings/prepHours", 0, "/settings/prepHours"),
    ("settings/waitingSeconds", "15s", "/settings/waitingSeconds"),
    ("settings/workers", 1.5, "/settings/workers"),
    ("settings/workers", 0, "/settings/workers"),
    ("settings/readyAddress", "0.0.0.0:1", "/settings"),
    ("serviceAccount/name", "a/b", "/serviceAccount/name"),
    ("serviceAccount/annotations", {"x": 1}, "/serviceAccount/annotations/x"),
    ("gpuCap/gpus", -1, "/gpuCap/gpus"),
    ("networkPolicy/dns/ports", [0], "/networkPolicy/dns/ports/0"),
    ("networkPolicy/dns/peers", [{}], "/networkPolicy/dns/peers/0"),
    ("networkPolicy/dns/peers", [{"ipBlock": {"cidr": "x"}}], "/networkPolicy/dns/peers/0/ipBlock"),
    ("networkPolicy/apiServer/cidrs", ["0.0.0.0/0"], "/networkPolicy/apiServer/cidrs/0"),
    ("networkPolicy/runNamespaces", ["a b"], "/networkPolicy/runNamespaces/0"),
    ("resources/limits/memory", "512MB", "/resources/limits/memory"),
    ("resources/limit", {"memory": "1Gi"}, "/resources"),
    ("runAsUser", 0, "/runAsUser"),
    ("nodeSelector", {"disk": True}, "/nodeSelector/disk"),
    ("tolerations", [{"key": "x", "effect": "Never"}], "/tolerations/0/effect"),
    ("affinity/nodeAfinity", {}, "/affinity"),
    ("topologySpreadConstraints", [{"maxSkew": 1}], "/topologySpreadConstraints/0"),
    ("podLabels", {"app.kubernetes.io/name": "x"}, "/podLabels"),
    ("extraEnv", [{"value": "x"}], "/extraEnv/0"),
    ("extraEnv", [{"name": "QINSTRUCT_WORKERS", "value": "4"}], "/extraEnv/0/name"),
    ("extraEnv", [{"name": "USER", "value": "me"}], "/extraEnv/0/name"),
    ("extraEnv", [{"name": "X", "value": 1}], "/extraEnv/0/value"),
]


@pytest.mark.parametrize(("path", "value", "refused"), BAD, ids=lambda one: json.dumps(one))
def test_a_bad_value_is_refused_with_its_path(path: str, value: object, refused: str) -> None:
    with pytest.raises(HelmError) as error:
        render(values=at(path, value))
    assert f"- at '{refused}" in str(error.value)


# fmt: off
NETWORKS: Final = (
    "10.1.0.0/16", "10.1.2.3/16", "10.1.2.3/32", "10.0.0.1/8", "0.0.0.0/0", "1.0.0.0/0",
    "128.0.0.0/1", "192.0.0.0/1", "10.128.0.0/9", "10.64.0.0/9", "255.255.255.254/31",
    "255.255.255.255/31", "256.0.0.0/8", "010.0.0.0/8", "fd00::/8", "fd00::1/8", "fd00::1/128",
    "::/0", "::1/0", "::1/128", "fd00:1::/32", "fd00:1:8000::/33", "fd00::/7", "fd00:1:4000::/33",
    "FD00:ABCD::/31", "fd00:abcc::/31", "1:2:3:4:5:6:7:8/128", "1:2:3:4:5:6:7:8/127",
    "1:2:3:4:5:6:7::/112", "1::2::/64", "1:2:3/64", "12345::/64", "1:2:3:4:5:6:7:8:9/128", ":/0",
    ":::/0", "1:/16", "1:2:3:4:5:6:7:8::/128", ":1::/64", "1:2:3:4::/64", "00fd::/16", "::8/125",
    "::7/125",
)
# fmt: on


def test_a_network_is_refused_by_chart_and_operator_alike() -> None:
    """Where the operator would end at its start, and say so in its pod's log alone."""
    good = [text for text in NETWORKS if why_no_network(text) is None]
    assert render(values=at("settings/privateNetworks", good))
    for bad in (text for text in NETWORKS if text not in good):
        with pytest.raises(HelmError, match=r"/1'|\[1\]: .* is not a network") as error:
            render(values=at("settings/privateNetworks", ["10.0.0.0/8", bad]))
        assert bad in str(error.value)


def test_what_a_network_with_bits_behind_its_prefix_may_mean_is_said() -> None:
    said = (
        r"settings\.privateNetworks\[1\]: 10\.1\.2\.3/16 is not a network: it has bits .* with /32"
    )
    with pytest.raises(HelmError, match=said):
        render(values=at("settings/privateNetworks", ["10.0.0.0/8", "10.1.2.3/16"]))


def test_an_account_that_exists_must_be_named() -> None:
    with pytest.raises(HelmError, match=r"serviceAccount\.name must name an account"):
        render("--set=serviceAccount.create=false")


# The server of a matrix of them all takes these too: tests/cluster/test_chart_objects.py.
GOOD: Final = [
    ("images/operator/digest", DIGEST),
    ("images/registry", "localhost:5000/team/x"),
    ("images/registry", "ghcr.io"),
    ("global/other", 1),
    ("runAsUser", None),
    ("settings/privateNetworks", ["10.1.0.0/16", "fd00::/8", "0.0.0.0/0"]),
    ("settings/prepProxy", "socks5h://[fd00::1]:1080"),
    ("settings/hubEndpoint", "https://hub.example/models"),
    ("settings/prepMaxBandwidth", "100Mi"),
    ("settings/prepHours", 0.5),
    ("topologySpreadConstraints", [RULE]),
]


@pytest.mark.parametrize(("path", "value"), GOOD, ids=lambda one: json.dumps(one))
def test_a_good_value_is_taken(path: str, value: object) -> None:
    assert render(values=at(path, value))


def groups(
    schema: dict[str, Any], values: dict[str, Any], path: str = ""
) -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    """Path, schema and defaults of the values and of each group in them."""
    yield path, schema, values
    for name, field in schema["properties"].items():
        if "properties" in field and "description" not in field:
            yield from groups(field, values[name], f"{path}/{name}")


@pytest.mark.parametrize(("path", "schema", "values"), list(groups(SCHEMA, DEFAULTS)))
def test_values_and_schema_name_the_same(
    path: str, schema: dict[str, Any], values: dict[str, Any]
) -> None:
    assert schema["additionalProperties"] is False
    assert set(schema["properties"]) - {"global"} == set(values)
    for name, field in schema["properties"].items():
        described = "description" in field or "properties" in field
        assert described, f"{path}/{name} says what it is nowhere"


@pytest.mark.parametrize(("path", "schema", "values"), list(groups(SCHEMA, DEFAULTS)))
def test_no_value_can_be_taken_away(
    path: str, schema: dict[str, Any], values: dict[str, Any]
) -> None:
    taken = [name for name in values if name != "runAsUser"]  # whose null has a meaning
    nulls: Values = dict.fromkeys(taken)
    with pytest.raises(HelmError, match=f"at '{path}': missing (property|properties)") as error:
        render(values=at(path.strip("/"), nulls) if path else nulls)
    assert all(f"'{name}'" in str(error.value) for name in taken)


@pytest.mark.parametrize("field", ["registry", "repository", "tag", "digest"])
def test_nor_can_a_part_of_an_image(field: str) -> None:
    with pytest.raises(HelmError, match=f"at '/images/prep': missing property '{field}'"):
        render(values=at(f"images/prep/{field}", None))


@pytest.mark.parametrize("name", ["123", "1e3", "true", "null", "0x1f"])
def test_a_name_that_yaml_reads_as_something_else_stays_a_name(name: str) -> None:
    values = {
        "fullnameOverride": name,
        "serviceAccount": {"name": name},
        "priorityClassName": name,
        "watchNamespaces": [name],
        "networkPolicy": {"runNamespaces": [name]},
    }
    made = helm("template", name, CHART, f"--namespace={name}", values=values)
    assert not {type(value) for value in leaves(named(made))} - {str}


def leaves(value: object) -> Iterator[object]:
    """The plain values in lists and maps."""
    if isinstance(value, dict | list | tuple):
        for each in value.values() if isinstance(value, dict) else value:
            yield from leaves(each)
    else:
        yield value


def named(made: str) -> list[Any]:
    """What stands for a name or a label in manifests."""
    found = [one for one in yaml.safe_load_all(made) if one]
    pods = [one["spec"]["template"]["spec"] for one in found if one["kind"] == "Deployment"]
    return [
        *(one["metadata"] for one in found),
        *(one.get("subjects") for one in found if "subjects" in one),
        *(one["roleRef"] for one in found if "roleRef" in one),
        *((pod["serviceAccountName"], pod["priorityClassName"]) for pod in pods),
    ]


# What the operator's settings have and the chart's do not, and why.
NOT_VALUES: Final = {
    "prep_image": "made from `images`",
    "trainer_image": "made from `images`",
    "namespace": "only `qinstruct render` asks for it",
    "ready_address": "the port of the pod's probe",
}


def test_the_defaults_are_the_operators_own() -> None:
    environment = {one["name"]: one["value"] for one in operator_container(render())["env"]}
    address = environment.pop("QINSTRUCT_READY_ADDRESS")
    assert Settings.from_env(environment) == Settings()
    assert address.endswith(":8081")


def test_every_setting_is_a_value() -> None:
    environment = {one["name"] for one in operator_container(render())["env"]}
    settings = {one.name for one in fields(Settings)}
    assert {f"QINSTRUCT_{name.upper()}" for name in settings - {"namespace"}} <= environment
    values = {"".join(part.title() for part in name.split("_")) for name in settings}
    left = {name[0].upper() + name[1:] for name in DEFAULTS["settings"]}
    assert left == values - {"".join(p.title() for p in name.split("_")) for name in NOT_VALUES}


def test_lists_and_numbers_reach_the_operator() -> None:
    given = {
        "priorityClasses": [],
        "toleratedTaints": ["sku", "pool-*"],
        "privateNetworks": ["10.1.0.0/16", "fd00::/8"],
        "prepHours": 0.5,
        "workers": 1_000_000,
        "cacheStorageClass": "shared",
    }
    container = operator_container(render(values={"settings": given}))
    settings = Settings.from_env({one["name"]: one["value"] for one in container["env"]})
    assert settings.allowed_priority_classes == ("-",)
    assert settings.allowed_taints == ("sku", "pool-*")
    assert settings.allowed_networks == ("10.1.0.0/16", "fd00::/8")
    assert (settings.prep_hours, settings.workers) == (0.5, 1_000_000)
    assert settings.cache_storage_class == "shared"
