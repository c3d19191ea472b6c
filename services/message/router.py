"""Connects each subject to its use case."""

from collections.abc import Awaitable, Callable

import msgspec

from services.message.service.changes import MessageChanges
from services.message.service.ports import PostResponder
from services.message.service.posting import PostingBatcher
from services.message.service.queries import MessageQueries
from services.message.service.text_search import TextSearch
from shared.bus.client import Bus
from shared.contract import subjects as on
from shared.contract.audit import FindMessage, StoredMessage
from shared.contract.message import PostMessages
from shared.contract.session import MembershipVersions

_QUEUE = "message"

ReceiveVersions = Callable[[MembershipVersions], None]
"""Session has announced versions, or sent a heartbeat."""

_decode_versions = msgspec.msgpack.Decoder(MembershipVersions).decode


FindStored = Callable[[FindMessage], Awaitable[StoredMessage]]


def route(
    bus: Bus,
    submit: Callable[[PostMessages, PostResponder], None],
    queries: MessageQueries,
    changes: MessageChanges,
    search: TextSearch,
    find: FindStored,
    receive_versions: ReceiveVersions,
) -> None:
    """What any replica serves."""
    bus.serve_deferred(on.POST_MESSAGES, submit, queue=_QUEUE)
    bus.serve(on.SYNC, queries.sync, queue=_QUEUE)
    bus.serve(on.RESUME, queries.resume, queue=_QUEUE)
    bus.serve(on.SYNC_CHAT, queries.sync_chat, queue=_QUEUE)
    bus.serve(on.GET_HISTORY, queries.history, queue=_QUEUE)
    bus.serve(on.GET_UNREAD, queries.unread, queue=_QUEUE)
    bus.serve(on.CHANGE_MESSAGE, changes.change, queue=_QUEUE)
    bus.serve(on.GET_CHANGES, changes.changes, queue=_QUEUE)
    bus.serve(on.FIND_REACTORS, changes.reactors, queue=_QUEUE)
    bus.serve(on.GET_QUOTED, queries.quoted, queue=_QUEUE)
    bus.serve(on.SEARCH, search.search, queue=_QUEUE)
    bus.serve(on.GET_HEADS, queries.heads, queue=_QUEUE)
    bus.serve(on.MARK_READ, queries.mark_read, queue=_QUEUE)
    bus.serve(on.FIND_READ_INDEXES, queries.read_indexes, queue=_QUEUE)
    bus.serve(on.FIND_READERS, queries.readers, queue=_QUEUE)
    bus.serve(on.ERASE_READ_STATE, queries.erase_account, queue=_QUEUE)
    bus.serve(on.FIND_MESSAGE, find, queue=_QUEUE)
    bus.consume(on.ACCOUNT_DELETED, queries.account_deleted)
    bus.subscribe(on.NEW_VERSIONS, lambda data: receive_versions(_decode_versions(data)))


def route_own(bus: Bus, batcher: PostingBatcher, changes: MessageChanges, replica: str) -> None:
    """What this replica alone serves."""
    bus.serve_deferred(on.post(replica), batcher.submit)
    bus.serve(on.change(replica), changes.change)
