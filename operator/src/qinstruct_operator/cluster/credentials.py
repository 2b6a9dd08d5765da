"""The credentials of an API server, read again when they change on disk, expire or are refused.

Needs the files and plugins that the configuration names, and sends no request to the server. A
file is read again when its identity, size or time differs from what was read last: a kubelet, a
secret's mount and an editor all replace files.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from kubernetes.aio.client.api_client import ApiClient
from kubernetes.aio.client.configuration import Configuration

from qinstruct_trainer.contract.errors import ConfigError

_EARLY: Final = timedelta(minutes=5)  # how long before its end a token is renewed, at most
_SHARE: Final = 5  # and no earlier than in the last fifth of its time
_FORCED_SECONDS: Final = 5.0  # between two renewals of credentials that the server refuses


@dataclass(frozen=True)
class Loaded:
    """What was read at one moment.

    Attributes:
        configuration: of the library: the server, the token, paths of the certificates.
        namespace: that the source of the credentials names.
        files: everything that was read for it, and may be replaced.
        expires: when a credential plugin's token ends; None: it does not say.
    """

    configuration: Configuration
    namespace: str
    files: tuple[Path, ...]
    expires: datetime | None = None


Load = Callable[[], Awaitable[Loaded]]
"""Read the credentials from where they are; a `ConfigError` where that fails."""


class Credentials:
    """The credentials of one client, kept new."""

    def __init__(self, client: ApiClient, load: Load, loaded: Loaded) -> None:
        self._client = client
        self._load = load
        self._expires = loaded.expires
        self._renew_at = _renew_at(loaded.expires)
        self._stamps = _stamps(loaded.files)
        self._forced = float("-inf")
        self._one_at_a_time = asyncio.Lock()

    async def refresh(self) -> None:
        """Before a request: read again what was replaced or is about to end.

        Raises:
            ConfigError: it cannot be read.
        """
        if self._is_old():
            async with self._one_at_a_time:
                if self._is_old():
                    await self._read_in_time()

    async def _read_in_time(self) -> None:
        try:
            await self._read()
        except ConfigError:
            if self._expires is None or datetime.now(UTC) >= self._expires:
                raise
            # What there is still holds: tried again before the next request.

    async def renew(self) -> None:
        """After a 401: read everything again, and ask a plugin again whatever its token says.

        Not when that was done a few seconds ago: it did not help, or it has just been done for
        another request.

        Raises:
            ConfigError: it cannot be read.
        """
        async with self._one_at_a_time:
            if time.monotonic() - self._forced >= _FORCED_SECONDS:
                try:
                    await self._read()
                finally:
                    self._forced = time.monotonic()

    def _is_old(self) -> bool:
        if self._renew_at is not None and datetime.now(UTC) >= self._renew_at:
            return True
        return _stamps(tuple(self._stamps)) != self._stamps

    async def _read(self) -> None:
        live = self._client.configuration
        before = _stamps(tuple(self._stamps))  # a file may be replaced while it is read
        loaded = await self._load()
        read = loaded.configuration
        if read.host != live.host:
            # A token is for one server alone.
            raise ConfigError(
                f"the credentials are for {read.host} now, but were for {live.host};"
                " name the old server again, or start anew"
            )
        rest = self._client.rest_client
        try:
            if read.ssl_ca_cert:
                rest.ssl_context.load_verify_locations(cafile=read.ssl_ca_cert)
            if read.cert_file:
                rest.ssl_context.load_cert_chain(read.cert_file, keyfile=read.key_file)
        except (OSError, ValueError) as error:
            raise unusable_certificates(live.host, error) from error
        live.api_key = read.api_key
        stamps = _stamps(loaded.files)
        self._stamps = stamps | {file: was for file, was in before.items() if file in stamps}
        self._expires = loaded.expires
        self._renew_at = _renew_at(loaded.expires)
        if read.cert_file and rest.pool_manager:
            # What is open was opened with the old certificate, and would be used again.
            old, rest.pool_manager = rest.pool_manager, None
            await old.close()


def _renew_at(expires: datetime | None) -> datetime | None:
    """When a token that was just got is to be renewed: a little before its end."""
    if expires is None:
        return None
    return expires - min(_EARLY, (expires - datetime.now(UTC)) / _SHARE)


def unusable_certificates(host: str, error: Exception) -> ConfigError:
    """The error of a certificate or key that is none."""
    return ConfigError(
        f"the certificates for {host} cannot be used: {error}; mend the kubeconfig that names them"
    )


def _stamps(files: tuple[Path, ...]) -> dict[Path, tuple[int, int, int] | None]:
    """What differs when a file is replaced or written; None for one that is not there."""
    return {file: _stamp(file) for file in files}


def _stamp(file: Path) -> tuple[int, int, int] | None:
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns
