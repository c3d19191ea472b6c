"""Connects each subject to its use case."""

from services.message.service.posting import PostingBatcher
from services.message.service.queries import MessageQueries
from shared.bus.client import Bus
from shared.contract import subjects as on

_QUEUE = "message"


def route(bus: Bus, batcher: PostingBatcher, queries: MessageQueries) -> None:
    bus.serve_deferred(on.POST_MESSAGES, batcher.submit, queue=_QUEUE)
    bus.serve(on.SYNC, queries.sync, queue=_QUEUE)
    bus.serve(on.SYNC_CHAT, queries.sync_chat, queue=_QUEUE)
    bus.serve(on.GET_HISTORY, queries.history, queue=_QUEUE)
    bus.serve(on.GET_UNREAD, queries.unread, queue=_QUEUE)
    bus.serve(on.GET_HEADS, queries.heads, queue=_QUEUE)
    bus.serve(on.MARK_READ, queries.mark_read, queue=_QUEUE)
    bus.serve(on.ERASE_READ_STATE, queries.erase_account, queue=_QUEUE)
    bus.consume(on.ACCOUNT_DELETED, queries.account_deleted)
