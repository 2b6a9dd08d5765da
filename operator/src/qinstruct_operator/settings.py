"""Settings of an installation: images, paths, storage, intervals; read from the environment."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final, Self, get_args

from qinstruct_operator.constants import DNS_LABEL, DNS_NAME, MAX_DNS_LABEL, VERSION
from qinstruct_operator.errors import InvalidSpec, Violation
from qinstruct_trainer.contract.config import Attention
from qinstruct_trainer.contract.net_settings import (
    BANDWIDTH_FORM,
    EXEMPTIONS_FORM,
    HUB_SCHEMES,
    PROXY_SCHEMES,
    bytes_per_second,
    why_no_address,
    why_no_exemptions,
    why_no_network,
)
from qinstruct_trainer.contract.urls import shown_url

_KERNELS: Final[tuple[str, ...]] = get_args(Attention)
_MOUNTS: Final = ("cache_path", "output_path", "config_path")
_OF_PODS: Final = (Path("/tmp"), Path("/dev/shm"))  # core.children.pod mounts these as well
_NAMESPACE: Final = re.compile(rf"(?=.{{1,{MAX_DNS_LABEL}}}$){DNS_LABEL}")
_IMAGE_PART: Final = "[a-z0-9]+((\\.|_|__|-+)[a-z0-9]+)*"
_IMAGE: Final = re.compile(
    r"(?=[^@]{1,255}(@|$))"
    r"(([A-Za-z0-9][-A-Za-z0-9.]*|\[[0-9A-Fa-f:]+\])(:[0-9]{1,5})?/)?"  # a registry
    rf"{_IMAGE_PART}(/{_IMAGE_PART})*(:[A-Za-z0-9_][-A-Za-z0-9_.]{{0,127}})?(@sha256:[0-9a-f]{{64}})?"
)
_QUEUE: Final = re.compile(rf"(?=.{{1,{MAX_DNS_LABEL}}}$){DNS_NAME}")


@dataclass(frozen=True)
class Settings:
    """Images, paths and storage of an installation. Local mode passes its own folders.

    Attributes:
        prep_image: image of the prep Job.
        trainer_image: image of the training workload.
        trainer_attention: attention kernels that the trainer image has, separated by commas; what
            `qinstruct --version --json` says there. A run that needs another is refused.
        priority_classes: patterns, separated by commas, of the PriorityClasses that runs may use;
            `-` allows none. Those of the system are never allowed.
        tolerated_taints: patterns of the keys of the taints that runs may tolerate. Those of
            control planes (`node-role.kubernetes.io/`) and of nodes that take no new pods
            (`node.kubernetes.io/unschedulable`) need a pattern that begins as they do.
        cache_path: where processes see the shared unit cache.
        output_path: where processes see the run's own folder.
        config_path: where pods see the ConfigMap.
        default_queue: Kueue's LocalQueue of training workloads whose run names none; empty: none.
        namespace: namespace of documents that name none.
        cache_size: request of the namespace's shared cache claim; see `core.plan.disk` for what
            one run needs.
        cache_storage_class: storage class of that claim; None: the cluster's default.
        private_networks: networks, separated by commas, that prep may fetch from besides public
            addresses; `-` for none. Local mode: None, any.
        prep_proxy: proxy of the prep pods' downloads, `http://HOST:PORT`; empty: none. Its own
            address must be public or in `private_networks`.
        prep_no_proxy: servers that they reach without it, as `NO_PROXY` lists them.
        prep_max_bandwidth: what all downloads of a prep pod read together, in bytes a second, as
            `50M`; empty: no bound.
        hub_endpoint: address of the hub of models, where it is a mirror; empty: the public one.
        prep_hours: longest time of a prep Job, its retries and its wait for a node included.
        progress_seconds: how often the operator reads the log of a running container.
        waiting_seconds: interval between passes over a waiting run, at first; later twice
            that. Events of runs, jobs and pods start a pass at once.
        list_seconds: interval between two lists of all runs, beside the watch.
        workers: runs that are reconciled concurrently.
        ready_address: `HOST:PORT` of the readiness endpoint, `/readyz`; empty: none.
    """

    prep_image: str = f"ghcr.io/qinstruct/prep:{VERSION}"
    trainer_image: str = f"ghcr.io/qinstruct/trainer:{VERSION}"
    trainer_attention: str = "flash_attention_2,sdpa,eager"
    priority_classes: str = "*"
    tolerated_taints: str = "*"
    cache_path: Path = Path("/cache")
    output_path: Path = Path("/output")
    config_path: Path = Path("/etc/qinstruct")
    default_queue: str = ""
    namespace: str = "default"
    cache_size: str = "400Gi"
    cache_storage_class: str | None = None
    private_networks: str | None = "-"
    prep_proxy: str = ""
    prep_no_proxy: str = ""
    prep_max_bandwidth: str = ""
    hub_endpoint: str = ""
    prep_hours: float = 72.0
    progress_seconds: float = 10.0
    waiting_seconds: float = 15.0
    list_seconds: float = 20.0
    workers: int = 16
    ready_address: str = ""

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> Self:
        """Settings from `QINSTRUCT_<FIELD>` keys of a mapping, e.g. `QINSTRUCT_CACHE_SIZE`.

        Raises:
            InvalidSpec: a number is not one, a kernel is unknown; one violation a variable.
        """
        found: list[Violation] = []
        values: dict[str, Any] = {}
        for each in fields(cls):
            name = f"QINSTRUCT_{each.name.upper()}"
            if text := env.get(name):
                try:
                    values[each.name] = _READERS[type(each.default)](text)
                except ValueError:
                    reason = "is not a number above 0"
                    found.append(Violation(name, text, reason, f"use e.g. {each.default}"))
        made = cls(**values)
        found += made._violations()
        if found:
            raise InvalidSpec(found)
        return made

    @property
    def attention_kernels(self) -> tuple[str, ...]:
        """The kernels of `trainer_attention`, one by one."""
        return _list(self.trainer_attention)

    @property
    def allowed_priority_classes(self) -> tuple[str, ...]:
        """The patterns of `priority_classes`, one by one."""
        return _list(self.priority_classes)

    @property
    def allowed_networks(self) -> tuple[str, ...] | None:
        """The networks of `private_networks`, one by one; None: any."""
        text = self.private_networks
        return None if text is None else () if text == "-" else _list(text)

    @property
    def allowed_taints(self) -> tuple[str, ...]:
        """The patterns of `tolerated_taints`, one by one."""
        return _list(self.tolerated_taints)

    def _violations(self) -> Iterator[Violation]:
        for name in self.attention_kernels:
            if name not in _KERNELS:
                reason = f"is none of the attention kernels {', '.join(_KERNELS)}"
                yield Violation("QINSTRUCT_TRAINER_ATTENTION", name, reason, "use e.g. sdpa,eager")
        for text in self.allowed_networks or ():
            if why := why_no_network(text):
                yield Violation("QINSTRUCT_PRIVATE_NETWORKS", text, why, "use e.g. 10.1.0.0/16")
        yield from self._net_violations()
        for name in _MOUNTS:
            path = getattr(self, name)
            others = [getattr(self, other) for other in _MOUNTS if other != name]
            if why := _misplaced(path, [*others, *_OF_PODS]):
                yield Violation(f"QINSTRUCT_{name.upper()}", str(path), why, "use e.g. /" + name)
        yield from self._name_violations()

    def _name_violations(self) -> Iterator[Violation]:
        for name in ("prep_image", "trainer_image"):
            if not _IMAGE.fullmatch(image := getattr(self, name)):
                reason, fix = "is no name of an image", f"use e.g. {getattr(Settings, name)}"
                yield Violation(f"QINSTRUCT_{name.upper()}", image, reason, fix)
        if not _NAMESPACE.fullmatch(self.namespace):
            reason = "is no name of a namespace: up to 63 small letters, digits and -"
            yield Violation("QINSTRUCT_NAMESPACE", self.namespace, reason, "use e.g. default")
        if self.default_queue and not _QUEUE.fullmatch(self.default_queue):
            reason = "is not the name of a LocalQueue: up to 63 small letters, digits, - and ."
            yield Violation("QINSTRUCT_DEFAULT_QUEUE", self.default_queue, reason, "use e.g. gpus")

    def _net_violations(self) -> Iterator[Violation]:
        """What prep would refuse, in its words."""
        yield from _address_violations("QINSTRUCT_PREP_PROXY", self.prep_proxy, PROXY_SCHEMES)
        yield from _address_violations("QINSTRUCT_HUB_ENDPOINT", self.hub_endpoint, HUB_SCHEMES)
        if why := why_no_exemptions(self.prep_no_proxy):
            yield Violation("QINSTRUCT_PREP_NO_PROXY", self.prep_no_proxy, why, EXEMPTIONS_FORM)
        if bound := self.prep_max_bandwidth:
            try:
                bytes_per_second(bound)
            except ValueError as error:
                name = "QINSTRUCT_PREP_MAX_BANDWIDTH"
                yield Violation(name, bound, str(error), BANDWIDTH_FORM)


def _misplaced(path: Path, others: Sequence[Path]) -> str | None:
    """Why nothing can be mounted there, beside the others."""
    if not path.is_absolute() or ".." in path.parts:
        return "is no absolute path without .."
    for other in others:
        if path.is_relative_to(other) or other.is_relative_to(path):
            return f"and {other} would lie in each other"
    return None


def _address_violations(variable: str, text: str, schemes: Sequence[str]) -> Iterator[Violation]:
    if not text:
        return
    why = why_no_address(text, schemes)
    if why is None and "@" in text:
        why = "has a name or a password, which everybody could read in the spec of the prep Job"
    if why is not None:
        yield Violation(variable, shown_url(text), why, f"use e.g. {schemes[0]}://HOST:PORT")


def _list(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(","))


def _positive_float(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise ValueError(text)
    return value


def _positive_int(text: str) -> int:
    value = int(text)
    if value < 1:
        raise ValueError(text)
    return value


_READERS: Final[Mapping[type, Callable[[str], Any]]] = {
    str: str,
    type(None): str,
    float: _positive_float,
    int: _positive_int,
    type(Path()): Path,
}
