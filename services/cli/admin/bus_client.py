"""The operator's connection to a running system. Each failure becomes an error message of one sentence."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypeVar

import click
import nats.errors
from prometheus_client import CollectorRegistry

from local.installation import Installation
from shared.bus.client import Bus
from shared.contract.admin import RecordAct
from shared.contract.errors import RequestError
from shared.contract.ids import NO_ACCOUNT, AccountId
from shared.contract.routes import Route
from shared.request_nonce import new_nonce
from shared.settings import NatsSettings

Q = TypeVar("Q")
R = TypeVar("R")

USER = "admin"
_CONNECT_SECONDS = 5.0
_REQUEST_SECONDS = 8.0


class AdminClient:
    """Sends requests over the bus, and repeats them, with one nonce, when no reply arrives."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def request(self, route: Route[Q, R], request: Q) -> R:
        """Raises RequestError."""
        return await self._bus.request(route, request, seconds=_REQUEST_SECONDS, retry=True, nonce=new_nonce())

    async def record(self, act: str, account: AccountId = NO_ACCOUNT, detail: str = "") -> None:
        """In the audit trail, before an act that auth does not carry out itself. Raises RequestError."""
        await self.request(RecordAct.route, RecordAct(act, account, detail))

    async def request_all(self, route: Route[Q, R], request: Q) -> list[R]:
        """The replies of all processes that serve the route, as far as they come. Raises nats.errors.Error."""
        return await self._bus.request_all(route, request)


@asynccontextmanager
async def connected_client(installation: Installation) -> AsyncIterator[AdminClient]:
    """Raises click.ClickException."""
    async with connected_to(installation.broker(USER)) as client:
        yield client


@asynccontextmanager
async def connected_to(broker: NatsSettings, user: str = USER) -> AsyncIterator[AdminClient]:
    """`broker`: the settings of this user. Raises click.ClickException."""
    bus = Bus(broker, user, CollectorRegistry())
    try:
        await _connect(bus)
        yield AdminClient(bus)
    except RequestError as error:
        raise click.ClickException(error.failure.text) from error
    finally:
        await bus.stop()


async def _connect(bus: Bus) -> None:
    try:
        async with asyncio.timeout(_CONNECT_SECONDS):
            await bus.start()
    except TimeoutError as error:
        raise click.ClickException("the broker does not answer: is the system running?") from error
    except nats.errors.Error as error:
        raise click.ClickException(f"the broker rejects the connection: {error}") from error
