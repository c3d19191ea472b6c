"""What an account has muted, shown on its other connections: at once, or by the next sync."""

import nats.errors

from services.edge.ephemeral.signals import Publish
from services.edge.presence.local_accounts import LocalAccounts
from shared.contract.ephemeral import ChatMuted
from shared.contract.ids import NodeId
from shared.contract.session import MuteChat
from shared.telemetry import log

_log = log(__name__)


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
