"""The chart, installed in a test cluster, and the operator as the process that its pod would be.

The nodes of the test cluster run no containers: the operator runs beside them, with the token of
the chart's account and the variables and arguments of the chart's Deployment.
"""

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from cluster.clients.operator_process import Operator, operator_process
from cluster.harness.testcluster import OwnCluster
from support.helm_chart import CHART, NAMESPACE, RELEASE, Values, helm

_QUICK: Final = {"QINSTRUCT_PROGRESS_SECONDS": "1", "QINSTRUCT_WAITING_SECONDS": "4"}


@dataclass(frozen=True)
class InstalledChart:
    """A release; it need not be there yet, or any more.

    Attributes:
        folder: takes the log of the operator.
        kubeconfig: of who installs it; None: the administrator.
    """

    cluster: OwnCluster
    folder: Path
    release: str = RELEASE
    namespace: str = NAMESPACE
    kubeconfig: Path | None = None

    def helm(self, verb: str, *arguments: str | Path, values: Values | None = None) -> str:
        """What Helm says about the release."""
        kubeconfig = self.kubeconfig or self.cluster.api.admin_kubeconfig
        where = f"--namespace={self.namespace}"
        return helm(verb, self.release, *arguments, where, kubeconfig=kubeconfig, values=values)

    def install(self, *arguments: str, chart: Path = CHART, values: Values | None = None) -> str:
        """`helm install`; its notes."""
        may_create = ["--create-namespace"] if self.kubeconfig is None else []
        return self.helm("install", chart, *may_create, *arguments, values=values)

    def deployment(self) -> dict[str, Any]:
        """As it is on the server."""
        selector = f"--selector=app.kubernetes.io/instance={self.release}"
        listed = self.cluster.kubectl(
            "get", "deployment", selector, f"--namespace={self.namespace}", "--output=json"
        )
        (found,) = json.loads(listed)["items"]
        made: dict[str, Any] = found
        return made

    def token(self) -> str:
        """One of the account of the Deployment."""
        spec = self.deployment()["spec"]["template"]["spec"]
        return self.cluster.api.token(self.namespace, spec["serviceAccountName"])

    @contextmanager
    def operator(
        self, token: str | None = None, environment: Mapping[str, str] = _QUICK
    ) -> Iterator[Operator]:
        """What the Deployment's pod would do."""
        (container,) = self.deployment()["spec"]["template"]["spec"]["containers"]
        variables = {one["name"]: one.get("value", "") for one in container["env"]}
        del variables["QINSTRUCT_READY_ADDRESS"]
        watched = [
            one.removeprefix("--namespace=")
            for one in container["command"]
            if one.startswith("--namespace=")
        ]
        kubeconfig = self.cluster.api.kubeconfig_for(token or self.token())
        with operator_process(
            self.folder,
            kubeconfig,
            namespaces=watched,
            environment=variables | dict(environment),
        ) as process:
            yield process


def older_chart(folder: Path) -> Path:
    """A copy of the chart, one version older, whose CRD has a column and a field less."""
    older = folder / "older"
    shutil.copytree(CHART, older)
    definition = older / "Chart.yaml"
    chart = yaml.safe_load(definition.read_text("utf-8"))
    definition.write_text(yaml.safe_dump(chart | {"version": "0.0.9", "appVersion": "0.0.9"}))
    file = older / "files" / "crd.yaml"
    crd = yaml.safe_load(file.read_text("utf-8"))
    (version,) = crd["spec"]["versions"]
    version["additionalPrinterColumns"].pop()
    spec = version["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
    del spec["tracking"]["properties"]["tensorboard"]
    file.write_text(yaml.safe_dump(crd), "utf-8")
    return older
