"""Credentials that are replaced, revoked, or not to be had for a while."""

import asyncio
import json
import ssl
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from cluster.harness import pki
from qinstruct_operator.cluster.connect import connect
from qinstruct_operator.cluster.errors import ClusterError
from qinstruct_operator.cluster.kube import KubeCluster
from qinstruct_operator.kinds import CONFIG_MAP
from support.scripted_server import ScriptedServer, refuses, says, serve

EMPTY = says({"kind": "ConfigMapList", "metadata": {}, "items": []})


class Tokens:
    """A server that accepts some tokens."""

    def __init__(self, *accepted: str) -> None:
        self.accepted = set(accepted)

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if token in self.accepted:
            return await EMPTY(request)
        return await refuses(401, "Unauthorized")(request)


def sent(server: ScriptedServer) -> list[str]:
    return [one.headers.get("authorization", "") for one in server.requests]


def write(path: Path, server: str, user: dict[str, Any], **more: Any) -> None:
    content = {
        "clusters": [{"name": "one", "cluster": {"server": server} | more}],
        "users": [{"name": "one", "user": user}],
        "contexts": [{"name": "one", "context": {"cluster": "one", "user": "one"}}],
        "current-context": "one",
    }
    path.write_text(json.dumps(content), "utf-8")


Use = Callable[[KubeCluster, ScriptedServer], Awaitable[None]]


def run(config: Path, user: dict[str, Any], tokens: Tokens, use: Use) -> None:
    async def trial() -> None:
        async with serve(tokens) as server:
            write(config, server.url, user)
            async with connect(kubeconfig=str(config), env={}) as cluster:
                await use(cluster, server)

    asyncio.run(trial())


def test_a_token_that_was_replaced_is_read_before_the_next_request(tmp_path: Path) -> None:
    async def use(cluster: KubeCluster, server: ScriptedServer) -> None:
        await cluster.list(CONFIG_MAP, None)
        write(tmp_path / "config", server.url, {"token": "second"})
        await cluster.list(CONFIG_MAP, None)
        await cluster.list(CONFIG_MAP, None)
        assert sent(server) == ["Bearer first", "Bearer second", "Bearer second"]

    run(tmp_path / "config", {"token": "first"}, Tokens("first", "second"), use)


def test_a_token_file_that_was_replaced_is_read_before_the_next_request(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("first", "utf-8")

    async def use(cluster: KubeCluster, server: ScriptedServer) -> None:
        await cluster.list(CONFIG_MAP, None)
        new = tmp_path / "new"
        new.write_text("other", "utf-8")  # as long, and perhaps written within the same tick
        new.replace(token)
        await cluster.list(CONFIG_MAP, None)
        assert sent(server) == ["Bearer first", "Bearer other"]

    run(tmp_path / "config", {"tokenFile": str(token)}, Tokens("first", "other"), use)


def test_one_refusal_is_no_error(tmp_path: Path) -> None:
    """A server that restarts may not know its tokens for a moment."""
    tokens = Tokens()

    async def once(request: web.Request) -> web.StreamResponse:
        tokens.accepted = {"first"}
        return await refuses(401, "Unauthorized")(request)

    async def trial() -> None:
        async with serve(once, tokens) as server:
            write(tmp_path / "config", server.url, {"token": "first"})
            async with connect(kubeconfig=str(tmp_path / "config"), env={}) as cluster:
                await cluster.list(CONFIG_MAP, None)
            assert sent(server) == ["Bearer first"] * 2

    asyncio.run(trial())


def test_a_token_that_stays_refused_is_told_in_the_servers_words(tmp_path: Path) -> None:
    async def use(cluster: KubeCluster, server: ScriptedServer) -> None:
        with pytest.raises(ClusterError, match="Unauthorized") as caught:
            await cluster.list(CONFIG_MAP, None)
        assert caught.value.status == 401
        assert len(server.requests) == 2

    run(tmp_path / "config", {"token": "first"}, Tokens(), use)


def test_a_plugin_is_asked_again_when_its_token_is_refused(tmp_path: Path) -> None:
    """Whatever the token says of its end; and once for many requests at the same time."""
    count, tokens = tmp_path / "count", Tokens("token-1")
    count.write_text("", "utf-8")
    script = tmp_path / "plugin"
    status = '{"token": "token-" + str(len(said)), "expirationTimestamp": "2999-01-01T00:00:00Z"}'
    script.write_text(
        f"""#!{sys.executable}
import json, os, pathlib
count = pathlib.Path({str(count)!r})
said = count.read_text() + "x"
count.write_text(said)
version = json.loads(os.environ["KUBERNETES_EXEC_INFO"])["apiVersion"]
print(json.dumps({{"apiVersion": version, "kind": "ExecCredential", "status": {status}}}))
""",
        "utf-8",
    )
    script.chmod(0o755)
    user = {"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": str(script)}}

    async def use(cluster: KubeCluster, _: ScriptedServer) -> None:
        await cluster.list(CONFIG_MAP, None)
        tokens.accepted = {"token-2"}
        await asyncio.gather(*(cluster.list(CONFIG_MAP, None) for _ in range(8)))
        assert count.read_text("utf-8") == "xx"

    run(tmp_path / "config", user, tokens, use)


@pytest.mark.parametrize("broken", ["{", None])
def test_a_file_that_cannot_be_read_for_a_while_is_an_error_for_a_while(
    tmp_path: Path, broken: str | None
) -> None:
    config = tmp_path / "config"

    async def use(cluster: KubeCluster, server: ScriptedServer) -> None:
        if broken is None:
            config.unlink()
        else:
            config.write_text(broken, "utf-8")
        for _ in range(2):
            with pytest.raises(ClusterError, match=f"kubeconfig {config}"):
                await cluster.list(CONFIG_MAP, None)
        write(config, server.url, {"token": "second"})
        await cluster.list(CONFIG_MAP, None)
        assert sent(server) == ["Bearer second"]

    run(config, {"token": "first"}, Tokens("second"), use)


def test_a_token_is_never_sent_to_another_server(tmp_path: Path) -> None:
    config = tmp_path / "config"

    async def use(cluster: KubeCluster, server: ScriptedServer) -> None:
        write(config, "http://127.0.0.1:9", {"token": "second"})
        with pytest.raises(ClusterError, match=r"http://127\.0\.0\.1:9 now, but were for"):
            await cluster.list(CONFIG_MAP, None)
        assert server.requests == []

    run(config, {"token": "first"}, Tokens("first"), use)


def test_another_current_context_changes_nothing(tmp_path: Path) -> None:
    config = tmp_path / "config"

    async def use(cluster: KubeCluster, server: ScriptedServer) -> None:
        content = json.loads(config.read_text("utf-8"))
        content["users"].append({"name": "two", "user": {"token": "second"}})
        content["contexts"].append({"name": "two", "context": {"cluster": "one", "user": "two"}})
        content["current-context"] = "two"
        config.write_text(json.dumps(content), "utf-8")
        await cluster.list(CONFIG_MAP, None)
        assert sent(server) == ["Bearer first"]

    run(config, {"token": "first"}, Tokens("first"), use)


def test_a_client_certificate_that_was_replaced_is_used(tmp_path: Path) -> None:
    authority = pki.authority(tmp_path, "ca")
    serving = pki.leaf(tmp_path, authority, "server", "IP:127.0.0.1")
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=authority.certificate)
    tls.load_cert_chain(serving.certificate, serving.key)
    tls.verify_mode = ssl.CERT_REQUIRED
    names: list[str] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        subject = request.transport.get_extra_info("peercert")["subject"]
        names.append(dict(pair for part in subject for pair in part)["commonName"])
        return await EMPTY(request)

    def user(name: str) -> dict[str, Any]:
        pair = pki.leaf(tmp_path, authority, name, "DNS:client")
        return {"client-certificate": str(pair.certificate), "client-key": str(pair.key)}

    async def trial() -> None:
        async with serve(answer, tls=tls) as server:
            trust = {"certificate-authority": str(authority.certificate)}
            write(tmp_path / "config", server.url, user("first"), **trust)
            async with connect(kubeconfig=str(tmp_path / "config"), env={}) as cluster:
                await cluster.list(CONFIG_MAP, None)
                write(tmp_path / "config", server.url, user("second"), **trust)
                await cluster.list(CONFIG_MAP, None)
        assert names == ["first", "second"]

    asyncio.run(trial())
