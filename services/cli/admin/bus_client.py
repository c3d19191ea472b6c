"""The operator's connection to a running system; whatever goes wrong is told in one sentence."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypeVar

import click
import nats.errors
from prometheus_client import CollectorRegistry

from services.cli.installation import Installation
from shared.bus.client import Bus
from shared.contract.errors import RequestError
from shared.contract.subjects import Route

Q = TypeVar("Q")
R = TypeVar("R")

USER = "admin"
_CONNECT_SECONDS = 5.0
_REQUEST_SECONDS = 8.0


class AdminClient:
    """What is asked is idempotent, and repeated when no answer comes."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def request(self, route: Route[Q, R], request: Q) -> R:
        """Raises Refused."""
        return await self._bus.request(route, request, seconds=_REQUEST_SECONDS, retry=True)


@asynccontextmanager
async def connected_client(installation: Installation) -> AsyncIterator[AdminClient]:
    """Raises click.ClickException."""
    bus = Bus(installation.broker(USER), USER, CollectorRegistry())
    try:
        await _connect(bus)
        yield AdminClient(bus)
    except RequestError as refusal:
        raise click.ClickException(refusal.failure.text) from refusal
    finally:
        await bus.stop()


async def _connect(bus: Bus) -> None:
    try:
        async with asyncio.timeout(_CONNECT_SECONDS):
            await bus.start()
    except TimeoutError as error:
        raise click.ClickException("the broker does not answer: is the system running?") from error
    except nats.errors.Error as error:
        raise click.ClickException(f"the broker refuses: {error}") from error
