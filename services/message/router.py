"""Which use case answers which subject."""

from services.message.service.posting import Batcher
from services.message.service.queries import Messages
from shared.bus.client import Bus
from shared.contract import subjects as on

_QUEUE = "message"


def route(bus: Bus, batcher: Batcher, messages: Messages) -> None:
    bus.serve_deferred(on.POST_MESSAGES, batcher.submit, queue=_QUEUE)
    bus.serve(on.SYNC, messages.sync, queue=_QUEUE)
    bus.serve(on.SYNC_CHAT, messages.sync_chat, queue=_QUEUE)
    bus.serve(on.GET_HISTORY, messages.history, queue=_QUEUE)
    bus.serve(on.GET_UNREAD, messages.unread, queue=_QUEUE)
    bus.serve(on.GET_HEADS, messages.heads, queue=_QUEUE)
    bus.serve(on.MARK_READ, messages.mark_read, queue=_QUEUE)
    bus.serve(on.ERASE_READ_STATE, messages.erase_account, queue=_QUEUE)
    bus.consume(on.ACCOUNT_DELETED, messages.account_deleted)
