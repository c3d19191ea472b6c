"""Compares a service's database with those of the other services. So no number of an account or chat is assigned twice
after a database was lost or was restored from an older backup."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from shared.bus.client import Bus
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.installation import DatabaseState, DescribeDatabase
from shared.contract.subjects import DESCRIBE_AUTH_DATABASE, DESCRIBE_MESSAGE_DATABASE, DESCRIBE_SESSION_DATABASE
from shared.installation import require_together
from shared.tasks import growing_pauses, is_set_within
from shared.telemetry import log

Q = TypeVar("Q")
R = TypeVar("R")

_log = log(__name__)

_ROUTES = {"auth": DESCRIBE_AUTH_DATABASE, "session": DESCRIBE_SESSION_DATABASE, "message": DESCRIBE_MESSAGE_DATABASE}
_REQUEST_SECONDS = 1.0
_RETRY_SECONDS = 0.2
_LONGEST_RETRY_SECONDS = 5.0
_INTERVAL_SECONDS = 60.0
_GATE_SECONDS = 5.0


_HOLDERS = {"auth": "session", "session": "message"}
"""For each service that assigns numbers, the service that knows which of them are in use."""


class Neighbours:
    """Compares this service's database with the others. `read_own` reads the state of its own database."""

    def __init__(self, bus: Bus, service: str, read_own: Callable[[], Awaitable[DatabaseState]]) -> None:
        self._bus = bus
        self._service = service
        self._read_own = read_own
        self._others = sorted(set(_ROUTES) - {service})
        self._holder = _HOLDERS.get(service)
        self._may_give = asyncio.Event()
        """Set when numbers may be assigned, after the database of the service in `_HOLDERS` was compared."""
        bus.serve(_ROUTES[service], self._describe, queue=service)

    async def _describe(self, _request: DescribeDatabase) -> DatabaseState:
        return await self._read_own()

    def gated(self, handler: Callable[[Q], Awaitable[R]]) -> Callable[[Q], Awaitable[R]]:
        """Returns a handler for requests that assign numbers. It waits until the databases were compared."""

        async def handle(request: Q) -> R:
            if not await is_set_within(self._may_give, _GATE_SECONDS):
                raise RequestError(ErrorCode.UNAVAILABLE, "a service is not available, please try again")
            return await handler(request)

        return handle

    async def run(self) -> None:
        """Compares repeatedly until all other services have replied, and then once a minute. Raises DatabasesApart."""
        pauses = growing_pauses(_RETRY_SECONDS, _LONGEST_RETRY_SECONDS)
        while True:
            try:
                is_complete = await self.compare()
            except RequestError as error:
                _log.warning("databases were not compared: will be retried", error=str(error))
                is_complete = False
            await asyncio.sleep(_INTERVAL_SECONDS if is_complete else next(pauses))

    async def compare(self) -> bool:
        """Compares with the services that reply. Returns whether all have replied. Raises DatabasesApart, and
        RequestError if this service's own database cannot be read."""
        before = await self._read_own()
        found = dict(zip(self._others, await asyncio.gather(*map(self._request_state, self._others)), strict=True))
        own = self._own_state(before, await self._read_own())
        for name, state in found.items():
            if state is not None:
                require_together({self._service: own, name: state})
        if self._holder is not None and found[self._holder] is not None:
            self._may_give.set()
        return None not in found.values()

    def _own_state(self, before: DatabaseState, after: DatabaseState) -> DatabaseState:
        """Combine two states of this service's own database: one read before the states of the other services, and one
        read after them. Other services may name numbers that this service has assigned meanwhile, so its assigned
        numbers are taken from the later state. All other values are from the earlier one."""
        given_account, given_chat = self._service == "auth", self._service == "session"
        return DatabaseState(
            after.installation,
            before.agreed,
            (after if given_account else before).account,
            before.account_time,
            (after if given_chat else before).chat,
            before.chat_time,
        )

    async def _request_state(self, name: str) -> DatabaseState | None:
        """Request the database state of another service; returns None if that service does not reply."""
        try:
            return await self._bus.request(
                _ROUTES[name], DescribeDatabase(), seconds=_REQUEST_SECONDS, retry=True, wait_for_service=False
            )
        except RequestError:
            return None
