"""Tells session, by durable events, which chats with outgoing hooks have new messages. An event that is lost with this
process, or with the stream, is missed for a while: session compares the heads of such chats with what it knows."""

import nats.errors

from shared.bus.client import Bus
from shared.contract.events import OutgoingHooksDue
from shared.contract.ids import ChatId
from shared.contract.subjects import OUTGOING_HOOKS_DUE
from shared.tasks import Tasks
from shared.telemetry import log

_log = log(__name__)

_CHATS = 10_000
_CLOSE_SECONDS = 3.0


class HookAnnouncer:
    """Events of a chat that are waiting become one. At most `_CHATS` chats wait."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._heads: dict[ChatId, int] = {}
        self._tasks = Tasks()

    def announce(self, chat: ChatId, index: int) -> None:
        """The chat has messages up to `index`."""
        if chat not in self._heads and len(self._heads) >= _CHATS:
            return
        self._heads[chat] = max(index, self._heads.get(chat, 0))
        if not self._tasks:
            self._tasks.start(self._publish(), "announce messages for hooks")

    async def close(self) -> None:
        await self._tasks.finish(_CLOSE_SECONDS)

    async def _publish(self) -> None:
        while self._heads:
            chat = next(iter(self._heads))
            index = self._heads.pop(chat)
            try:
                await self._bus.publish_event(OUTGOING_HOOKS_DUE, OutgoingHooksDue(chat, index), key=f"{chat}.{index}")
            except (nats.errors.Error, TimeoutError) as error:
                _log.debug("event for hooks not stored", chat=chat, error=repr(error))
