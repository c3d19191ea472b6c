"""Signals to and from the other edges, and the one of what an account has muted: its other connections show it at once,
or by the next sync."""

from collections.abc import Awaitable, Callable

import msgspec
import nats.errors

from services.edge.presence.local_accounts import LocalAccounts
from shared.bus.client import Bus, pack
from shared.contract import subjects
from shared.contract.ephemeral import ChatMuted, Signal
from shared.contract.ids import NodeId
from shared.contract.session import MuteChat
from shared.telemetry import log

Publish = Callable[[Signal], Awaitable[None]]
"""To every edge, also this one. Raises nats.errors.Error."""

_decode: Callable[[bytes], Signal] = msgspec.msgpack.Decoder(Signal).decode
_log = log(__name__)


def publisher(bus: Bus) -> Publish:
    async def publish(signal: Signal) -> None:
        await bus.publish(subjects.SIGNAL, pack(signal))

    return publish


def subscribe(bus: Bus, receive: Callable[[Signal], None]) -> None:
    """To be called before the bus starts."""
    bus.subscribe(subjects.SIGNAL, lambda data: receive(_decode(data)))


class MuteNotices:
    def __init__(self, publish: Publish, node: NodeId, accounts: LocalAccounts) -> None:
        self._publish = publish
        self._node = node
        self._accounts = accounts

    async def announce(self, command: MuteChat, connection: int) -> None:
        """The command is carried out. `connection`: the one that needs no notice."""
        origin = (self._node, connection)
        muted = ChatMuted(command.chat, command.actor, command.until, command.mentions_only, origin)
        try:
            await self._publish(muted)
        except nats.errors.Error as error:
            _log.info("muted chat not announced", error=repr(error))

    def show(self, muted: ChatMuted) -> None:
        local = self._accounts.get(muted.account)
        for recipient in local.recipients if local is not None else ():
            if recipient.shows_ephemeral and (self._node, recipient.number) != muted.origin:
                recipient.notify(muted)
