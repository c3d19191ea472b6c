"""Typing: from a connection to the members of its chat that are online on a dialect that shows it."""

from collections.abc import Callable

import nats.errors

from services.edge.canonical.commands import AnnounceTyping
from services.edge.delivery.local_chats import LocalChats
from services.edge.ephemeral.known_blocks import KnownBlocks
from services.edge.ephemeral.signals import Publish
from services.edge.presence.local_accounts import LocalAccounts
from services.edge.rate_limit import TokenBuckets
from shared.contract.ephemeral import Typing
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.ids import AccountId
from shared.tasks import Tasks
from shared.telemetry import log

_log = log(__name__)
_TTL_MS = 6_000
_EVERY_SECONDS = 3.0
_MEMBERS = 100
"""Of a chat on one node; where more are, nothing is shown."""


class TypingNotices:
    """`clock` is that of the connections. Nothing waits for a notice: it is published by a task."""

    def __init__(
        self,
        publish: Publish,
        accounts: LocalAccounts,
        chats: LocalChats,
        blocked: KnownBlocks,
        tasks: Tasks,
        clock: Callable[[], float],
    ) -> None:
        self._publish = publish
        self._accounts = accounts
        self._chats = chats
        self._blocked = blocked
        self._tasks = tasks
        self._clock = clock
        self._rates = TokenBuckets(1 / _EVERY_SECONDS, 1)

    def announce(self, command: AnnounceTyping, actor: AccountId) -> None:
        """Publishes one beginning and one end for each member, chat and 3 seconds; others are dropped. Raises
        RequestError."""
        local = self._accounts.get(actor)
        if local is None or command.chat not in local.chats:
            raise RequestError(ErrorCode.FORBIDDEN, "you are not a member of this chat", "chat")
        if self._rates.take((actor, command.chat, command.on), self._clock()):
            typing = Typing(command.chat, actor, _TTL_MS if command.on else 0)
            self._tasks.start(self._announce(typing), "typing")

    async def _announce(self, typing: Typing) -> None:
        try:
            if not await self._blocked.is_blocked(typing.account, typing.chat):
                await self._publish(typing)
        except (RequestError, nats.errors.Error) as error:
            _log.info("typing not announced", chat=typing.chat, error=repr(error))

    def show(self, typing: Typing) -> None:
        """Pushes the notice to the other members here."""
        sequencer = self._chats.sequencer(typing.chat)
        if sequencer is None or len(sequencer.members) > _MEMBERS:
            return
        for local in filter(None, map(self._accounts.get, sequencer.members)):
            if local.account != typing.account:
                local.notify_ephemeral(typing)
