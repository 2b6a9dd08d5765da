"""Drain waiting runs with the operator on a real API server, and with plain asyncio: runs a second.

    PYTHONPATH=tests .venv/bin/python bench/drain.py [--crs 1000] [--more 300] [--runs 1]

1. `--crs` runs are created while the operator is down. It is started and drains them: until each
   has its prep Job.
2. With the operator up, `--more` runs are created as fast as kubectl creates them; the time from
   each one's creation to its prep Job: once while the operator has nothing else to do (before 1),
   and once while it repeats its passes over all the runs of 1, which wait.
3. The ceiling: a program of nothing but asyncio and aiohttp sends the same requests for as many
   runs, 10 and then 50 runs at a time. They are those that the operator made for one run,
   recorded on the way, up to the run's first status. (What it asks after that, when it sees the
   Job, comes in its queue after every other run's first pass, so it is no part of the drain.)

etcd, the API server and this program share the machine's cores with the operator. The controllers
and the scheduler are stopped, unless `--controllers`: elsewhere they have a machine of their own,
and what they do with a thousand Jobs that no node takes is not the operator's speed.
"""

import argparse
import asyncio
import json
import os
import re
import shutil
import ssl
import statistics
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import aiohttp
from rich.console import Console
from rich.table import Table

from cluster.clients.operator_process import install, operator_process
from cluster.clients.proxy import fault_proxy
from cluster.clients.watch import Watch, open_watch
from cluster.harness import control_plane
from cluster.harness.api_request import runs_path, send_request
from cluster.harness.control_plane import ControlPlane
from cluster.harness.processes import Processes, wait_until
from cluster.harness.programs import module_dir
from qinstruct_operator.constants import API_VERSION, KIND

KUBECTL_RATE = 45.0  # runs per second that one kubectl creates from one file on two cores
CREATORS = 20
SPACES = ("pressed", "drained", "pressed-after", "plain-10", "plain-50")
SETTLED = 2.0  # seconds after its last request in which an operator has no more to ask
NAMESPACE, NAME, UID = "recorded-space", "recorded-run", "recorded-uid"  # nothing else says so
Latencies = dict[str, list[float]]
_VERSION = re.compile(r'"resourceVersion": ?"\d+"')
_CLOCK = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Server:
    """All that a client must know."""

    url: str
    token: str
    ca: Path

    def session(self, limit: int) -> aiohttp.ClientSession:
        tls = ssl.create_default_context(cafile=self.ca)
        return aiohttp.ClientSession(
            base_url=self.url,
            connector=aiohttp.TCPConnector(ssl=tls, limit=limit),
            headers={"Authorization": f"Bearer {self.token}"},
        )


@dataclass(frozen=True)
class Request:
    """One of those that the operator makes for a run, and what the server said."""

    method: str
    path: str
    body: str
    content_type: str
    status: int | None


@dataclass(frozen=True)
class Usage:
    """Seconds of processor time; MiB of memory now and at most."""

    cpu: float
    rss: float
    peak: float


@dataclass(frozen=True)
class Drained:
    """Seconds from a program's start, and from the first Job, to the last Job."""

    name: str
    crs: int
    seconds: float
    since_first: float
    usage: Usage


def usage(pid: int | str = "self") -> Usage:
    fields = Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()
    lines = Path(f"/proc/{pid}/status").read_text("utf-8").splitlines()
    sizes = {line.split(":")[0]: int(line.split()[1]) / 1024 for line in lines if "kB" in line}
    return Usage((int(fields[11]) + int(fields[12])) / _CLOCK, sizes["VmRSS"], sizes["VmHWM"])


async def create(
    server: Server, namespace: str, names: list[str], rate: float | None = None
) -> dict[str, float]:
    """Create runs; when each request was sent."""
    sent: dict[str, float] = {}
    gate = asyncio.Semaphore(CREATORS)
    begin = time.monotonic()

    async def one(client: aiohttp.ClientSession, number: int, name: str) -> None:
        if rate is not None:
            await asyncio.sleep(begin + number / rate - time.monotonic())
        body: dict[str, Any] = {
            "apiVersion": API_VERSION,
            "kind": KIND,
            "metadata": {"name": name, "namespace": namespace},
            "spec": {"size": "7B", "strategy": "after"},
        }
        async with gate:
            sent[name] = time.monotonic()
            async with client.post(runs_path(namespace), json=body, raise_for_status=True):
                pass

    async with server.session(CREATORS) as client:
        await asyncio.gather(*(one(client, number, name) for number, name in enumerate(names)))
    return sent


def wait_for_jobs(jobs: Watch, namespace: str, count: int) -> dict[str, float]:
    """When each run's prep Job was seen first, once all have one."""
    times: dict[str, float] = {}
    num_read = 0

    def are_all_there() -> bool:
        nonlocal num_read
        new = jobs.changes[num_read:]
        num_read += len(new)
        for change in new:
            meta = change.object["metadata"]
            if meta["namespace"] == namespace:
                times.setdefault(meta["name"].removesuffix("-prep"), change.time)
        return len(times) >= count

    wait_until(are_all_there, f"{count} prep Jobs in {namespace}", max(60, count / 2))
    return times


def record(api: ControlPlane, admin: Server, token: str) -> list[Request]:
    """The operator's requests for one run."""
    alone = {"QINSTRUCT_WAITING_SECONDS": "3600", "QINSTRUCT_PROGRESS_SECONDS": "3600"}
    with fault_proxy(api.url, api.ca) as proxy:
        kubeconfig = api.kubeconfig_for(token, proxy.url)
        folder = api.folder / "recorded-operator"
        with operator_process(folder, kubeconfig, namespaces=[NAMESPACE], environment=alone):
            asyncio.run(create(admin, NAMESPACE, [NAME]))
            wait_until(
                lambda: (
                    any("/status" in one.path for one in proxy.exchanges)
                    and time.monotonic() - proxy.exchanges[-1].time > SETTLED
                ),
                "the operator has no more to ask",
            )
        uid = send_request(api, "GET", runs_path(NAMESPACE, NAME)).content["metadata"]["uid"]
        return [
            Request(
                *(one.method, one.path, one.body.decode().replace(uid, UID)),
                *(one.content_type, one.status),
            )
            for one in proxy.exchanges
            if not one.is_watch and (NAME in one.path or NAME.encode() in one.body)
        ]


def press(admin: Server, jobs: Watch, namespace: str, more: int) -> list[float]:
    """Create runs as kubectl does; the sorted times from creation to prep Job."""
    names = [f"run-{number}" for number in range(more)]
    sent = asyncio.run(create(admin, namespace, names, KUBECTL_RATE))
    seen = wait_for_jobs(jobs, namespace, more)
    return sorted(seen[name] - sent[name] for name in names)


def work(
    api: ControlPlane, admin: Server, token: str, jobs: Watch, crs: int, more: int
) -> tuple[Drained, Latencies]:
    """What the operator does: with nothing else to do, with many waiting, and in between."""
    latencies: Latencies = {}
    kubeconfig = api.kubeconfig_for(token)
    with operator_process(api.folder / "idle-operator", kubeconfig):
        latencies["an idle operator"] = press(admin, jobs, "pressed", more)
    send_request(api, "DELETE", runs_path("pressed"))
    asyncio.run(create(admin, "drained", [f"run-{number}" for number in range(crs)]))
    begin = time.monotonic()
    with operator_process(api.folder / "operator", kubeconfig) as operator:
        times = sorted(wait_for_jobs(jobs, "drained", crs).values())
        seconds = times[-1] - begin
        drained = Drained("the operator", crs, seconds, times[-1] - times[0], usage(operator.pid))
        time.sleep(SETTLED)
        latencies[f"just after {crs}"] = press(admin, jobs, "pressed-after", more)
    return drained, latencies


async def replay(
    client: aiohttp.ClientSession, requests: list[Request], namespace: str, name: str
) -> None:
    """The recorded requests, for another run."""
    meta = {"uid": "", "resourceVersion": ""}
    for request in requests:
        path = request.path.replace(NAMESPACE, namespace).replace(NAME, name)
        body = request.body.replace(NAMESPACE, namespace).replace(NAME, name)
        body = body.replace(UID, meta["uid"])
        body = _VERSION.sub(f'"resourceVersion": "{meta["resourceVersion"]}"', body)
        headers = {"Content-Type": request.content_type} if body else {}
        async with client.request(
            request.method, path, data=body or None, headers=headers
        ) as answer:
            content = await answer.read()
            if answer.status != request.status:
                raise RuntimeError(f"{request.method} {path}: {answer.status} {content!r}")
        if path == runs_path(namespace, name):
            meta = json.loads(content)["metadata"]


def drain_plainly(
    server: Server, requests: list[Request], namespace: str, names: list[str], concurrency: int
) -> tuple[float, Usage]:
    """The ceiling, in a process of its own: seconds, and what they cost."""
    before = usage()

    async def work() -> float:
        gate = asyncio.Semaphore(concurrency)

        async def one(client: aiohttp.ClientSession, name: str) -> None:
            async with gate:
                await replay(client, requests, namespace, name)

        begin = time.monotonic()
        async with server.session(concurrency) as client:
            await asyncio.gather(*(one(client, name) for name in names))
        return time.monotonic() - begin

    seconds, after = asyncio.run(work()), usage()
    return seconds, Usage(after.cpu - before.cpu, after.rss, after.peak)


def ceiling(admin: Server, plain: Server, requests: list[Request], crs: int, side: int) -> Drained:
    namespace, names = f"plain-{side}", [f"run-{number}" for number in range(crs)]
    asyncio.run(create(admin, namespace, names))
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        pool.submit(usage).result()  # start the process before the clock
        seconds, used = pool.submit(drain_plainly, plain, requests, namespace, names, side).result()
    return Drained(f"plain asyncio, {side}", crs, seconds, seconds, used)


def measure(crs: int, more: int, controllers: bool) -> tuple[list[Drained], Latencies, str]:
    """Everything, on a control plane of its own, and what is to be said with it."""
    processes = Processes(Path(tempfile.mkdtemp(prefix="qinstruct-bench-")))
    try:
        api = control_plane.start(processes)
        training = module_dir("training-operator", "github.com/kubeflow/training-operator")
        api.apply(files=(training / "manifests/base/crds/kubeflow.org_pytorchjobs.yaml",))
        token = install(api)
        for namespace in (NAMESPACE, *SPACES):
            api.kubectl("create", "namespace", namespace)
        if not controllers:
            processes.stop("kube-controller-manager")
            processes.stop("kube-scheduler")
        admin = Server(api.url, api.tokens["admin"], api.ca)
        plain = Server(api.url, token, api.ca)
        requests = record(api, admin, token)
        with open_watch(api, "/apis/batch/v1/jobs") as jobs:
            drained, latencies = work(api, admin, token, jobs, crs, more)
        first = 1 + next(n for n, one in enumerate(requests) if one.method == "PUT")
        rows = [
            drained,
            *(ceiling(admin, plain, requests[:first], crs, side) for side in (10, 50)),
        ]
        said = f"{first} requests until a run's first status, {len(requests)} until no more"
        return rows, latencies, said
    finally:
        processes.close()
        shutil.rmtree(processes.folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--crs", type=int, default=1000)
    parser.add_argument("--more", type=int, default=300)
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--controllers", action="store_true")
    given = parser.parse_args()
    titles = ("runs/s", "since first", "CPU s", "MiB", "MiB at most")
    for number in range(given.runs):
        rows, latencies, said = measure(given.crs, given.more, given.controllers)
        table = Table(
            "program",
            *titles,
            title=f"{given.crs} waiting runs, measurement {number + 1}",
        )
        for row in rows:
            table.add_row(
                row.name,
                f"{row.crs / row.seconds:.1f}",
                f"{row.crs / row.since_first:.1f}",
                *(f"{value:.1f}" for value in (row.usage.cpu, row.usage.rss, row.usage.peak)),
            )
        Console().print(table)
        print(said)
        for name, times in latencies.items():
            quantiles = statistics.quantiles(times, n=100, method="inclusive")
            print(
                f"{given.more} more at {KUBECTL_RATE:.0f}/s for {name}, creation to prep Job:"
                f" p50 {quantiles[49]:.3f} s, p99 {quantiles[98]:.3f} s"
            )


if __name__ == "__main__":
    main()
