"""What kwok cannot do: annotate new pods with their behaviour, and serve the containers' logs.

A webhook annotates every new pod of a run with the behaviour that a test configured, so that the
pod has it from the start; kwok reads new stages late, and not while it has lost the API server.

Of a kubelet's endpoints clients of pods need the one for logs. kwok has one too, but a stream that
follows a log never ends there, and a container that waits to start has a log. Here both are as with
a kubelet. The log of a pod is the file that its annotation `test.qinstruct.dev/log` names; a pod
without one has printed nothing. Where a log has `POD_UID` in it, the pod's own uid is read, as in a
last word by the stages: the trainer signs its events with that.
"""

import argparse
import asyncio
import base64
import hashlib
import json
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from aiohttp import ClientSession, TCPConnector, web

from qinstruct_operator.constants import LABEL_ATTEMPT, LABEL_COMPONENT, LABEL_RUN

LOG: Final = "test.qinstruct.dev/log"
POD_UID: Final = "@pod-uid@"
WEBHOOK: Final = "/annotate"
_POLL_SECONDS: Final = 0.1


def behaviour_file(
    folder: Path, run: str, component: str, namespace: str | None, attempt: str | None
) -> Path:
    """Where the annotations are, as a JSON object, of the pods that these arguments select."""
    selector = json.dumps([run, component, namespace, attempt])
    return folder / f"{hashlib.sha256(selector.encode()).hexdigest()[:12]}.json"


async def _annotate(request: web.Request) -> web.Response:
    """Answer an AdmissionReview of a new pod with a patch of its annotations."""
    review = await request.json()
    asked = review["request"]
    metadata = asked["object"]["metadata"]
    answer: dict[str, Any] = {"uid": asked["uid"], "allowed": True}
    configured = _annotations_of(request.app[_BEHAVIOURS], metadata["labels"], asked["namespace"])
    if configured:
        annotations = metadata.get("annotations", {}) | configured
        patch = [{"op": "add", "path": "/metadata/annotations", "value": annotations}]
        encoded = base64.b64encode(json.dumps(patch).encode()).decode()
        answer |= {"patchType": "JSONPatch", "patch": encoded}
    return web.json_response({**review, "response": answer})


def _annotations_of(folder: Path, labels: dict[str, str], namespace: str) -> dict[str, str]:
    """The annotations in the most specific file that selects the pod."""
    run, component = labels[LABEL_RUN], labels.get(LABEL_COMPONENT, "")
    attempt = labels.get(LABEL_ATTEMPT)
    for words in ((namespace, attempt), (None, attempt), (namespace, None), (None, None)):
        file = behaviour_file(folder, run, component, *words)
        if file.exists():
            found: dict[str, str] = json.loads(file.read_text("utf-8"))
            return found
    return {}


@dataclass(frozen=True)
class _Pods:
    """Reads pods from the API server."""

    session: ClientSession
    url: str

    async def container(self, namespace: str, pod: str, name: str) -> "_Container":
        path = f"{self.url}/api/v1/namespaces/{namespace}/pods/{pod}"
        async with self.session.get(path) as response:
            body: dict[str, Any] = await response.json()
        if response.status != 200:
            return _Container(uid="", file=None, waiting=None, ended=True)
        file = body["metadata"].get("annotations", {}).get(LOG)
        statuses = body["status"].get("containerStatuses", [])
        states = [status["state"] for status in statuses if status["name"] == name]
        state = states[0] if states else {"waiting": {"reason": "ContainerCreating"}}
        waiting = state["waiting"]["reason"] if "waiting" in state else None
        uid = body["metadata"]["uid"]
        return _Container(uid, Path(file) if file else None, waiting, "terminated" in state)


@dataclass(frozen=True)
class _Container:
    uid: str
    file: Path | None
    waiting: str | None
    ended: bool

    @property
    def content(self) -> bytes:
        """What it has printed so far."""
        if self.file is None or not self.file.exists():
            return b""
        return self.file.read_text("utf-8").replace(POD_UID, self.uid).encode()


async def _answer(request: web.Request) -> web.StreamResponse:
    pods = request.app[_PODS]
    asked = (request.match_info[key] for key in ("namespace", "pod", "container"))
    namespace, pod, name = asked
    container = await pods.container(namespace, pod, name)
    if container.waiting:
        reason = f'container "{name}" in pod "{pod}" is waiting to start: {container.waiting}'
        return web.Response(status=400, text=reason)
    response = web.StreamResponse(headers={"Content-Type": "text/plain"})
    await response.prepare(request)
    follow = request.query.get("follow") == "true"
    left = int(request.query.get("limitBytes", 2**60))
    skip = _skip(container.content, request.query.get("tailLines"))
    async for chunk in _chunks(pods, (namespace, pod, name), skip, follow):
        await response.write(chunk[:left])
        left -= len(chunk)
        if left <= 0:
            break
    await response.write_eof()
    return response


async def _chunks(
    pods: _Pods, asked: tuple[str, str, str], offset: int, follow: bool
) -> AsyncIterator[bytes]:
    """What the log grows by; when followed, until the container has ended and all is read."""
    while True:
        container = await pods.container(*asked)  # first: what it wrote before its end is read
        content = container.content[offset:]
        if content:
            yield content
            offset += len(content)
        if container.ended or not follow:
            return
        await asyncio.sleep(_POLL_SECONDS)


def _skip(content: bytes, tail: str | None) -> int:
    """How many bytes come before the last lines that were asked for."""
    if tail is None:
        return 0
    lines = content.splitlines(keepends=True)
    return sum(len(line) for line in lines[: max(0, len(lines) - int(tail))])


async def _healthy(_: web.Request) -> web.Response:
    return web.Response(text="ok")


_PODS: Final = web.AppKey("pods", _Pods)
_BEHAVIOURS: Final = web.AppKey("behaviours", Path)


async def _serve(arguments: argparse.Namespace) -> None:
    trust = ssl.create_default_context(cafile=arguments.ca)
    serving = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    serving.load_cert_chain(arguments.certificate, arguments.key)
    headers = {"Authorization": f"Bearer {arguments.token_file.read_text('utf-8')}"}
    async with ClientSession(headers=headers, connector=TCPConnector(ssl=trust)) as session:
        app = web.Application()
        app[_PODS] = _Pods(session, arguments.server)
        app[_BEHAVIOURS] = arguments.behaviours
        app.router.add_post(WEBHOOK, _annotate)
        app.router.add_get("/containerLogs/{namespace}/{pod}/{container}", _answer)
        app.router.add_get("/healthz", _healthy)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", arguments.port, ssl_context=serving).start()
        await asyncio.Event().wait()


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--server", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--token-file", type=Path, required=True)
    parser.add_argument("--behaviours", type=Path, required=True)
    for name in ("--ca", "--certificate", "--key"):
        parser.add_argument(name, required=True)
    asyncio.run(_serve(parser.parse_args()))


if __name__ == "__main__":
    main()
