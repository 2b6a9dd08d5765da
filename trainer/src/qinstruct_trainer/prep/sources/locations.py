"""What is asked for a source's address: a hub's file with the token, an object as it is signed.

A location may hold a secret: it is sent, and never shown, logged or stored. All of those take the
source's own address (`contract.urls`).
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import httpx

from qinstruct_trainer.contract.errors import ConfigError
from qinstruct_trainer.contract.field_paths import source_field
from qinstruct_trainer.contract.hub_files import FORM, SCHEME, parse_hub_url
from qinstruct_trainer.contract.object_urls import OBJECT_FORM, OBJECT_SCHEMES, parse_object_url
from qinstruct_trainer.contract.urls import shown_url
from qinstruct_trainer.environment import HUB_TOKENS, check_hub_settings
from qinstruct_trainer.prep.sources.object_stores import object_address, way_to_keys

HUB: Final = "https://huggingface.co"
SCHEMES: Final = ("http", "https", "hf", *OBJECT_SCHEMES)
"""Of the addresses that are asked for over a network."""

REFUSALS: Final = (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN)
"""Answers to a token that may not read, and to none."""
TOKEN_WAY: Final = (
    "give a token of an account that may read it by data.tokenSecretRef (with `qinstruct run`: "
    "HF_TOKEN in the environment)"
)
"""What to do where the hub wants an account."""


@dataclass(frozen=True)
class Location:
    """Where a file is asked for.

    Attributes:
        url: http(s).
        headers: For the host of the URL alone. httpx takes `Authorization` off where a redirect
            leads to another one.
        if_refused: What to do about an answer of `refusals`.
        refusals: Statuses of answers that want other keys.
        is_object: Whether it is an object of a store.
    """

    url: str = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    if_refused: str | None = None
    refusals: tuple[int, ...] = REFUSALS
    is_object: bool = False

    def request(self, client: httpx.Client, headers: Mapping[str, str]) -> httpx.Request:
        """The request for the file, with more headers."""
        sent = {**headers, **self.headers}
        # Stores need not know If-Range, and would send the rest of another version. They all know
        # If-Match, and answer 412 where the object has changed.
        if self.is_object and sent.get("If-Range", "").startswith('"'):
            sent["If-Match"] = sent.pop("If-Range")
        return client.build_request("GET", self.url, headers=sent)

    def way_out(self, status: int) -> str:
        """What else to do about a status, as the end of a sentence; "" where nothing is known."""
        return f", or {self.if_refused}" if self.if_refused and status in self.refusals else ""


def location_of(name: str, url: str, env: Mapping[str, str] = os.environ) -> Location:
    """Where the file of an address is.

    The files of the hub are asked for at HF_ENDPOINT, if that is set, also those of the public
    hub's own addresses, and with the token of HF_TOKEN.

    Args:
        name: Of the source, for messages.
        url: Its address, of one of `SCHEMES`.
        env: Endpoints, token and keys.

    Raises:
        ConfigError: it is no address of a file, or the environment has no endpoint, token or key
            of the right form.
    """
    if url.partition(":")[0] in OBJECT_SCHEMES:
        return _object_location(name, url, env)
    path = _hub_path(name, url)
    endpoint = (env.get("HF_ENDPOINT") or HUB).rstrip("/")
    if path is None:
        if not url.startswith(f"{endpoint}/"):
            return Location(url)
        path = url.removeprefix(endpoint)
    check_hub_settings(env)
    asked = f"{endpoint}{path}"
    token = next((env[key].strip() for key in HUB_TOKENS if env.get(key, "").strip()), None)
    if token is None:
        return Location(asked, if_refused=f"if it is private or gated, {TOKEN_WAY}")
    # The hub answers 401 to a token that it does not know, also for what is public.
    return Location(
        asked, {"Authorization": f"Bearer {token}"}, f"{TOKEN_WAY}, not the present one"
    )


def _object_location(name: str, url: str, env: Mapping[str, str]) -> Location:
    found = parse_object_url(url)
    if found is None:
        raise ConfigError(
            f"{source_field(name)}.url {shown_url(url)} names no object; write {OBJECT_FORM}"
        )
    # S3 answers 301 or 400 to a signature for another region, and 400 where a session has ended.
    refusals = (*REFUSALS, httpx.codes.MOVED_PERMANENTLY, httpx.codes.BAD_REQUEST)
    address = object_address(found, env)
    hint = way_to_keys(found.scheme)
    return Location(address, if_refused=hint, refusals=refusals, is_object=True)


def _hub_path(name: str, url: str) -> str | None:
    """The path below a hub's endpoint; None where it is no address of the public hub."""
    if url.startswith(SCHEME):
        file = parse_hub_url(url)
        if file is None:
            raise ConfigError(
                f"{source_field(name)}.url {shown_url(url)} names no file of the hub; write {FORM}"
            )
        return file.address
    return url.removeprefix(HUB) if url.startswith(f"{HUB}/") else None
