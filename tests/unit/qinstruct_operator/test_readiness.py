"""What the readiness endpoint answers, over a real connection."""

import asyncio
import socket

import aiohttp
import pytest

from qinstruct_operator.readiness import serve_readiness
from qinstruct_trainer.contract.errors import ConfigError


def free_address() -> str:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"127.0.0.1:{server.getsockname()[1]}"


async def ask(address: str) -> tuple[int, object]:
    async with aiohttp.ClientSession() as session, session.get(f"http://{address}/readyz") as reply:
        return reply.status, await reply.json()


def test_it_says_why_the_operator_is_not_ready_and_that_it_is_again() -> None:
    async def trial() -> list[tuple[int, object]]:
        address, reasons = free_address(), ["write the status of QInstructTraining a/b: forbidden"]
        async with serve_readiness(address, lambda: reasons):
            first = await ask(address)
            said = list(reasons)
            reasons.clear()
            assert first == (503, {"notReady": said})
            return [await ask(address)]

    assert asyncio.run(trial()) == [(200, {"notReady": []})]


def test_without_an_address_nothing_is_served() -> None:
    async def trial() -> None:
        async with serve_readiness("", lambda: ["never asked"]):
            pass

    asyncio.run(trial())


@pytest.mark.parametrize("address", ["8081", "127.0.0.1:x", "127.0.0.1:99999", "no.such.host:80"])
def test_an_address_that_is_none_is_a_sentence(address: str) -> None:
    async def trial() -> None:
        async with serve_readiness(address, list):
            pass

    with pytest.raises(ConfigError, match=r"QINSTRUCT_READY_ADDRESS .*HOST:PORT"):
        asyncio.run(trial())
