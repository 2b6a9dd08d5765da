"""Find the API server and the credentials: a pod's service account, or a kubeconfig.

Needs the cluster's configuration, but sends no request. An error here is a `ConfigError`, not a
`ClusterError`: no retry helps, and every command ends with its sentence and exit code.
"""

import logging
import os
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

import aiohttp
import yaml
from kubernetes.aio.client.api_client import ApiClient
from kubernetes.aio.client.configuration import Configuration
from kubernetes.aio.config import ConfigException
from kubernetes.aio.config.kube_config import KubeConfigLoader, KubeConfigMerger

from qinstruct_operator.cluster.credentials import (
    Credentials,
    Load,
    Loaded,
    unusable_certificates,
)
from qinstruct_operator.cluster.http_proxy import proxy_of
from qinstruct_operator.cluster.kube import KubeCluster
from qinstruct_operator.cluster.refusals import sentence
from qinstruct_operator.constants import FIELD_MANAGER, VERSION
from qinstruct_trainer.contract.errors import ConfigError
from qinstruct_trainer.contract.urls import shown_url

# What the library and the modules below it raise, the last four on YAML of another shape.
_UNUSABLE: Final = (
    ConfigException,
    yaml.YAMLError,
    OSError,
    aiohttp.ClientError,
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
)

SERVICE_ACCOUNT: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_BEARER: Final = "BearerToken"


@asynccontextmanager
async def connect(
    *,
    kubeconfig: str | None = None,
    context: str | None = None,
    env: Mapping[str, str] = os.environ,
    timeout: float = 30.0,
    field_manager: str = FIELD_MANAGER,
    service_account: Path = SERVICE_ACCOUNT,
) -> AsyncIterator[KubeCluster]:
    """The cluster that kubectl would talk to from here.

    `kubeconfig`, `context` or `$KUBECONFIG` come first; without them it is the cluster of this pod,
    and outside of a pod that of `~/.kube/config`.

    Args:
        kubeconfig: path of a kubeconfig, or several joined by `:` as in `$KUBECONFIG`.
        context: name of a context of it; None: its current one.
        env: environment variables.
        timeout: seconds that a request may take.
        field_manager: of the objects that are written.
        service_account: folder with `token`, `ca.crt` and `namespace` of a pod.

    Raises:
        ConfigError: no cluster is named here, or the way to it is broken.
    """
    files = kubeconfig or env.get("KUBECONFIG")
    if env.get("KUBERNETES_SERVICE_HOST") and not files and not context:
        load = _pod(env, service_account)
    else:
        files = files or str(Path(env.get("HOME") or Path.home()) / ".kube" / "config")
        load = _kubeconfig(files, context)
    loaded = await load()
    configuration = loaded.configuration
    _set_proxy(configuration, env)
    # As strict about certificates as kubectl: the authorities of many clusters lack the
    # extensions that newer Python asks for.
    configuration.disable_strict_ssl_verification = True
    try:
        client = ApiClient(configuration)
    except (OSError, ValueError) as error:  # a certificate or key that is none
        raise unusable_certificates(configuration.host, error) from error
    client.user_agent = f"qinstruct/{VERSION}"
    try:
        yield KubeCluster(
            client,
            credentials=Credentials(client, load, loaded),
            namespace=loaded.namespace,
            timeout=timeout,
            field_manager=field_manager,
        )
    finally:
        await client.rest_client.close()


def _pod(env: Mapping[str, str], folder: Path) -> Load:
    """Read a pod's service account: the kubelet replaces the token before it expires."""
    host = env["KUBERNETES_SERVICE_HOST"]
    host = f"[{host}]" if ":" in host else host
    port = env.get("KUBERNETES_SERVICE_PORT") or "443"
    token, authority = folder / "token", folder / "ca.crt"

    async def load() -> Loaded:
        configuration = Configuration(host=f"https://{host}:{port}", ssl_ca_cert=str(authority))
        try:
            configuration.api_key[_BEARER] = f"Bearer {token.read_text().strip()}"
            authority.read_bytes()
            namespace = (folder / "namespace").read_text().strip()
        except OSError as error:
            raise ConfigError(
                f"{error.filename} cannot be read ({error.strerror}), but KUBERNETES_SERVICE_HOST"
                " says that this is a pod; mount its service account, or set KUBECONFIG"
            ) from error
        return Loaded(configuration, namespace, (token, authority))

    return load


def _kubeconfig(files: str, context: str | None) -> Load:
    """Read a kubeconfig, always the same context of it: `use-context` is for other commands."""
    named = context

    async def load() -> Loaded:
        nonlocal named
        if not any(path.is_file() for path in _paths(files)):
            raise ConfigError(
                f"kubeconfig {files} does not exist; set KUBECONFIG to the file that kubectl uses"
            )
        configuration = Configuration()
        try:
            named = named or _current_context(files)
            loader = _loader(files, named)
            with _plugin_errors() as plugin_errors:
                await loader.load_and_set(configuration)  # type: ignore[no-untyped-call]  # see _loader
            namespace = loader.current_context["context"].get("namespace")
            server = str(getattr(loader, "host", ""))  # Configuration's own default is localhost
        except _UNUSABLE as error:
            reason = sentence(
                f"kubeconfig {files} cannot be used", str(error) or type(error).__name__
            )
            raise ConfigError(f"{reason}; does kubectl work with it?") from error
        if plugin_errors:
            reason = sentence(f"kubeconfig {files}: its credential plugin fails", plugin_errors[0])
            raise ConfigError(f"{reason}; does kubectl work with it?")
        if urlsplit(server).scheme not in ("http", "https"):
            raise ConfigError(
                f"kubeconfig {files}: server {server!r} is not a URL; write https://HOST:PORT"
            )
        read = (*_paths(files), *_named_files(loader, configuration))
        expires = getattr(loader, "exec_plugin_expiry", None)
        return Loaded(configuration, str(namespace or "default"), read, expires)

    return load


def _paths(files: str) -> tuple[Path, ...]:
    return tuple(Path(path).expanduser() for path in files.split(os.pathsep) if path)


def _named_files(loader: KubeConfigLoader, configuration: Configuration) -> tuple[Path, ...]:
    """The token and the certificates that a kubeconfig names by path."""
    user = loader._user
    named = [user.safe_get("tokenFile") if user else None]
    named += [configuration.cert_file, configuration.key_file, configuration.ssl_ca_cert]
    return tuple(Path(path) for path in named if path)


def _current_context(files: str) -> str:
    # Of several files the first that names one decides, as for kubectl; the library takes the
    # last, which may be another cluster.
    merged = KubeConfigMerger(files)  # type: ignore[no-untyped-call]  # see _loader
    named = (one.get("current-context") for one in merged.config_files.values() if one)
    context = next(filter(None, named), None)
    if context is None:
        raise ConfigException("no context is current; choose one")
    return str(context)


def _loader(files: str, context: str) -> KubeConfigLoader:
    # The library's config modules have no annotations; hence the ignores here.
    merged = KubeConfigMerger(files)  # type: ignore[no-untyped-call]
    return KubeConfigLoader(merged.config, active_context=context, config_base_path=None)  # type: ignore[no-untyped-call]


@contextmanager
def _plugin_errors() -> Iterator[list[str]]:
    """What the library logs of a failing credential plugin, after which it goes on without."""
    messages: list[str] = []
    handler = logging.Handler(logging.ERROR)
    handler.emit = lambda record: messages.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger(KubeConfigLoader.__module__)
    logger.addHandler(handler)
    try:
        yield messages
    finally:
        logger.removeHandler(handler)


def _set_proxy(configuration: Configuration, env: Mapping[str, str]) -> None:
    proxy = configuration.proxy or proxy_of(configuration.host, env)
    # Not by the HTTP library: it reads the environment by other rules, and would send the password
    # for the host in a .netrc instead of the token.
    configuration.client_session_kwargs = {"trust_env": False}
    configuration.proxy = proxy
    if proxy is None:
        return
    try:
        url = urlsplit(proxy)
        is_address = bool(url.hostname) and url.port != 0  # the port, if it is none, raises
    except ValueError:
        is_address = False
    if not is_address:
        raise ConfigError(
            f"the proxy for {configuration.host} is {shown_url(proxy)!r:.200}, which is no address;"
            " write HTTPS_PROXY, or proxy-url in the kubeconfig, as http://HOST:PORT"
        )
    if url.scheme not in ("http", "https"):
        raise ConfigError(
            f"the proxy for {configuration.host} speaks {url.scheme}, which is not supported;"
            " name an http:// one, or add the server to NO_PROXY"
        )
    if url.username:
        login = aiohttp.encode_basic_auth(unquote(url.username), unquote(url.password or ""))
        configuration.proxy_headers = {"Proxy-Authorization": login}
        # Errors quote the URL.
        configuration.proxy = url._replace(netloc=url.netloc.rpartition("@")[2]).geturl()
