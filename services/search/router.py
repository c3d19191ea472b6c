"""Connects each subject to its use case."""

from collections.abc import Callable

import msgspec
import nats.errors

from services.search.service.answering import TextSearch
from services.search.service.following import Follower
from shared.bus.client import Bus
from shared.contract import subjects as on
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.following import MovedChats
from shared.contract.search import SearchMessages
from shared.contract.session import MembershipVersions

_QUEUE = "search"
_AT_ONCE, _WAITING = 4, 64

_decode_moved = msgspec.msgpack.Decoder(MovedChats).decode
_decode_versions = msgspec.msgpack.Decoder(MembershipVersions).decode

ReceiveVersions = Callable[[MembershipVersions], None]


def route(bus: Bus, follower: Follower, receive_versions: ReceiveVersions) -> None:
    bus.subscribe(on.MOVED_CHATS, lambda data: follower.receive(_decode_moved(data)))
    bus.subscribe(on.NEW_VERSIONS, lambda data: receive_versions(_decode_versions(data)))


def serve_searches(bus: Bus, search: TextSearch) -> None:
    """Registers the handlers of searches. The follower makes the subscriptions later, when the index is ready."""
    for one in (SearchMessages.route, on.SEARCH_INCOMPLETE):
        bus.serve(one, search.search, queue=_QUEUE, concurrency=_AT_ONCE, waiting=_WAITING)


async def receive_searches(bus: Bus, is_complete: bool) -> None:
    """Receive searches. A process whose index is not complete receives only searches that no other process can answer.
    Raises RequestError."""
    try:
        await bus.receive(SearchMessages.route.subject, is_complete)
        await bus.receive(on.SEARCH_INCOMPLETE.subject, True)
    except nats.errors.Error as error:
        raise RequestError(ErrorCode.UNAVAILABLE, f"the broker: {error!r}") from error
