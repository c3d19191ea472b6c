"""Publishes and receives ephemeral events. These include changes that an account makes to its own settings and chats.
The account's other connections show such a change at once, or after the next sync."""

from collections.abc import Callable, Coroutine
from typing import Any, assert_never

import msgspec
import nats.errors

from services.edge.presence.local_accounts import LocalAccounts
from shared.bus.client import Bus, pack
from shared.contract import subjects
from shared.contract.drafts import DraftSaved, SavedDraft, SaveDraft, preview
from shared.contract.ephemeral import (
    ChatMuted,
    ChatPlaced,
    DraftChanged,
    EphemeralEvent,
    OwnChanged,
    OwnSettingsChanged,
    ReadTimeMoved,
)
from shared.contract.ids import AccountId, ChatId, NodeId
from shared.contract.own_settings import OwnSettings, SetOwnSettings
from shared.contract.session import MarkReadTime, MemberSettings, MuteChat, PlaceChat, ReadTime
from shared.telemetry import log

Publish = Callable[[EphemeralEvent], Coroutine[Any, Any, None]]
"""Publishes an event to every edge, including this one. If this fails, the event is lost."""

OwnChange = MuteChat | PlaceChat | SaveDraft | SetOwnSettings | MarkReadTime
"""The commands by which an account changes something that only itself sees."""

_decode: Callable[[bytes], EphemeralEvent] = msgspec.msgpack.Decoder(EphemeralEvent).decode
_log = log(__name__)


def publisher(bus: Bus) -> Publish:
    async def publish(event: EphemeralEvent) -> None:
        try:
            await bus.publish(subjects.EPHEMERAL_EVENT, pack(event))
        except nats.errors.Error as error:
            _log.info("ephemeral event not published", kind=type(event).__name__, error=repr(error))

    return publish


def subscribe(bus: Bus, receive: Callable[[EphemeralEvent], None]) -> None:
    """Must be called before the bus client starts."""
    bus.subscribe(subjects.EPHEMERAL_EVENT, lambda data: receive(_decode(data)))


class OwnEvents:
    def __init__(self, publish: Publish, node: NodeId, accounts: LocalAccounts) -> None:
        self._publish = publish
        self._node = node
        self._accounts = accounts

    async def announce(self, command: OwnChange, reply: msgspec.Struct, connection: int) -> None:
        """Announce that the command was performed. `connection`: the connection that has sent the command, and so needs
        no event."""
        if (changed := _changed(command, reply, (self._node, connection))) is not None:
            await self._announce(changed)

    async def draft_changed(self, account: AccountId, chat: ChatId, draft: SavedDraft, connection: int) -> None:
        """Announce the account's draft of a chat. `draft` has no text if the draft was sent or removed."""
        await self._announce(DraftChanged(chat, account, preview(draft), (self._node, connection)))

    async def _announce(self, changed: OwnChanged) -> None:
        """Show the change on this edge before the command is answered, and send it to the other edges."""
        self._show(changed)
        await self._publish(changed)

    def receive(self, changed: OwnChanged) -> None:
        if changed.origin[0] != self._node:
            self._show(changed)

    def _show(self, changed: OwnChanged) -> None:
        for recipient in self._accounts.recipients(changed.account):
            if recipient.dialect.shows_ephemeral and (self._node, recipient.number) != changed.origin:
                recipient.notify(changed)


def _changed(command: OwnChange, reply: msgspec.Struct, origin: tuple[NodeId, int]) -> OwnChanged | None:
    match command:
        case MuteChat(chat, until, mentions_only):
            return ChatMuted(chat, command.actor, until, mentions_only, origin)
        case PlaceChat():
            assert isinstance(reply, MemberSettings)
            return ChatPlaced(command.chat, command.actor, reply.pinned, reply.archived, origin, reply.hidden)
        case SaveDraft():
            assert isinstance(reply, DraftSaved)
            draft = SavedDraft(reply.rev, command.text, command.reply_to)
            return DraftChanged(command.chat, command.actor, preview(draft), origin) if reply.rev else None
        case SetOwnSettings():
            assert isinstance(reply, OwnSettings)
            return OwnSettingsChanged(command.actor, reply, origin)
        case MarkReadTime(chat, time):
            assert isinstance(reply, ReadTime)
            return ReadTimeMoved(chat, command.actor, reply.time, origin) if 0 < reply.time <= time else None
        case _:
            assert_never(command)
