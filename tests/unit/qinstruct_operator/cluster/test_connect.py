"""Where the API server is: service accounts, kubeconfigs, plugins, proxies, and what is wrong."""

import asyncio
import base64
import json
import ssl
import stat
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from cluster.harness import pki
from qinstruct_operator.cluster.connect import connect
from qinstruct_operator.cluster.errors import ClusterError
from qinstruct_operator.kinds import CONFIG_MAP
from qinstruct_trainer.contract.errors import ConfigError
from support.scripted_server import says, serve

NOTHING: Mapping[str, str] = {}
EMPTY_LIST = says({"kind": "ConfigMapList", "metadata": {}, "items": []})


def kubeconfig(
    path: Path,
    server: str,
    *,
    name: str = "one",
    user: dict[str, Any] | None = None,
    namespace: str | None = None,
    proxy: str | None = None,
) -> Path:
    """A kubeconfig file with one cluster, user and context of that name, which is current."""
    context = {"cluster": name, "user": name} | ({"namespace": namespace} if namespace else {})
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {"name": name, "cluster": {"server": server} | ({"proxy-url": proxy} if proxy else {})}
        ],
        "users": [{"name": name, "user": user or {}}],
        "contexts": [{"name": name, "context": context}],
        "current-context": name,
    }
    path.write_text(json.dumps(content), "utf-8")
    return path


def refused(**options: Any) -> str:
    """The sentence with which connecting ends."""

    async def trial() -> None:
        async with connect(**options):
            raise AssertionError("connected")

    with pytest.raises(ConfigError) as caught:
        asyncio.run(trial())
    return str(caught.value)


def namespace_and_server(**options: Any) -> tuple[str, str]:
    async def trial() -> tuple[str, str]:
        async with connect(**options) as cluster:
            return cluster.namespace, cluster.server

    return asyncio.run(trial())


# In a pod.


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> tuple[pki.Pair, pki.Pair]:
    folder = tmp_path_factory.mktemp("pki")
    authority = pki.authority(folder, "test-ca")
    return authority, pki.leaf(folder, authority, "server", "IP:127.0.0.1")


def service_account(folder: Path, authority: pki.Pair) -> Path:
    (folder / "token").write_text("first\n", "utf-8")
    (folder / "ca.crt").write_bytes(authority.certificate.read_bytes())
    (folder / "namespace").write_text("team", "utf-8")
    return folder


def test_a_pod_is_its_service_account_with_the_newest_token(
    tmp_path: Path, certificates: tuple[pki.Pair, pki.Pair]
) -> None:
    authority, serving = certificates
    account = service_account(tmp_path, authority)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(serving.certificate, serving.key)

    async def trial() -> None:
        async with serve(EMPTY_LIST, tls=tls) as server:
            host, port = server.url.removeprefix("https://").split(":")
            env = {"KUBERNETES_SERVICE_HOST": host, "KUBERNETES_SERVICE_PORT": port}
            async with connect(env=env, service_account=account) as cluster:
                assert (cluster.namespace, cluster.server) == ("team", server.url)
                await cluster.list(CONFIG_MAP, None)
                (account / "token").write_text("second\n", "utf-8")
                await cluster.list(CONFIG_MAP, None)
                (account / "token").unlink()
                with pytest.raises(ClusterError, match="token"):
                    await cluster.list(CONFIG_MAP, None)
            sent = [request.headers["authorization"] for request in server.requests]
            assert sent == ["Bearer first", "Bearer second"]
            assert server.requests[0].headers["user-agent"].startswith("qinstruct/")

    asyncio.run(trial())


def test_the_error_of_a_pod_without_service_account(tmp_path: Path) -> None:
    said = refused(env={"KUBERNETES_SERVICE_HOST": "10.96.0.1"}, service_account=tmp_path)
    assert f"{tmp_path}/token cannot be read (No such file or directory)" in said
    assert "mount its service account" in said


def test_the_error_of_a_pod_with_a_bad_authority_file(
    tmp_path: Path, certificates: tuple[pki.Pair, pki.Pair]
) -> None:
    account = service_account(tmp_path, certificates[0])
    (account / "ca.crt").write_text("no certificate", "utf-8")
    said = refused(env={"KUBERNETES_SERVICE_HOST": "10.96.0.1"}, service_account=account)
    assert "the certificates for https://10.96.0.1:443 cannot be used" in said


def test_an_address_of_version_six_is_written_as_such(
    tmp_path: Path, certificates: tuple[pki.Pair, pki.Pair]
) -> None:
    account = service_account(tmp_path, certificates[0])
    found = namespace_and_server(
        env={"KUBERNETES_SERVICE_HOST": "fd00::1"}, service_account=account
    )
    assert found == ("team", "https://[fd00::1]:443")


def test_what_is_said_wins_over_the_pod(tmp_path: Path) -> None:
    file = kubeconfig(tmp_path / "config", "http://said.example")
    pod = {"KUBERNETES_SERVICE_HOST": "10.96.0.1"}
    for options in (
        {"kubeconfig": str(file), "env": pod},
        {"env": pod | {"KUBECONFIG": str(file)}},
    ):
        assert namespace_and_server(**options) == ("default", "http://said.example")


# With a kubeconfig.


def test_the_users_own_kubeconfig_is_the_last_resort(tmp_path: Path) -> None:
    (tmp_path / ".kube").mkdir()
    kubeconfig(tmp_path / ".kube" / "config", "http://home.example", namespace="team")
    found = namespace_and_server(env={"HOME": str(tmp_path)})
    assert found == ("team", "http://home.example")


def test_a_context_is_chosen_by_name(tmp_path: Path) -> None:
    one = kubeconfig(tmp_path / "one", "http://one.example")
    two = kubeconfig(tmp_path / "two", "http://two.example", name="two", namespace="team")
    both = f"{one}:{two}"
    assert namespace_and_server(kubeconfig=both, context="two", env=NOTHING) == (
        "team",
        "http://two.example",
    )


def test_of_several_files_the_first_says_what_is_current(tmp_path: Path) -> None:
    one = kubeconfig(tmp_path / "one", "http://one.example")
    two = kubeconfig(tmp_path / "two", "http://two.example", name="two")
    for files, server in ((f"{one}:{two}", "one"), (f"{two}:{tmp_path}/absent:{one}", "two")):
        found = namespace_and_server(kubeconfig=files, env=NOTHING)
        assert found[1] == f"http://{server}.example"


@pytest.mark.parametrize(
    ("user", "sent"),
    [
        ({"token": "abc"}, "Bearer abc"),
        ({"username": "a", "password": "b"}, f"Basic {base64.b64encode(b'a:b').decode()}"),
        ({}, ""),
    ],
)
def test_a_user_is_sent_as_the_file_says(tmp_path: Path, user: dict[str, str], sent: str) -> None:
    async def trial() -> None:
        async with serve(EMPTY_LIST) as server:
            file = kubeconfig(tmp_path / "config", server.url, user=user)
            async with connect(kubeconfig=str(file), env=NOTHING) as cluster:
                await cluster.list(CONFIG_MAP, None)
            assert server.requests[0].headers.get("authorization", "") == sent

    asyncio.run(trial())


def test_a_netrc_file_is_nobodys_business(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login a password b", "utf-8")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))

    async def trial() -> None:
        async with serve(EMPTY_LIST) as server:
            file = kubeconfig(tmp_path / "config", server.url)
            async with connect(kubeconfig=str(file), env=NOTHING) as cluster:
                await cluster.list(CONFIG_MAP, None)
            assert "authorization" not in server.requests[0].headers

    asyncio.run(trial())


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("{", "cannot be used: while parsing"),
        ("[]", "cannot be used"),
        ("", "cannot be used"),
        ("{}", "no context is current"),
        ("\xff\x00", "cannot be used"),
        ("contexts: []\ncurrent-context: one", "name one in"),
        (
            "contexts: [{name: one, context: {cluster: two}}]\ncurrent-context: one\nclusters: []",
            "name two in",
        ),
    ],
)
def test_a_kubeconfig_that_is_none_is_named(tmp_path: Path, content: str, reason: str) -> None:
    file = tmp_path / "config"
    file.write_text(content, "latin-1")
    said = refused(kubeconfig=str(file), env=NOTHING)
    assert str(file) in said
    assert reason in said
    assert "\n" not in said


def test_a_kubeconfig_that_is_not_there_is_named(tmp_path: Path) -> None:
    said = refused(env={"HOME": str(tmp_path)})
    assert f"{tmp_path}/.kube/config does not exist; set KUBECONFIG" in said


def test_a_context_that_is_not_there_is_named(tmp_path: Path) -> None:
    file = kubeconfig(tmp_path / "config", "http://one.example")
    assert "name three in" in refused(kubeconfig=str(file), context="three", env=NOTHING)


def test_a_server_that_is_no_url_is_named(tmp_path: Path) -> None:
    file = kubeconfig(tmp_path / "config", "127.0.0.1:6443")
    assert "server '127.0.0.1:6443' is not a URL" in refused(kubeconfig=str(file), env=NOTHING)


def test_a_client_certificate_that_is_none_is_named(tmp_path: Path) -> None:
    data = base64.b64encode(b"no certificate").decode()
    user = {"client-certificate-data": data, "client-key-data": data}
    file = kubeconfig(tmp_path / "config", "https://one.example", user=user)
    said = refused(kubeconfig=str(file), env=NOTHING)
    assert "the certificates for https://one.example cannot be used" in said


# Credential plugins.


def plugin(tmp_path: Path, expires: str | None) -> dict[str, Any]:
    """A user whose token is how often the plugin has been asked."""
    count = tmp_path / "count"
    count.write_text("", "utf-8")
    status = {"expirationTimestamp": expires} if expires else {}
    script = tmp_path / "plugin"
    script.write_text(
        f"""#!{sys.executable}
import json, os, pathlib
count = pathlib.Path({str(count)!r})
count.write_text(count.read_text() + "x")
status = {status!r} | {{"token": os.environ["PREFIX"] + str(len(count.read_text()))}}
version = json.loads(os.environ["KUBERNETES_EXEC_INFO"])["apiVersion"]
print(json.dumps({{"apiVersion": version, "kind": "ExecCredential", "status": status}}))
""",
        "utf-8",
    )
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    exec_ = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": str(script),
        "env": [{"name": "PREFIX", "value": "token-"}],
    }
    return {"exec": exec_}


@pytest.mark.parametrize(
    ("expires", "sent"),
    [
        (None, ["token-1", "token-1"]),
        ("2999-01-01T00:00:00Z", ["token-1", "token-1"]),
        ("2001-01-01T00:00:00Z", ["token-2", "token-3"]),
    ],
)
def test_a_plugin_is_asked_again_when_its_token_expires(
    tmp_path: Path, expires: str | None, sent: list[str]
) -> None:
    async def trial() -> None:
        async with serve(EMPTY_LIST) as server:
            file = kubeconfig(tmp_path / "config", server.url, user=plugin(tmp_path, expires))
            async with connect(kubeconfig=str(file), env=NOTHING) as cluster:
                for _ in sent:
                    await cluster.list(CONFIG_MAP, None)
            headers = [request.headers["authorization"] for request in server.requests]
            assert headers == [f"Bearer {token}" for token in sent]

    asyncio.run(trial())


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        (["/nowhere/plugin"], "No such file or directory"),
        (["sh", "-c", "echo please log in >&2; exit 1"], "please log in"),
        (["true"], "failed to decode"),
    ],
)
def test_a_plugin_that_fails_says_why(tmp_path: Path, command: list[str], reason: str) -> None:
    exec_ = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": command[0],
        "args": command[1:],
    }
    file = kubeconfig(tmp_path / "config", "http://one.example", user={"exec": exec_})
    said = refused(kubeconfig=str(file), env=NOTHING)
    assert "its credential plugin fails" in said
    assert reason in said


# Proxies.


def test_the_proxy_of_the_kubeconfig_is_used_with_its_password(tmp_path: Path) -> None:
    heads: list[str] = []

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append((await reader.readuntil(b"\r\n\r\n")).decode())
        writer.write(b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    async def trial() -> None:
        async with await asyncio.start_server(refuse, "127.0.0.1", 0) as proxy:
            port = proxy.sockets[0].getsockname()[1]
            url = f"http://me:s%40cret@127.0.0.1:{port}"
            file = kubeconfig(tmp_path / "config", "https://api.example", proxy=url)
            async with connect(kubeconfig=str(file), env=NOTHING) as cluster:
                with pytest.raises(ClusterError) as caught:
                    await cluster.list(CONFIG_MAP, None)
        assert "cret" not in str(caught.value)

    asyncio.run(trial())
    login = base64.b64encode(b"me:s@cret").decode()
    assert heads[0].startswith("CONNECT api.example:443 ")
    assert f"Proxy-Authorization: Basic {login}" in heads[0]


def test_the_proxy_of_the_environment_is_used(tmp_path: Path) -> None:
    async def trial() -> None:
        async with serve(EMPTY_LIST) as proxy:
            file = kubeconfig(tmp_path / "config", "http://api.example")
            async with connect(kubeconfig=str(file), env={"HTTP_PROXY": proxy.url}) as cluster:
                await cluster.list(CONFIG_MAP, None)
            assert proxy.requests[0].headers["host"] == "api.example"

    asyncio.run(trial())


@pytest.mark.parametrize(
    "proxy",
    [
        *("http://me:secret@p:99999", "http://p:abc", "http://p:0", "http://[::1", "http://"),
        *("http://:80", "p:abc", "://p"),
    ],
)
@pytest.mark.parametrize("place", ["environment", "kubeconfig"])
def test_a_proxy_that_is_no_address_is_named(proxy: str, place: str, tmp_path: Path) -> None:
    named: dict[str, Any] = {"proxy": proxy} if place == "kubeconfig" else {}
    file = kubeconfig(tmp_path / "config", "https://api.example", **named)
    said = refused(
        kubeconfig=str(file), env={"HTTPS_PROXY": proxy} if place == "environment" else {}
    )
    assert said.startswith("the proxy for https://api.example is '")
    assert "which is no address; write HTTPS_PROXY, or proxy-url in the kubeconfig, as" in said
    assert "secret" not in said


def test_a_proxy_of_another_protocol_is_refused(tmp_path: Path) -> None:
    file = kubeconfig(tmp_path / "config", "https://api.example")
    said = refused(kubeconfig=str(file), env={"HTTPS_PROXY": "socks5://127.0.0.1:1"})
    assert "speaks socks5, which is not supported" in said
