"""The readiness endpoint: whether the operator can do its work, and why not. Needs a port.

It is apart from kopf's liveness endpoint: no restart gives a missing right back.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Final

from aiohttp import web

from qinstruct_trainer.contract.errors import ConfigError

PATH: Final = "/readyz"


@asynccontextmanager
async def serve_readiness(
    address: str, why_not: Callable[[], Sequence[str]]
) -> AsyncIterator[None]:
    """Answer GET `/readyz` with 200, or with 503 and the sentences that say why.

    Args:
        address: `HOST:PORT` to listen on; empty: nothing is served.
        why_not: the reasons at this moment.

    Raises:
        ConfigError: the address is not one, or cannot be listened on.
    """
    if not address:
        yield
        return

    async def answer(_: web.Request) -> web.Response:
        reasons = list(why_not())
        return web.json_response({"notReady": reasons}, status=503 if reasons else 200)

    app = web.Application()
    app.router.add_get(PATH, answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await _listen(runner, address)
        yield
    finally:
        await runner.cleanup()


async def _listen(runner: web.AppRunner, address: str) -> None:
    host, _, port = address.rpartition(":")
    try:
        number = int(port if host else "")
        await web.TCPSite(runner, host, number).start()
    except (OSError, OverflowError, ValueError) as error:
        raise ConfigError(
            f"QINSTRUCT_READY_ADDRESS {address!r} cannot be listened on ({error}); "
            "use HOST:PORT, e.g. 0.0.0.0:8081"
        ) from error
