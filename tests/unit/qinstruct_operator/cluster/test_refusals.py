"""Answers that are no success, and missing ones, as errors with a sentence."""

import json
import ssl
from typing import Any

import aiohttp
import pytest
from aiohttp.client_reqrep import ConnectionKey

from qinstruct_operator.cluster.errors import (
    AlreadyExists,
    ClusterError,
    Conflict,
    Forbidden,
    NotFound,
    Refused,
    UnknownKind,
)
from qinstruct_operator.cluster.refusals import refusal, sentence, unreachable

TRIED = "apply ConfigMap team/notes"
SERVER = "https://cluster.example"


def refused(status: int, message: str, **more: Any) -> ClusterError:
    """The error of a `Status` object as an API server answers it."""
    headers = more.pop("headers", {})
    body = {"kind": "Status", "status": "Failure", "message": message, "code": status, **more}
    return refusal(TRIED, status, headers, json.dumps(body).encode())


@pytest.mark.parametrize(
    ("status", "message", "error"),
    [
        (400, "bad", Refused),
        (401, "Unauthorized", ClusterError),
        (403, 'configmaps is forbidden: User "x" cannot patch', Forbidden),
        (403, 'admission webhook "a.example" denied the request: no', Refused),
        (409, "the object has been modified", Conflict),
        (409, 'admission webhook "a.example" denied the request: no', Refused),
        (413, "Request entity too large: limit is 3145728", Refused),
        (422, "data: Invalid value", Refused),
        (429, "too many requests", ClusterError),
        (500, "etcdserver: leader changed", ClusterError),
        (503, "apiserver is shutting down", ClusterError),
    ],
)
def test_a_refusal_has_its_own_class(status: int, message: str, error: type[ClusterError]) -> None:
    caught = refused(status, message)
    assert type(caught) is error
    assert (caught.status, str(caught)) == (status, f"apply ConfigMap team/notes: {message}")


def test_an_object_that_exists_differs_from_other_conflicts() -> None:
    assert type(refused(409, 'jobs "x" already exists', reason="AlreadyExists")) is AlreadyExists
    assert type(refused(409, "quota was changed", reason="Conflict")) is Conflict


def test_the_server_says_when_to_come_back() -> None:
    assert refused(429, "wait", headers={"Retry-After": "7"}).retry_after == 7
    assert refused(429, "wait", details={"retryAfterSeconds": 3}).retry_after == 3
    dated = {"Retry-After": "Mon, 02 Jan 2023 03:04:05 GMT"}
    assert refused(503, "wait", headers=dated).retry_after is None
    assert refused(500, "wait").retry_after is None


@pytest.mark.parametrize("body", [b"<html>not here</html>", b"", b"no such route"])
def test_a_proxy_that_finds_nothing_says_nothing_of_the_object(body: bytes) -> None:
    caught = refusal(TRIED, 404, {}, body)
    assert type(caught) is ClusterError
    assert caught.status == 404


@pytest.mark.parametrize(
    "details",
    [
        {"name": "x", "kind": "jobs", "group": "batch"},
        {"name": "team", "kind": "namespaces"},
        {"name": "x-1", "group": "kubeflow.org", "kind": "pytorchjobs", "uid": "1"},
    ],
)
def test_only_a_server_that_names_the_object_says_that_it_is_absent(
    details: dict[str, str],
) -> None:
    caught = refused(404, "it is not found", reason="NotFound", details=details)
    assert type(caught) is NotFound
    assert (caught.status, str(caught)) == (404, f"{TRIED}: it is not found")


UNKNOWN_KINDS = {
    "page": b"404 page not found",
    "page with a line's end": b"404 page not found\n",
    "no details": b'{"kind": "Status", "reason": "NotFound", "message": "no such resource"}',
    "empty details": b'{"kind": "Status", "reason": "NotFound", "details": {}}',
    "details that name no object": (
        b'{"kind": "Status", "reason": "NotFound", "details": {"kind": "jobs"}}'
    ),
    "details of no kind": b'{"kind": "Status", "reason": "NotFound", "details": {"name": "x"}}',
    "details that are none": b'{"kind": "Status", "reason": "NotFound", "details": "x"}',
    "no reason": b'{"kind": "Status", "details": {"name": "x", "kind": "jobs"}}',
}


@pytest.mark.parametrize("body", UNKNOWN_KINDS.values(), ids=UNKNOWN_KINDS)
def test_an_unknown_kind_is_explained_and_no_absent_object(body: bytes) -> None:
    caught = refusal(TRIED, 404, {}, body)
    assert type(caught) is UnknownKind
    assert "is its CustomResourceDefinition installed?" in str(caught)
    assert ("no such resource" in str(caught)) == (b"no such" in body)


def test_a_webhook_that_answers_404_refuses_the_object() -> None:
    message = 'admission webhook "a.example" denied the request: no such queue'
    assert type(refused(404, message, reason="NotFound")) is Refused


def test_a_gateway_that_speaks_html_is_quoted() -> None:
    caught = refusal(TRIED, 502, {}, b"<html>\n<b>502</b> Bad Gateway</html>")
    assert caught.status == 502
    assert str(caught) == f"{TRIED}: HTTP 502 <html> <b>502</b> Bad Gateway</html>"


@pytest.mark.parametrize("body", [b"", b"[]", b"\xff", b'{"kind": "Pod", "message": "no"}'])
def test_a_body_that_is_no_status_is_quoted_as_it_is(body: bytes) -> None:
    caught = refusal(TRIED, 500, {}, body)
    assert str(caught).startswith(f"{TRIED}: HTTP 500")
    assert str(caught).isprintable()


def test_a_message_is_one_bounded_printable_line() -> None:
    message = f"\x1b[31mred\n\u202espec{'x' * 10_000}: field is immutable"
    said = sentence(TRIED, message)
    assert said == str(refused(422, message))
    assert said.isprintable()
    assert len(said) < 500
    assert said.endswith("xxx: field is immutable")


KEY = ConnectionKey("cluster.example", 443, True, True, None, None, None)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (TimeoutError(), "no answer within 30 s"),
        (OSError("token file is gone"), "token file is gone"),
        (aiohttp.ServerDisconnectedError(), "Server disconnected"),
        (
            aiohttp.ClientPayloadError("Response payload is not completed"),
            "the connection was lost in the middle of the answer",
        ),
        (aiohttp.ClientConnectorError(KEY, OSError("Connection refused")), "Connection refused"),
        (
            aiohttp.ClientConnectorCertificateError(KEY, ssl.CertificateError(1, "expired")),
            "expired",
        ),
        (ConnectionResetError(), "ConnectionResetError"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_a_server_without_answer_is_named_with_the_cause(error: Exception, reason: str) -> None:
    caught = unreachable(TRIED, SERVER, error, 30.0)
    assert type(caught) is ClusterError
    assert str(caught) == f"{TRIED}: no answer from {SERVER}: {reason}"
    assert (caught.status, caught.retry_after) == (None, None)
