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
from shared.contract.message import (
    ChangeMessage,
    GetChanges,
    GetHeads,
    GetHistory,
    GetQuoted,
    GetUnread,
    MarkRead,
    PostMessages,
    Sync,
    SyncChat,
)
from shared.contract.receipts import FindReactors, FindReaders, FindReadIndexes
from shared.contract.resume import Resume
from shared.contract.search import SearchMessages
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
    bus.serve_deferred(PostMessages.route, submit, queue=_QUEUE)
    bus.serve(Sync.route, queries.sync, queue=_QUEUE)
    bus.serve(Resume.route, queries.resume, queue=_QUEUE)
    bus.serve(SyncChat.route, queries.sync_chat, queue=_QUEUE)
    bus.serve(GetHistory.route, queries.history, queue=_QUEUE)
    bus.serve(GetUnread.route, queries.unread, queue=_QUEUE)
    bus.serve(ChangeMessage.route, changes.change, queue=_QUEUE)
    bus.serve(GetChanges.route, changes.changes, queue=_QUEUE)
    bus.serve(FindReactors.route, changes.reactors, queue=_QUEUE)
    bus.serve(GetQuoted.route, queries.quoted, queue=_QUEUE)
    bus.serve(SearchMessages.route, search.search, queue=_QUEUE)
    bus.serve(GetHeads.route, queries.heads, queue=_QUEUE)
    bus.serve(MarkRead.route, queries.mark_read, queue=_QUEUE)
    bus.serve(FindReadIndexes.route, queries.read_indexes, queue=_QUEUE)
    bus.serve(FindReaders.route, queries.readers, queue=_QUEUE)
    bus.serve(on.ERASE_READ_STATE, queries.erase_account, queue=_QUEUE)
    bus.serve(FindMessage.route, find, queue=_QUEUE)
    bus.consume(on.ACCOUNT_DELETED, queries.account_deleted)
    bus.subscribe(on.NEW_VERSIONS, lambda data: receive_versions(_decode_versions(data)))


def route_own(bus: Bus, batcher: PostingBatcher, changes: MessageChanges, replica: str) -> None:
    """What this replica alone serves."""
    bus.serve_deferred(on.post(replica), batcher.submit)
    bus.serve(on.change(replica), changes.change)
