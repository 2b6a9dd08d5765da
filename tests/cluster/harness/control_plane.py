"""etcd, kube-apiserver, kube-controller-manager and kube-scheduler as processes of this machine."""

import base64
import json
import os
import secrets
import ssl
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cluster.harness import pki
from cluster.harness.processes import Processes, free_port, wait_until
from cluster.harness.programs import program

LOOPBACK: Final = "127.0.0.1"
NODE_NAME: Final = "real-0"
"""The only name that a real kubelet can have in a test cluster."""

_SERVICE_RANGE: Final = "10.96.0.0/16"
_SERVICE_NAMES: Final = ("kubernetes", "kubernetes.default", "kubernetes.default.svc")
_ISSUER: Final = "https://kubernetes.default.svc.cluster.local"
_IDENTITIES: Final = {
    "admin": "system:masters",
    "system:kube-controller-manager": "",
    "system:kube-scheduler": "",
    f"system:node:{NODE_NAME}": "system:nodes",
}
# Their own limits are for production: with them the start takes five seconds longer.
_FAST: Final = ("--kube-api-qps=300", "--kube-api-burst=600")
_AUDIT_POLICY: Final = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [{"level": "Metadata", "userGroups": ["system:serviceaccounts"]}, {"level": "None"}],
}


_CREDENTIAL_ID: Final = "authentication.kubernetes.io/credential-id"


class KubectlError(Exception):
    """kubectl ended with another code than 0; the text is what it said."""


@dataclass(frozen=True)
class ControlPlane:
    """A running control plane.

    Attributes:
        folder: everything it writes.
        url: of the API server.
        authority: signed the API server's certificate and may sign others.
        admin_kubeconfig: of a user who may do everything.
    """

    folder: Path
    processes: Processes
    url: str
    authority: pki.Pair
    tokens: dict[str, str]
    admin_kubeconfig: Path

    @property
    def ca(self) -> Path:
        """Certificate of the authority: what clients trust."""
        return self.authority.certificate

    def kubectl(self, *arguments: str | Path, stdin: str | None = None) -> str:
        """What kubectl prints as administrator; `-f -` reads `stdin`."""
        done = subprocess.run(
            [program("kubectl"), f"--kubeconfig={self.admin_kubeconfig}", *arguments],
            input=stdin,
            env=os.environ | {"KUBECACHEDIR": str(self.folder / "kubectl-cache")},
            capture_output=True,
            text=True,
        )
        if done.returncode != 0:
            raise KubectlError(f"kubectl {arguments[0]}: {done.stderr.strip()}")
        return done.stdout

    def apply(self, *manifests: dict[str, Any], files: tuple[Path, ...] = ()) -> None:
        """Apply files, then manifests, in this order, on the server's side."""
        listed = {"apiVersion": "v1", "kind": "List", "items": list(manifests)}
        sources = [f"--filename={file}" for file in files] + ["--filename=-"] * bool(manifests)
        self.kubectl("apply", "--server-side", *sources, stdin=json.dumps(listed))

    def token(self, namespace: str, service_account: str) -> str:
        """A token of a service account, as its pods would have it."""
        arguments = ("create", "token", service_account, f"--namespace={namespace}")
        return self.kubectl(*arguments, "--duration=24h").strip()

    def kubeconfig_for(self, token: str, server: str | None = None) -> Path:
        """A kubeconfig file with a token, for this API server or for a proxy before it."""
        path = self.folder / f"{secrets.token_hex(4)}.kubeconfig"
        cluster = {"server": server or self.url}
        if cluster["server"].startswith("https:"):
            cluster["certificate-authority"] = str(self.ca)
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "test", "cluster": cluster}],
            "users": [{"name": "test", "user": {"token": token}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
            "current-context": "test",
        }
        path.write_text(json.dumps(content), "utf-8")
        return path

    def audited(self, token: str) -> Iterator[dict[str, Any]]:
        """Every request made with one token of a service account, as audit events without bodies.

        By token and not by account: other tests have run operators as the same account.
        """
        credential = f"JTI={_token_id(token)}"
        for line in (self.folder / "audit.log").read_text("utf-8").splitlines():
            if credential not in line:  # most are others', and reading them all takes long
                continue
            event: dict[str, Any] = json.loads(line)
            if credential in event["user"].get("extra", {}).get(_CREDENTIAL_ID, ()):
                yield event

    def audit_requests(self, token: str) -> set[tuple[str, str, str]]:
        """Verb, group and resource (as `pods` or `pods/log`) of the requests with this token."""
        return {_request(event) for event in self.audited(token) if "objectRef" in event}


def start(
    processes: Processes, address: str = LOOPBACK, crds: tuple[Path, ...] = ()
) -> ControlPlane:
    """Start the four programs, on free ports.

    Args:
        processes: takes them; its folder takes their data.
        address: where the API server can be reached. Only a real node needs another one than
            loopback: its pods have a network of their own.
        crds: files. Of a kind that comes later the garbage collector learns within 30 seconds.
    """
    folder = processes.folder
    authority = pki.authority(folder / "pki", "kubernetes-ca")
    tokens = {name: secrets.token_hex(16) for name in _IDENTITIES}
    port = free_port()
    made = ControlPlane(
        folder=folder,
        processes=processes,
        url=f"https://{address}:{port}",
        authority=authority,
        tokens=tokens,
        admin_kubeconfig=folder / "admin.kubeconfig",
    )
    made.kubeconfig_for(tokens["admin"]).rename(made.admin_kubeconfig)
    _start_api_server(made, port, address, _start_etcd(processes))
    if crds:
        made.apply(files=crds)
        wait_until(lambda: _established(made), "the CRDs are established")
    _start_controllers(made)
    return made


def _token_id(token: str) -> str:
    """The `jti` claim of a JSON web token."""
    payload = token.split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return str(claims["jti"])


def _request(event: dict[str, Any]) -> tuple[str, str, str]:
    asked = event["objectRef"]
    subresource = asked.get("subresource")
    resource = asked.get("resource", "") + (f"/{subresource}" if subresource else "")
    return event["verb"], asked.get("apiGroup", ""), resource


def _start_etcd(processes: Processes) -> str:
    client, peer = (f"http://{LOOPBACK}:{free_port()}" for _ in range(2))
    command = (
        program("etcd"),
        "--name=test",
        f"--data-dir={processes.folder / 'etcd'}",
        "--unsafe-no-fsync",  # nothing of it must survive the machine
        "--log-level=warn",
        *(f"--listen-client-urls={client}", f"--advertise-client-urls={client}"),
        *(f"--listen-peer-urls={peer}", f"--initial-advertise-peer-urls={peer}"),
        f"--initial-cluster=test={peer}",
    )
    processes.start("etcd", command, ready=lambda: answers(f"{client}/health"))
    return client


def _start_api_server(made: ControlPlane, port: int, address: str, etcd: str) -> None:
    folder, certificates = made.folder, made.folder / "pki"
    names = [f"DNS:{name}" for name in ("localhost", *_SERVICE_NAMES)]
    addresses = [f"IP:{ip}" for ip in {LOOPBACK, address, "10.96.0.1"}]
    serving = pki.leaf(certificates, made.authority, "kube-apiserver", *names, *addresses)
    client = pki.leaf(certificates, made.authority, "kubelet-client", organization="system:masters")
    signing = pki.signing_key(certificates / "service-accounts.key")
    lines = [f'{made.tokens[name]},{name},{name},"{group}"' for name, group in _IDENTITIES.items()]
    (folder / "tokens.csv").write_text("\n".join(lines) + "\n", "utf-8")
    (folder / "audit-policy.json").write_text(json.dumps(_AUDIT_POLICY), "utf-8")
    command = (
        program("kube-apiserver"),
        f"--etcd-servers={etcd}",
        f"--bind-address={LOOPBACK if address == LOOPBACK else '0.0.0.0'}",
        f"--secure-port={port}",
        # Nobody dials the `kubernetes` service; without this the server refuses to be on loopback.
        *(f"--advertise-address={address}", "--endpoint-reconciler-type=none"),
        f"--service-cluster-ip-range={_SERVICE_RANGE}",
        *("--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction"),
        f"--token-auth-file={folder / 'tokens.csv'}",
        f"--client-ca-file={made.ca}",
        *(f"--tls-cert-file={serving.certificate}", f"--tls-private-key-file={serving.key}"),
        f"--service-account-issuer={_ISSUER}",
        f"--service-account-signing-key-file={signing}",
        f"--service-account-key-file={signing}",
        f"--kubelet-certificate-authority={made.ca}",
        f"--kubelet-client-certificate={client.certificate}",
        f"--kubelet-client-key={client.key}",
        "--kubelet-preferred-address-types=InternalIP",
        f"--audit-policy-file={folder / 'audit-policy.json'}",
        f"--audit-log-path={folder / 'audit.log'}",
        *("--allow-privileged=true", "--profiling=false"),
    )
    made.processes.start(
        "kube-apiserver", command, ready=lambda: answers(f"{made.url}/readyz", made.ca)
    )


def _established(made: ControlPlane) -> bool:
    """Whether all CRDs are served; `kubectl wait` fails on one that has no conditions yet."""
    crds = json.loads(made.kubectl("get", "crd", "--output=json"))["items"]
    conditions = [crd["status"].get("conditions") or () for crd in crds]
    return all(
        any(one["type"] == "Established" and one["status"] == "True" for one in of_one)
        for of_one in conditions
    )


def _start_controllers(made: ControlPlane) -> None:
    account = f"{made.url}/api/v1/namespaces/default/serviceaccounts/default"
    admin = made.tokens["admin"]
    manager = ("--use-service-account-credentials=true", f"--root-ca-file={made.ca}")
    _start_controller(
        made, "kube-controller-manager", manager, lambda _: answers(account, made.ca, admin)
    )
    _start_controller(
        made,
        "kube-scheduler",
        ("--authentication-skip-lookup=true",),
        lambda port: answers(f"https://{LOOPBACK}:{port}/healthz", made.ca),
    )
    made.processes.wait("kube-controller-manager")
    made.processes.wait("kube-scheduler")


def _start_controller(
    made: ControlPlane, name: str, options: tuple[str, ...], ready: Callable[[int], bool]
) -> None:
    port = free_port()
    serving = pki.leaf(made.folder / "pki", made.authority, name, f"IP:{LOOPBACK}")
    command: tuple[str | Path, ...] = (
        program(name),
        f"--kubeconfig={made.kubeconfig_for(made.tokens[f'system:{name}'])}",
        "--leader-elect=false",
        *(f"--bind-address={LOOPBACK}", f"--secure-port={port}"),
        *(f"--tls-cert-file={serving.certificate}", f"--tls-private-key-file={serving.key}"),
        *("--profiling=false", *_FAST, *options),
    )
    made.processes.start(name, command, ready=lambda: ready(port), wait=False)


def answers(url: str, authority: Path | None = None, token: str | None = None) -> bool:
    """Whether a GET of the URL is answered with a 2xx code."""
    context = ssl.create_default_context(cafile=authority) if authority else None
    request = urllib.request.Request(url)
    if token:
        request.add_header("Authorization", f"Bearer {token}")
    try:
        with urllib.request.urlopen(request, timeout=5, context=context):
            return True
    except (urllib.error.URLError, OSError):
        return False
