"""Linux namespaces of a real node: its mounts, routes and programs end with one process.

containerd and the kubelet leave mounts, a bridge, routes, sysctls and daemons behind, and more of
them when they are killed. Here they run in mount, network and process namespaces of their own, as
the node of a kind cluster does in its container. The kernel ends all that with the namespaces'
first process, which ends with this one. Cgroups have no such end; the next node removes them.
"""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path
from typing import Final

from cluster.harness.processes import Processes, wait_until

_CGROUPS: Final = Path("/sys/fs/cgroup")
_CGROUP_PREFIX: Final = "qinstruct-node-"
_CONTROLLERS: Final = ("cpu", "cpuset", "memory", "hugetlb", "pids")  # those that a kubelet needs
_INIT: Final = "node"
_READY: Final = "node-is-ready"
# RFC 2544's range for measurements between two machines: nobody routes it. Each node takes four.
_ADDRESSES: Final = IPv4Address("198.18.0.0")
_NUM_ADDRESSES: Final = 2**17
# Paths that containerd, its network plugins or the kubelet write to, whatever they are told.
_PRIVATE: Final = tuple(
    map(Path, ("/run/containerd", "/var/lib/kubelet", "/var/lib/cni", "/var/log/containers"))
)
# dash and bash, when they wait, also bury the processes that the first one inherits.
_INIT_SCRIPT: Final = """
set -e
for path in "$@"; do mount -t tmpfs -o mode=755 node "$path"; done
ip link set lo up
touch {ready}
while :; do sleep 3600 & wait; done
"""


@dataclass(frozen=True)
class Namespaces:
    """The namespaces of one node.

    Attributes:
        pid: their first process, as this machine counts.
        machine_address: where programs in the namespaces find this machine.
        node_address: where this machine finds the node.
        cgroup: the node's cgroup, below the root of each hierarchy.
        pod_subnet: the addresses of its pods, which this machine can reach, and they it.
    """

    pid: int
    machine_address: str
    node_address: str
    cgroup: str
    pod_subnet: str

    def command(self, *words: str | Path) -> list[str | Path]:
        """The command, to be run inside; it is killed when `nsenter` is."""
        enter = ["nsenter", f"--target={self.pid}", "--mount", "--net", "--pid"]
        return [*enter, "setpriv", "--pdeathsig=KILL", *words]

    def run(self, *words: str | Path) -> str:
        """Run a command inside; what it prints."""
        done = self._try(*words)
        if done.returncode != 0:
            raise RuntimeError(f"{words[0]} failed in the node: {done.stderr.strip()}")
        return done.stdout

    def succeeds(self, *words: str | Path) -> bool:
        """Whether a command, run inside, ends with code 0."""
        return self._try(*words).returncode == 0

    def _try(self, *words: str | Path) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(self.command(*words), capture_output=True, text=True, timeout=600)

    def end(self) -> None:
        """Kill everything inside, wait until it is gone, and remove what nobody else does."""
        os.kill(self.pid, signal.SIGKILL)
        wait_until(lambda: not Path(f"/proc/{self.pid}").exists(), "the node has ended")
        remove_cgroups()
        for path in _PRIVATE:
            with suppress(OSError):  # used by others, or gone
                path.rmdir()


def why_not() -> str | None:
    """Why there can be no such namespaces here, in a sentence; None when there can."""
    if os.geteuid() != 0:
        return f"a real node needs root for its cgroups and mounts, and this is user {os.geteuid()}"
    hierarchies = list(_hierarchies()) or [_CGROUPS]
    unwritable = [path for path in hierarchies if not os.access(path, os.W_OK)]
    if unwritable:
        return f"a real node needs cgroups of its own, and {unwritable[0]} cannot be written to"
    trial = [*_unshare(), "ip", "link", "add", "qi0", "type", "veth", "peer", "name", "qi1"]
    done = subprocess.run(trial, capture_output=True, text=True)
    if done.returncode != 0:
        return f"a real node needs namespaces and a veth pair of its own: {done.stderr.strip()}"
    return None


def start(processes: Processes) -> Namespaces:
    """Make them; they end with `processes`."""
    remove_cgroups()
    for path in _PRIVATE:
        path.mkdir(parents=True, exist_ok=True)
    ready = processes.folder / _READY
    ready.unlink(missing_ok=True)
    script = _INIT_SCRIPT.format(ready=_READY)
    processes.start(
        _INIT, [*_unshare(), "sh", "-c", script, "sh", *map(str, _PRIVATE)], ready=ready.exists
    )
    parent = processes.pid(_INIT)
    pid = int(Path(f"/proc/{parent}/task/{parent}/children").read_text("ascii"))
    first = _ADDRESSES + pid * 4 % _NUM_ADDRESSES
    made = Namespaces(
        pid,
        machine_address=str(first + 1),
        node_address=str(first + 2),
        cgroup=f"{_CGROUP_PREFIX}{pid}",
        pod_subnet=f"10.244.{pid % 256}.0/24",
    )
    _connect(made)
    _make_cgroups(made.cgroup)
    return made


def remove_cgroups() -> None:
    """Remove the cgroups of nodes that are no more."""
    for hierarchy in _hierarchies():
        for cgroup in hierarchy.glob(f"{_CGROUP_PREFIX}*"):
            if Path("/proc", cgroup.name.removeprefix(_CGROUP_PREFIX)).exists():
                continue
            for folder, _, _ in os.walk(cgroup, topdown=False):
                _remove(Path(folder))


def _remove(cgroup: Path) -> None:
    def removed() -> bool:
        try:
            cgroup.rmdir()
        except FileNotFoundError:
            return True
        except OSError:  # a killed process is still on its way out
            return False
        return True

    wait_until(removed, f"the cgroup {cgroup} is empty", seconds=10)


def _make_cgroups(name: str) -> None:
    controllers = _CGROUPS / "cgroup.controllers"
    if controllers.exists():  # version 2, where a child has what its parent has been told to give
        given = [f"+{c}" for c in controllers.read_text("ascii").split() if c in _CONTROLLERS]
        (_CGROUPS / "cgroup.subtree_control").write_text(" ".join(given), "ascii")
    for hierarchy in _hierarchies():
        (hierarchy / name).mkdir()


def _connect(made: Namespaces) -> None:
    """A pair of interfaces, one here and one in the namespaces: the way out, and to its pods."""
    here = f"qi{made.pid}"
    _ip("link", "add", here, "type", "veth", "peer", "name", "eth0", "netns", str(made.pid))
    _ip("addr", "add", f"{made.machine_address}/30", "dev", here)
    _ip("link", "set", here, "up")
    made.run("ip", "addr", "add", f"{made.node_address}/30", "dev", "eth0")
    made.run("ip", "link", "set", "eth0", "up")
    made.run("ip", "route", "add", "default", "via", made.machine_address)
    _ip("route", "add", made.pod_subnet, "via", made.node_address)


def _ip(*arguments: str) -> None:
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"ip {' '.join(arguments)} failed: {done.stderr.strip()}")


def _unshare() -> list[str]:
    namespaces = ("--mount", "--net", "--pid", "--propagation=private")
    return ["unshare", *namespaces, "--fork", "--kill-child", "--mount-proc"]


def _hierarchies() -> Iterator[Path]:
    """The roots of the cgroup hierarchies: one of version 2, or many of version 1."""
    for line in Path("/proc/self/mounts").read_text("utf-8").splitlines():
        _, folder, kind, *_ = line.split()
        if kind in ("cgroup", "cgroup2"):
            yield Path(folder)
