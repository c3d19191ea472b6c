"""Holds the pushed messages of one connection until their channels are shown. Writes into each message the name that
this connection has for the chat."""

from functools import lru_cache
from sys import intern
from typing import Final, NamedTuple

from services.edge.canonical.frames import Outgoing
from services.edge.dialects.base import Push, PushGate
from services.edge.dialects.irc.channels import show_hidden
from services.edge.dialects.irc.lines import word
from services.edge.dialects.irc.messages import MESSAGES_UNDER_WAY, addressed, dated, lines, recipient_of
from services.edge.dialects.irc.session import Answer, IrcSession
from shared.contract.body import mention_mark
from shared.contract.ids import ChatId
from shared.contract.model import Message

_OLD_MS: Final = 60_000
"""A message that has waited this long is shown with the time at which it was sent."""
_NOW: Final = 0.0
_addressed_once = lru_cache(MESSAGES_UNDER_WAY)(addressed)
"""The members of a channel get the same lines."""


class _Held(NamedTuple):
    frames: tuple[Outgoing, ...]
    message: Message


class MessageGate(PushGate):
    """See services.edge.dialects.base.PushGate."""

    __slots__ = ("_entered_ms", "_open", "_queues", "_session", "held_bytes", "wake_at")

    def __init__(self, session: IrcSession) -> None:
        self._session = session
        self._entered_ms = 0
        """The time of the login in Unix milliseconds. Older messages are missed ones."""
        self._queues: dict[ChatId, list[_Held]] = {}
        self._open: dict[ChatId, str] = {}
        """The names of the channels whose new messages need none of the checks of `hold`. Everything that may change
        this clears the dictionary."""
        self.held_bytes = 0
        self.wake_at: float | None = None

    def enter(self) -> None:
        """Note that an account has logged in or out. Drops the held messages, which stay undelivered."""
        self._entered_ms = self._session.info.unix_ms()
        self._queues.clear()
        self._open.clear()
        self.held_bytes, self.wake_at = 0, None

    def replan(self) -> None:
        """Compute again when held messages can be written. The dialect calls this after every line, reply and event,
        because these may have shown, hidden or renamed a channel."""
        self._open.clear()
        for chat in [chat for chat in self._queues if self._is_hidden(chat)]:
            self.held_bytes -= sum(_size(held.frames) for held in self._queues.pop(chat))
        if self._queues:
            self.wake_at = (
                _NOW if any(self._is_ready(chat, queue[0].frames) for chat, queue in self._queues.items()) else None
            )

    def admit(self, message: Message, frames: tuple[Outgoing, ...]) -> tuple[Outgoing, ...] | None:
        name = self._open.get(message.chat)
        return None if name is None or message.time < self._entered_ms else _addressed_once(frames, name)

    def hold(self, message: Message, frames: tuple[Outgoing, ...], now: float) -> tuple[Push, ...]:
        shown: tuple[Push, ...] = ()
        if self._is_hidden(message.chat):
            if self._session.channels[message.chat].ended or mention_mark(self._session.account) not in message.body:
                self._session.pushed_from.pop(message.chat, None)
                return ()  # the message stays undelivered
            show_hidden(self._session, message.chat, Answer())
            shown = (Push((), requests=self._session.take_requests()),)
        self._session.pushed_from.setdefault(message.chat, message.index)
        if message.chat not in self._queues and self._is_ready(message.chat, frames):
            return (self._finished(frames, message),)
        queue = self._queues.setdefault(message.chat, [])
        queue.append(_Held(frames, message))
        self.held_bytes += _size(frames)
        return self._take(message.chat) if self._is_ready(message.chat, queue[0].frames) else shown

    def _is_hidden(self, chat: ChatId) -> bool:
        channel = self._session.channels.get(chat)
        return channel is not None and channel.hidden

    def holds(self, chat: ChatId, index: int) -> bool:
        return any(held.message.index == index for held in self._queues.get(chat, ()))

    def recalled(self, chat: ChatId, index: int) -> None:
        """Drop the message if it is held, because no client gets a text after its recall. It stays undelivered."""
        held = [one for one in self._queues.get(chat, ()) if one.message.index == index]
        self.held_bytes -= sum(_size(one.frames) for one in held)
        if left := [one for one in self._queues.pop(chat, ()) if one not in held]:
            self._queues[chat] = left

    def release(self, chat: ChatId, now: float) -> tuple[Push, ...]:
        queue = self._queues.get(chat)
        return self._take(chat) if queue and self._is_ready(chat, queue[0].frames) else ()

    def wake(self, now: float) -> tuple[Push, ...]:
        self.wake_at = None
        ready = [chat for chat, queue in self._queues.items() if self._is_ready(chat, queue[0].frames)]
        return tuple(push for chat in ready for push in self._take(chat))

    def _is_ready(self, chat: ChatId, frames: tuple[Outgoing, ...]) -> bool:
        session = self._session
        if not session.welcomed:
            return False
        channel = session.channels.get(chat)
        if channel is None:
            return chat in session.partners or recipient_of(frames) is not None
        return channel.shown

    def _take(self, chat: ChatId) -> tuple[Push, ...]:
        queue = self._queues.pop(chat)
        self.held_bytes -= sum(_size(held.frames) for held in queue)
        return tuple(self._finished(*held) for held in queue)

    def _finished(self, frames: tuple[Outgoing, ...], message: Message) -> Push:
        session = self._session
        known = session.partners.get(message.chat)  # the edge may not have known the members when it encoded the lines
        partner = session.partner_of(message, recipient_of(frames)) if known is None else known
        is_own_private = partner is not None and message.sender == session.account
        if is_own_private and known != session.account and not session.shows_own:
            return Push((), message)
        name = session.chat_name(message, partner)
        frames = _addressed_once(frames, name) if partner is None else addressed(frames, name)
        if session.has("server-time"):
            if partner is None:
                self._open[message.chat] = intern(name)  # shared by all members, so it is in the CPU's cache
        elif (now_ms := session.info.unix_ms()) - message.time > _OLD_MS:
            frames = dated(frames, message.time, now_ms)
        if message.time < self._entered_ms and session.has("batch"):  # bots do not obey such a message
            frames = tuple(session.batch("chathistory", lines(frames), word(name)))
        return Push(frames, message)


def _size(frames: tuple[Outgoing, ...]) -> int:
    return sum(map(len, frames))
