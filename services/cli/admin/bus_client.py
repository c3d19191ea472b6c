"""The operator's connection to a running system. A failure is reported to the operator as one sentence."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypeVar

import nats.errors
from prometheus_client import CollectorRegistry

from local.installation import Installation
from local.options import CommandFailed
from local.settings_table import show
from shared.bus.client import Bus
from shared.contract.admin import RecordAct
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.ids import NO_ACCOUNT, AccountId
from shared.contract.routes import HasRoute, Route
from shared.request_nonce import new_nonce
from shared.settings.servers import NatsSettings

Q = TypeVar("Q")
R = TypeVar("R")

USER = "admin"
DOCTOR = "`dragoman doctor` shows which part of the system does not answer, and why"
_ADVICE = {
    ErrorCode.NOT_FOUND: "Find the right name by this command's `list` or `find`",
    ErrorCode.UNAVAILABLE: DOCTOR,
    ErrorCode.FORBIDDEN: "Renew the permissions of the NATS user `admin` (`dragoman secrets`)",
    ErrorCode.RATE_LIMITED: "Repeat it in a minute",
}
_CONNECT_SECONDS = 5.0
_REQUEST_SECONDS = 8.0


class AdminClient:
    """Sends requests over NATS. If no reply arrives, a request is repeated with the same nonce."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def send(self, request: HasRoute[R]) -> R:
        """Raises RequestError."""
        return await self._bus.send(request, seconds=_REQUEST_SECONDS, retry=True, nonce=new_nonce())

    async def request(self, route: Route[Q, R], request: Q) -> R:
        """Like `send`, but on the given route instead of the request type's route. Raises RequestError."""
        return await self._bus.request(route, request, seconds=_REQUEST_SECONDS, retry=True, nonce=new_nonce())

    async def record(self, act: str, account: AccountId = NO_ACCOUNT, detail: str = "") -> None:
        """Write an act into the audit trail before the act begins. This is used for acts that the auth service does not
        carry out itself. Raises RequestError."""
        await self.send(RecordAct(act, account, detail))

    async def request_all(self, route: Route[Q, R], request: Q) -> list[R]:
        """The replies that arrive in time from all processes of the route. Raises nats.errors.Error."""
        return await self._bus.request_all(route, request)


@asynccontextmanager
async def connected_client(installation: Installation) -> AsyncIterator[AdminClient]:
    """A connection as the operator's NATS user. Raises CommandFailed, OperatorError."""
    async with connected_to(installation.broker(USER)) as client:
        yield client


@asynccontextmanager
async def connected_to(broker: NatsSettings, user: str = USER) -> AsyncIterator[AdminClient]:
    """A connection with these NATS settings, which have the name and password of a NATS user. Raises CommandFailed."""
    bus = Bus(broker, user, CollectorRegistry())
    try:
        await _connect(bus, broker)
        yield AdminClient(bus)
    except RequestError as error:
        raise CommandFailed(error.failure.text, advice(error)) from error
    finally:
        await bus.stop()


async def _connect(bus: Bus, broker: NatsSettings) -> None:
    try:
        async with asyncio.timeout(_CONNECT_SECONDS):
            await bus.start()
    except TimeoutError as error:
        raise no_answer(broker) from error
    except nats.errors.Error as error:
        raise no_answer(broker, str(error)) from error


def no_answer(broker: NatsSettings, reason: str = "") -> CommandFailed:
    """The error if NATS does not answer, or rejects the connection. `reason`: the reason of a rejection."""
    if reason:
        return CommandFailed(
            f"NATS at {show(broker.url)} rejects the connection: {reason}", "Correct nats.user and nats.password"
        )
    return CommandFailed(
        f"NATS at {show(broker.url)} does not answer", "Start the system, or correct --data or nats.url"
    )


def advice(error: RequestError) -> str:
    """The remedy for an error reply."""
    return _ADVICE.get(error.failure.code, "Correct the command: --help explains it")
