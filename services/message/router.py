"""Connects each subject to its use case."""

from collections.abc import Callable

import msgspec

from services.message.service.posting import PostingBatcher
from services.message.service.queries import MessageQueries
from shared.bus.client import Bus
from shared.contract import subjects as on
from shared.contract.session import MembershipVersions

_QUEUE = "message"

ReceiveVersions = Callable[[MembershipVersions], None]
"""Session has announced versions, or sent a heartbeat."""

_decode_versions = msgspec.msgpack.Decoder(MembershipVersions).decode


def route(
    bus: Bus, batcher: PostingBatcher, queries: MessageQueries, receive_versions: ReceiveVersions, replica: str
) -> None:
    bus.serve_deferred(on.POST_MESSAGES, batcher.submit, queue=_QUEUE)
    bus.serve_deferred(on.post(replica), batcher.submit)
    bus.serve(on.SYNC, queries.sync, queue=_QUEUE)
    bus.serve(on.SYNC_CHAT, queries.sync_chat, queue=_QUEUE)
    bus.serve(on.GET_HISTORY, queries.history, queue=_QUEUE)
    bus.serve(on.GET_UNREAD, queries.unread, queue=_QUEUE)
    bus.serve(on.GET_HEADS, queries.heads, queue=_QUEUE)
    bus.serve(on.MARK_READ, queries.mark_read, queue=_QUEUE)
    bus.serve(on.ERASE_READ_STATE, queries.erase_account, queue=_QUEUE)
    bus.consume(on.ACCOUNT_DELETED, queries.account_deleted)
    bus.subscribe(on.NEW_VERSIONS, lambda data: receive_versions(_decode_versions(data)))
