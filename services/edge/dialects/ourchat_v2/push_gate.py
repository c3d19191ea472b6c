"""Holds the pushes of a v2 connection until its client can handle them.

The PC client of 2024 crashes on a message of a session that it does not list, and handles frames that arrive together
newest first. "PC client" here is any client of its code base. Other v2 clients get the same care until they are known
to be different. The rules:

- Nothing is pushed until a second after the login, or until the first 10 is answered.
- A session that the connection does not know is announced by a 9 before its first message.
- The PC client gets the messages of a session after it has requested it (1), and none in its first second.
- Any other connection gets them at once after such a request, else a second after the login or the 9.
- A client that posts to a session gets the held messages of that session first, then the echo: the order is the same
  for everybody. The PC client posts only to sessions that it has requested.

The echo of an own message never comes here. Times are the caller's, in seconds.
"""

from collections.abc import Iterable
from math import inf

from services.edge.canonical.frames import Frame, Outgoing
from services.edge.dialects.base import Push
from services.edge.dialects.ourchat_v2 import encode
from shared.contract.ids import ChatId
from shared.contract.model import Message

SECOND = 1.0
APART = 0.05
"""Between two frames of which the second needs the first, for clients that may handle the newest first."""


class PushGate:
    """The held pushes of one connection."""

    __slots__ = (
        "_announced", "_creating", "_known", "_listed", "_opens", "_queues", "_settles", "_status",
        "_unannounced", "free", "held_bytes", "is_pc_client", "wake_at",
    )  # fmt: skip

    def __init__(self) -> None:
        self.is_pc_client = False
        self._creating = 0
        """8s without a reply: their sessions are not announced before it."""
        self._forget(-inf)

    def _forget(self, opens: float) -> None:
        self._opens = opens
        """The time from which anything may be pushed."""
        self._settles = inf
        """A second after the login."""
        self._known: set[ChatId] | None = None
        """The chats at the login; None until they are loaded; no chat is announced before."""
        self._announced: dict[ChatId, float] = {}
        self._listed: dict[ChatId, float] = {}
        """When they were announced by a 9, and when requested by a 1."""
        self.free: set[ChatId] = set()
        """Chats whose messages are not held."""
        self._unannounced: dict[ChatId, None] = {}
        """Chats to announce, in this order."""
        self._status: Frame | None = None
        self._queues: dict[ChatId, list[Push]] = {}
        self.held_bytes = 0
        self.wake_at: float | None = None

    # Events of the connection

    def logged_in(self) -> None:
        """Logged in; nothing is pushed before the reply to the login."""
        self._forget(inf)

    def logged_out(self) -> None:
        self._forget(-inf)

    def login_answered(self, now: float) -> None:
        """The reply to the login is written."""
        self._opens = self._settles = now + SECOND
        self._replan()

    def chats_loaded(self, chats: Iterable[ChatId]) -> None:
        self._known = (self._known or set()).union(chats)
        self._unannounced.update(dict.fromkeys(chat for chat in self._queues if not self._is_known(chat)))
        self._replan()

    def pc_client_detected(self, now: float) -> None:
        self.is_pc_client = True
        self.free = {chat for chat in self.free if self._due(chat) <= now}
        self._replan()

    def account_answered(self, now: float) -> None:
        """A 10 is answered."""
        self._opens = min(self._opens, now + APART)
        self._replan()

    def session_answered(self, chat: ChatId, now: float) -> None:
        """A 1 about this chat is answered."""
        self._listed.setdefault(chat, now)
        self._plan(self._due(chat))

    def create_requested(self) -> None:
        self._creating += 1

    def create_answered(self, chat: ChatId, now: float) -> None:
        """An 8 is answered, by the 9 about this chat."""
        self._announced.setdefault(chat, now)
        self.create_failed()

    def create_failed(self) -> None:
        self._creating -= 1
        self._replan()

    # Pushes

    def push_status(self, frame: Frame, now: float) -> tuple[Push, ...]:
        """A change of the server's status; a later one replaces it while it is held."""
        if now >= self._opens:
            return (Push((frame,)),)
        self._status = frame
        self._plan(self._opens)
        return ()

    def chat_joined(self, chat: ChatId, now: float) -> tuple[Push, ...]:
        """The account has joined this chat: a 9, even if its sync has found the chat already, because earlier replies
        did not show it."""
        return () if self._is_announced(chat) else self._announce(chat, now)

    def _announce(self, chat: ChatId, now: float) -> tuple[Push, ...]:
        if now < self._announces_at():
            self._unannounced[chat] = None
            self._plan(self._announces_at())
            return ()
        self._announced[chat] = now
        return (Push((encode.new_session(chat),)),)

    def hold(self, message: Message, frames: tuple[Outgoing, ...], now: float) -> tuple[Push, ...]:
        """Holds a message; returns what may be pushed now."""
        self._queues.setdefault(message.chat, []).append(Push(frames, message))
        self.held_bytes += _size(frames)
        known = self._known is None or self._is_known(message.chat)
        announcement = () if known else self._announce(message.chat, now)
        due = self._due(message.chat)
        if due <= now:
            return (*announcement, *self._flush(message.chat))
        self._plan(due)
        return announcement

    def holds(self, chat: ChatId, index: int) -> bool:
        """Whether it holds this message."""
        return any(push.message and push.message.index == index for push in self._queues.get(chat, ()))

    def release(self, chat: ChatId, now: float) -> tuple[Push, ...]:
        """The echo of an own message of this chat comes next: everything that is held for the chat."""
        if chat not in self._queues or (self.is_pc_client and chat not in self._listed):
            return ()
        announcement: tuple[Push, ...] = ()
        if self._known is not None and not self._is_known(chat):
            self._unannounced.pop(chat, None)
            self._announced[chat] = now
            announcement = (Push((encode.new_session(chat),)),)
        pushes = (*announcement, *self._unqueue(chat))
        self._replan()
        return pushes

    def wake(self, now: float) -> tuple[Push, ...]:
        """Everything that is due: the status, then announcements, then messages."""
        pushes: list[Push] = []
        if self._status is not None and now >= self._opens:
            pushes.append(Push((self._status,)))
            self._status = None
        if now >= self._announces_at():
            unannounced, self._unannounced = self._unannounced, {}
            pushes += [push for chat in unannounced for push in self.chat_joined(chat, now)]
        for chat in [chat for chat in self._queues if self._due(chat) <= now]:
            pushes += self._flush(chat)
        self._replan()
        return tuple(pushes)

    # The rules

    def _is_announced(self, chat: ChatId) -> bool:
        return chat in self._announced or chat in self._listed

    def _is_known(self, chat: ChatId) -> bool:
        return self._is_announced(chat) or (self._known is not None and chat in self._known)

    def _announces_at(self) -> float:
        """The time from which chats may be announced."""
        return inf if self._known is None or self._creating else self._opens

    def _due(self, chat: ChatId) -> float:
        """The time from which messages of this chat may be pushed."""
        if self._known is None:
            return inf
        if chat in self._listed:
            return max(self._listed[chat] + APART, self._settles) if self.is_pc_client else self._opens
        if self.is_pc_client:
            return inf
        if chat in self._announced:
            return max(self._announced[chat] + SECOND, self._settles)
        return self._settles if chat in self._known else inf

    def _flush(self, chat: ChatId) -> list[Push]:
        """All held messages of this chat; from now on they are not held."""
        self.free.add(chat)
        return self._unqueue(chat)

    def _unqueue(self, chat: ChatId) -> list[Push]:
        pushes = self._queues.pop(chat)
        self.held_bytes -= sum(_size(push.frames) for push in pushes)
        return pushes

    def _plan(self, due: float) -> None:
        if due < (inf if self.wake_at is None else self.wake_at):
            self.wake_at = due

    def _replan(self) -> None:
        self.wake_at = None
        if self._status is not None:
            self._plan(self._opens)
        if self._unannounced:
            self._plan(self._announces_at())
        for chat in self._queues:
            self._plan(self._due(chat))


def _size(frames: tuple[Outgoing, ...]) -> int:
    return sum(map(len, frames))
