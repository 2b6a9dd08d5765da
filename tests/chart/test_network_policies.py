"""Who may reach whom: policies read as a network plugin reads them."""

import ipaddress
import random
from typing import Any, Final

import pytest

from qinstruct_trainer.prep.sources.addresses import is_public
from support.helm_chart import HelmError, Manifest, Values, of_kind, render
from support.operator_documents import document, manifests, plan

pytestmark = pytest.mark.cluster

RUNS: Final = {"networkPolicy": {"runNamespaces": ["team-a"]}}


def policies(values: Values | None = None) -> dict[tuple[str, str], Any]:
    """By namespace and name without the release's."""
    made = of_kind(render(values=values), "NetworkPolicy")
    found = {
        (
            one["metadata"]["namespace"],
            one["metadata"]["name"].removeprefix("qinstruct-operator").strip("-"),
        ): one["spec"]
        for one in made
    }
    assert len(found) == len(made)
    return found


def blocks(spec: Manifest) -> list[Any]:
    return [
        peer["ipBlock"]
        for rule in spec["egress"]
        for peer in rule.get("to", ())
        if "ipBlock" in peer and {"port": 53, "protocol": "UDP"} not in rule["ports"]
    ]


def reached(spec: Manifest, text: str) -> bool:
    """Whether the policy lets its pods connect to an address."""
    address = ipaddress.ip_address(text)
    return any(
        address in ipaddress.ip_network(block["cidr"])
        and not any(address in ipaddress.ip_network(each) for each in block.get("except", ()))
        for block in blocks(spec)
    )


def test_the_operators_namespace_is_closed_but_for_dns_and_the_api_server() -> None:
    found = policies()
    assert set(found) == {("qinstruct-system", "default-deny"), ("qinstruct-system", "")}
    closed = found["qinstruct-system", "default-deny"]
    assert closed == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    own = found["qinstruct-system", ""]
    assert own["policyTypes"] == ["Ingress", "Egress"]
    assert "ingress" not in own
    ports = [{each["port"] for each in rule["ports"]} for rule in own["egress"]]
    assert ports == [{53}, {443, 6443}]


def test_operator_and_helm_test_are_the_pods_that_may() -> None:
    made = render()
    (deployment,), (test,) = of_kind(made, "Deployment"), of_kind(made, "Pod")
    selected = policies()["qinstruct-system", ""]["podSelector"]["matchLabels"]
    for metadata in (deployment["spec"]["template"]["metadata"], test["metadata"]):
        assert selected.items() <= metadata["labels"].items()


def test_what_a_shared_namespace_and_a_known_api_server_change() -> None:
    server = {"cidrs": ["10.96.0.1/32", "fd00::1/128"], "ports": [6443]}
    found = policies({"networkPolicy": {"wholeNamespace": False, "apiServer": server}})
    (own,) = found.values()
    (block4, block6) = blocks(own)
    assert (block4["cidr"], block6["cidr"]) == ("10.96.0.1/32", "fd00::1/128")


@pytest.mark.parametrize("namespace", ["default", "kube-system", "kube-public"])
def test_nobody_in_a_shared_namespace_is_cut_off_by_mistake(namespace: str) -> None:
    with pytest.raises(HelmError, match=f"cut off every pod of namespace {namespace}, .*: install"):
        render(f"--namespace={namespace}")
    for key in ("wholeNamespace", "enabled"):
        made = render(f"--namespace={namespace}", f"--set=networkPolicy.{key}=false")
        assert all(one["spec"]["podSelector"] for one in of_kind(made, "NetworkPolicy"))


def test_policies_can_be_switched_off() -> None:
    values = {"watchNamespaces": ["a"], "networkPolicy": {"enabled": False}}
    assert policies(values) == {}


def test_each_served_namespace_has_those_of_its_runs_once() -> None:
    values = {"watchNamespaces": ["a", "b"], "networkPolicy": {"runNamespaces": ["b", "c"]}}
    found = policies(values)
    assert {one for one in found if one[0] != "qinstruct-system"} == {
        (namespace, name) for namespace in "abc" for name in ("prep", "train")
    }


@pytest.mark.parametrize(("component", "kind"), [("prep", "Job"), ("train", "PyTorchJob")])
def test_they_select_the_pods_that_the_operator_builds(component: str, kind: str) -> None:
    (workload,) = (one for one in manifests(plan(document())) if one["kind"] == kind)
    spec = workload["spec"]
    template = spec.get("template") or spec["pytorchReplicaSpecs"]["Master"]["template"]
    selected = policies(RUNS)["team-a", component]["podSelector"]["matchLabels"]
    assert selected.items() <= template["metadata"]["labels"].items()


def test_training_reaches_its_ranks_and_dns_alone_and_is_reached_by_them() -> None:
    spec = policies(RUNS)["team-a", "train"]
    ranks = [{"podSelector": spec["podSelector"]}]
    assert spec["ingress"] == [{"from": ranks}]
    dns, peers = spec["egress"]
    assert {each["port"] for each in dns["ports"]} == {53}
    assert peers == {"to": ranks}


NEVER: Final = (
    *("169.254.169.254", "10.96.0.1", "172.16.5.5", "192.168.1.1", "100.100.100.200", "127.0.0.1"),
    *("fd00::1", "fe80::1", "::1", "::ffff:10.0.0.1", "64:ff9b::a9fe:a9fe", "64:ff9b::a60:1"),
    *("2002:a00:1::", "224.0.0.1", "255.255.255.255", "ff02::1", "fd00:ec2::254"),
)


@pytest.mark.parametrize("address", NEVER)
def test_preparation_reaches_no_address_that_is_not_public(address: str) -> None:
    spec = policies(RUNS)["team-a", "prep"]
    assert "ingress" not in spec
    assert not reached(spec, address)


@pytest.mark.parametrize("address", ["140.82.112.3", "2606:50c0::1", "64:ff9b::8c52:7003"])
def test_preparation_reaches_public_addresses(address: str) -> None:
    assert reached(policies(RUNS)["team-a", "prep"], address)


def edges() -> list[str]:
    """First, last and neighbouring addresses of every network that a policy names, and others."""
    spec = policies(RUNS)["team-a", "prep"]
    networks = [ipaddress.ip_network(one) for block in blocks(spec) for one in block["except"]]
    numbers = [
        (network.version, int(network[position]) + step)
        for network in networks
        for position, step in ((0, -1), (0, 0), (-1, 0), (-1, 1))
    ]
    chance = random.Random(0)
    numbers += [(4, chance.getrandbits(32)) for _ in range(2000)]
    numbers += [(6, (0x2 << 124) | chance.getrandbits(124)) for _ in range(2000)]
    made = {4: ipaddress.IPv4Address, 6: ipaddress.IPv6Address}
    most = {4: 2**32, 6: 2**128}
    return [str(made[v](number)) for v, number in numbers if 0 <= number < most[v]]


def test_the_policy_is_what_preparation_itself_checks() -> None:
    """Nothing else than what its own check allows, and all of it but some corners."""
    spec = policies(RUNS)["team-a", "prep"]
    names = ("2001::/23", "2002::/16", "3fff::/20", "192.0.0.0/24", "64:ff9b::c000:0/120")
    corners = [ipaddress.ip_network(one) for one in names]
    for text in edges():
        address = ipaddress.ip_address(text)
        allowed = reached(spec, text)
        public = is_public(address)
        assert not allowed or public, text
        in_corner = any(address in corner for corner in corners)
        is_used = any(address in ipaddress.ip_network(block["cidr"]) for block in blocks(spec))
        assert allowed or not public or in_corner or not is_used, text


def test_private_networks_and_a_known_api_server() -> None:
    values = {
        "settings": {"privateNetworks": ["10.1.0.0/16"]},
        "networkPolicy": {"runNamespaces": ["team-a"], "apiServer": {"cidrs": ["52.1.2.3/32"]}},
    }
    spec = policies(values)["team-a", "prep"]
    assert reached(spec, "10.1.2.3")
    assert not reached(spec, "10.2.2.3")
    assert reached(spec, "52.1.2.4")
    assert not reached(spec, "52.1.2.3")


@pytest.mark.parametrize(
    ("cidr", "excepted"),
    [
        ("2600:1f00::/40", True),
        ("3000::1/128", True),
        ("fd00:10::1/128", False),
        ("::1/128", False),
        ("fe80::/10", False),
        ("2:3::/32", False),
    ],
)
def test_an_exception_lies_in_its_block(cidr: str, excepted: bool) -> None:
    network = {"runNamespaces": ["team-a"], "apiServer": {"cidrs": [cidr]}}
    spec = policies({"networkPolicy": network})["team-a", "prep"]
    for block in blocks(spec):
        around = ipaddress.ip_network(block["cidr"])
        for each in map(ipaddress.ip_network, block.get("except", ())):
            assert each.version == around.version
            assert each.subnet_of(around)  # type: ignore[arg-type]  # of one version
    assert (cidr in str(spec)) == excepted
    assert not reached(spec, cidr.split("/")[0])
