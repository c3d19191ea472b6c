"""The databases of message as this replica knows them: from the settings by name, from heartbeats what each serves."""

from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Any, TypeVar

from services.message.domain import UNPLACED
from shared.bus.client import Bus
from shared.contract.edge import Placement
from shared.contract.errors import RequestError
from shared.contract.ids import ChatId
from shared.contract.subjects import Route, stored_in
from shared.placement import DatabaseDirectory
from shared.telemetry import log

Q = TypeVar("Q")
R = TypeVar("R")

_log = log(__name__)
_PART_SECONDS = 1.2
"""Less than the longest attempt of a requester that waits for 4 s or more: it gets the other parts. Enough for a second
attempt, at another replica."""


class Databases:
    """`handlers`: the functions by which this replica answers the routes of its own database."""

    def __init__(self, bus: Bus, own: str, names: Collection[str]) -> None:
        self.own = own
        self.names = names
        self._bus = bus
        self._directory = DatabaseDirectory()
        self.handlers: Mapping[Route[Any, Any], Callable[[Any], Awaitable[Any]]] = {}

    def claim(self, placement: Placement) -> None:
        """A replica has announced this placement."""
        if not self._directory.claim(placement):
            return
        _log.info("placement", database=placement.database, version=placement.version, partitions=placement.ranges)
        if placement.database not in self.names:
            _log.error("another replica works on a database that message.databases lacks", database=placement.database)

    def database_of(self, chat: ChatId) -> str:
        return self._directory.database_of(chat)

    async def request(self, database: str, route: Route[Q, R], request: Q) -> R:
        """Raises RequestError."""
        if not database:
            raise RequestError.from_failure(UNPLACED)
        if database == self.own and (handler := self.handlers.get(route)):
            reply: R = await handler(request)
            return reply
        return await self._bus.request(
            stored_in(database, route), request, seconds=_PART_SECONDS, retry=True, wait_for_service=False
        )
