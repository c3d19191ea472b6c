"""Connects each NATS subject to its use case."""

from collections.abc import Callable

import msgspec

from services.message.service.changes import MessageChanges
from services.message.service.posting import PostingBatcher
from services.message.service.queries import MessageQueries
from shared.bus.client import Bus
from shared.bus.serving import routes_of
from shared.contract import subjects as on
from shared.contract.message import PostMessages
from shared.contract.session import MembershipVersions

_QUEUE = "message"

ReceiveVersions = Callable[[MembershipVersions], None]
"""Receives the versions and the heartbeats that the session service announces."""

_decode_versions = msgspec.msgpack.Decoder(MembershipVersions).decode


def route(
    bus: Bus, batcher: PostingBatcher, receive_versions: ReceiveVersions, queries: MessageQueries, *others: object
) -> None:
    """Serve the requests that any replica may answer. Each public method of a use case serves the route of its
    request."""
    bus.serve_deferred(PostMessages.route, batcher.submit, queue=_QUEUE)
    for served, handler in routes_of(queries, *others):
        bus.serve(served, handler, queue=_QUEUE)
    bus.serve(on.ERASE_READ_STATE, queries.erase_account, queue=_QUEUE)
    bus.consume(on.ACCOUNT_DELETED, queries.account_deleted)
    bus.subscribe(on.NEW_VERSIONS, lambda data: receive_versions(_decode_versions(data)))


def route_own(bus: Bus, batcher: PostingBatcher, changes: MessageChanges, replica: str) -> None:
    """Serve the requests that only this replica may answer."""
    bus.serve_deferred(on.post(replica), batcher.submit)
    bus.serve(on.change(replica), changes.change)
