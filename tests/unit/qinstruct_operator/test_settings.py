"""The installation's settings: read from the environment, refused in a sentence, documented."""

import os
import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

from qinstruct_operator.errors import InvalidSpec
from qinstruct_operator.settings import Settings
from qinstruct_trainer.contract.errors import ConfigError
from qinstruct_trainer.environment import check_connection_settings
from support.operator_documents import ROOT

NAMES = {field.name: f"QINSTRUCT_{field.name.upper()}" for field in fields(Settings)}


def test_every_setting_comes_from_the_environment() -> None:
    given = {
        "prep_image": "mirror/prep:1",
        "cache_path": "/mnt",
        "cache_storage_class": "nfs",
        "progress_seconds": "2.5",
        "workers": "3",
    }
    read = Settings.from_env({NAMES[name]: value for name, value in given.items()})
    assert read == Settings(
        prep_image="mirror/prep:1",
        cache_path=Path("/mnt"),
        cache_storage_class="nfs",
        progress_seconds=2.5,
        workers=3,
    )
    assert Settings.from_env({}) == Settings.from_env({NAMES["workers"]: ""}) == Settings()


@pytest.mark.parametrize("value", ["0", "-1", "many", "nan", "inf", "1e999"])
@pytest.mark.parametrize("name", ["progress_seconds", "waiting_seconds", "workers"])
def test_a_number_that_is_none_is_refused_by_name(name: str, value: str) -> None:
    with pytest.raises(InvalidSpec) as refused:
        Settings.from_env({NAMES[name]: value})
    assert str(refused.value).startswith(f"{NAMES[name]} {value}: is not a number above 0; use")


@pytest.mark.parametrize("value", ["flash", "sdpa,flash", "sdpa,", " ", "SDPA", "sdpa eager"])
def test_an_attention_kernel_that_does_not_exist_is_refused_by_name(value: str) -> None:
    with pytest.raises(InvalidSpec, match=r"TRAINER_ATTENTION.* is none of the attention kernels"):
        Settings.from_env({"QINSTRUCT_TRAINER_ATTENTION": value})


def test_attention_kernels_are_separated_by_commas() -> None:
    made = Settings.from_env({"QINSTRUCT_TRAINER_ATTENTION": "sdpa, eager"})
    assert made.attention_kernels == ("sdpa", "eager")
    assert Settings().attention_kernels == ("flash_attention_2", "sdpa", "eager")


@pytest.mark.parametrize("bad", ["GPUs", "a_b", "-a", "a-", "a..b", "a b", "x" * 64, "a\n"])
def test_a_queue_that_no_workload_can_name_is_refused(bad: str) -> None:
    with pytest.raises(InvalidSpec, match=r"QINSTRUCT_DEFAULT_QUEUE .*is not the name"):
        Settings.from_env({"QINSTRUCT_DEFAULT_QUEUE": bad})


@pytest.mark.parametrize("good", ["gpus", "a", "team-a.gpus", "9", "x" * 63])
def test_a_queue_that_a_workload_can_name(good: str) -> None:
    assert Settings.from_env({"QINSTRUCT_DEFAULT_QUEUE": good}).default_queue == good


@pytest.mark.parametrize(
    "bad",
    [
        "Prep",
        "a b",
        "host/",
        "/prep",
        "prep:",
        "prep:a:b",
        "a//b",
        "prep@sha256:12",
        "prep\n",
        "http://host/prep",
        "host:port/prep",
        "-prep",
        "x" * 256,
        "prep:" + "x" * 129,
    ],
)
@pytest.mark.parametrize("name", ["prep_image", "trainer_image"])
def test_an_image_that_no_pod_can_have_is_refused(name: str, bad: str) -> None:
    with pytest.raises(
        InvalidSpec, match=f"{NAMES[name]} .*: is no name of an image; use e.g. ghcr"
    ):
        Settings.from_env({NAMES[name]: bad})


@pytest.mark.parametrize(
    "good",
    [
        "prep",
        "prep:1",
        "host/prep",
        "host:5000/a/b-c__d.e:v1.0",
        "[::1]:5000/prep",
        "Host.X/prep",
        "localhost/prep@sha256:" + "0" * 64,
        "a/prep:1@sha256:" + "f" * 64,
    ],
)
def test_an_image_of_a_pod(good: str) -> None:
    assert Settings.from_env({"QINSTRUCT_PREP_IMAGE": good}).prep_image == good


@pytest.mark.parametrize("bad", ["Team", "a.b", "a_b", "-a", "a-", "x" * 64, "a\n", " "])
def test_a_namespace_that_cannot_be_is_refused(bad: str) -> None:
    with pytest.raises(InvalidSpec, match=r"QINSTRUCT_NAMESPACE .*is no name of a namespace"):
        Settings.from_env({"QINSTRUCT_NAMESPACE": bad})


def test_every_setting_is_documented_with_its_default() -> None:
    page = (ROOT / "docs" / "operations.md").read_text("utf-8")
    documented = dict(re.findall(r"^\| `(QINSTRUCT_[A-Z_]+)` \| (.+?) \|", page, re.MULTILINE))
    assert documented == {
        NAMES[field.name]: "the cluster's default"
        if field.default is None
        else f"`{field.default}`"
        for field in fields(Settings)
    }


@pytest.mark.parametrize(
    ("environment", "sentence"),
    [
        ({"QINSTRUCT_WORKERS": "0"}, "QINSTRUCT_WORKERS 0: is not a number above 0"),
        ({"KUBECONFIG": "/nonexistent"}, "kubeconfig /nonexistent does not exist; set KUBECONFIG"),
    ],
    ids=["setting", "kubeconfig"],
)
def test_an_operator_that_cannot_start_says_so_and_ends(
    environment: dict[str, str], sentence: str
) -> None:
    module = "--module=qinstruct_operator.handlers"
    done = subprocess.run(
        [sys.executable, "-m", "kopf", "run", module, "--all-namespaces"],
        env=os.environ | {"KUBERNETES_SERVICE_HOST": ""} | environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 78
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr


def test_settings_from_a_mapping() -> None:
    made = Settings.from_env(
        {"QINSTRUCT_CACHE_SIZE": "1Ti", "QINSTRUCT_CACHE_PATH": "/c", "HOME": "/"}
    )
    assert made.cache_size == "1Ti"
    assert str(made.cache_path) == "/c"
    assert made.prep_image == Settings().prep_image


def test_networks_of_mirrors_are_separated_by_commas() -> None:
    made = Settings.from_env({"QINSTRUCT_PRIVATE_NETWORKS": "10.1.0.0/16, fd00::/8"})
    assert made.allowed_networks == ("10.1.0.0/16", "fd00::/8")
    assert Settings().allowed_networks == ()
    assert Settings(private_networks=None).allowed_networks is None
    for bad in ("mirror.example", "10.1.0.1/16", "10.1.0.0/16,"):
        with pytest.raises(InvalidSpec, match=r"QINSTRUCT_PRIVATE_NETWORKS .*is not a network"):
            Settings.from_env({"QINSTRUCT_PRIVATE_NETWORKS": bad})


@pytest.mark.parametrize("variable", ["QINSTRUCT_PREP_PROXY", "QINSTRUCT_HUB_ENDPOINT"])
@pytest.mark.parametrize(
    ("bad", "why"),
    [
        ("proxy:3128", "is no address of a host that begins with http"),
        ("ftp://proxy.example", "is no address of a host that begins with http"),
        ("http://", "is no address of a host that begins with http"),
        ("http://proxy:0", "is no address of a host that begins with http"),
        ("http://a b", "is no address of a host that begins with http"),
        ("http://[::1", "is no address"),
        ("http://proxy:port", "is no address"),
        ("http://me:secret@proxy:3128", "has a name or a password"),
    ],
)
def test_an_address_that_no_client_can_use_is_refused(variable: str, bad: str, why: str) -> None:
    with pytest.raises(InvalidSpec, match=f"{variable} .*{why}") as refused:
        Settings.from_env({variable: bad})
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ("10.1.0.1/16", "10.1.0.1 has bits behind its prefix, so that it may mean 10.1.0.0/16 or "),
        (
            "fd00::1/8",
            "fd00::1 has bits behind its prefix, so that it may mean fd00::/8 or fd00::1/128",
        ),
        ("10.1.0.1/255.255.0.0", "it may mean 10.1.0.0/16 or 10.1.0.1/32"),
    ],
)
def test_a_network_that_may_mean_two_is_refused(bad: str, said: str) -> None:
    with pytest.raises(InvalidSpec, match="QINSTRUCT_PRIVATE_NETWORKS") as refused:
        Settings.from_env({"QINSTRUCT_PRIVATE_NETWORKS": f"10.0.0.1,{bad}"})
    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("name", "variable", "bad"),
    [
        *[("prep_no_proxy", "NO_PROXY", bad) for bad in ("[::1]", "a,b:x", "\u00e4.de", "a:99999")],
        *[
            ("prep_max_bandwidth", "QINSTRUCT_MAX_BANDWIDTH", bad)
            for bad in ("fast", "-1M", "99k", "1e9", "50 M", "50MB")
        ],
    ],
)
def test_what_prep_would_refuse_is_refused_in_its_words(name: str, variable: str, bad: str) -> None:
    with pytest.raises(InvalidSpec) as refused:
        Settings.from_env({NAMES[name]: bad})
    with pytest.raises(ConfigError) as by_prep:
        check_connection_settings({variable: bad})
    words = str(by_prep.value).removeprefix(f"{variable} in the environment ")
    reason = words.removesuffix(", or unset it")
    assert str(refused.value).startswith(NAMES[name])
    assert str(refused.value).endswith(reason)


def test_what_prep_takes_is_taken() -> None:
    made = Settings.from_env(
        {NAMES["prep_no_proxy"]: ".svc,10.0.0.0/8, ::1", NAMES["prep_max_bandwidth"]: "50M"}
    )
    assert (made.prep_no_proxy, made.prep_max_bandwidth) == (".svc,10.0.0.0/8, ::1", "50M")


@pytest.mark.parametrize(
    "good", ["http://proxy.example:3128", "https://p", "socks5h://[fd00::1]:1080", ""]
)
def test_a_proxy(good: str) -> None:
    assert Settings.from_env({"QINSTRUCT_PREP_PROXY": good}).prep_proxy == good


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        ("cache", "is no absolute path"),
        ("/cache/../etc", "is no absolute path"),
        ("/", "and /output would lie in each other"),
        ("/output", "and /output would lie in each other"),
        ("/output/cache", "and /output would lie in each other"),
        ("/etc", "and /etc/qinstruct would lie in each other"),
        ("/tmp/cache", "and /tmp would lie in each other"),
        ("/dev", "and /dev/shm would lie in each other"),
    ],
)
def test_a_mount_in_the_way_of_another_is_refused(bad: str, why: str) -> None:
    with pytest.raises(InvalidSpec, match=f"QINSTRUCT_CACHE_PATH {bad}.*{why}"):
        Settings.from_env({"QINSTRUCT_CACHE_PATH": bad})


@pytest.mark.parametrize(
    "good", ["/c", "/outputs", "/data/cache", "/etc/qinstruct-cache", "/tmpdir"]
)
def test_a_mount_beside_the_others(good: str) -> None:
    assert str(Settings.from_env({"QINSTRUCT_CACHE_PATH": good}).cache_path) == good
