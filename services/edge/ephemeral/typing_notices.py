"""Typing: from a connection to the members of its chat that are online on a dialect that shows it, but not between the
members of a private chat of whom one blocks the other."""

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence

import nats.errors

from services.edge.canonical.commands import AnnounceTyping
from services.edge.delivery.local_chats import LocalChats
from services.edge.ephemeral.signals import Publish
from services.edge.presence.local_accounts import LocalAccounts
from services.edge.rate_limit import TokenBuckets
from services.edge.rpc.coalescer import RequestCoalescer
from shared.bus.client import Bus
from shared.contract.contacts import FindBlockedMembers
from shared.contract.ephemeral import Typing
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.ids import AccountId, ChatId
from shared.tasks import Tasks
from shared.telemetry import log

_KNOWN_SECONDS = 60.0
"""A lost signal that a block has changed counts no longer."""
_REQUEST_SECONDS = 2.0
_MEMBERS_PER_REQUEST = 100
_KNOWN_PLACES = 100_000

_Place = tuple[AccountId, ChatId]
_log = log(__name__)
_TTL_MS = 6_000
_EVERY_SECONDS = 3.0
_MEMBERS = 100
"""Of a chat on one node; where more are, nothing is shown."""


class KnownBlocks:
    def __init__(self, bus: Bus, clock: Callable[[], float]) -> None:
        self._bus = bus
        self._clock = clock
        self._known: OrderedDict[_Place, tuple[bool, float]] = OrderedDict()
        """Whether there is a block between this member and the other one, and until when that is known."""
        self._forgotten = 0
        """Times that everything was forgotten: replies to requests from before count once only."""
        self._requests = RequestCoalescer("blocked members", self._fetch, _MEMBERS_PER_REQUEST)

    async def close(self) -> None:
        await self._requests.close()

    async def is_blocked(self, account: AccountId, chat: ChatId) -> bool:
        """In a group nobody is. Raises RequestError."""
        blocked, until = self._known.get((account, chat), (False, 0.0))
        if self._clock() < until:
            return blocked
        forgotten = self._forgotten
        blocked = await self._requests.get((account, chat), _REQUEST_SECONDS)
        if forgotten == self._forgotten:
            self._known[account, chat] = blocked, self._clock() + _KNOWN_SECONDS
            while len(self._known) > _KNOWN_PLACES:
                self._known.popitem(last=False)
        return blocked

    def forget(self) -> None:
        """An account blocks another one from now on, or does not any more."""
        self._forgotten += 1
        self._known.clear()

    async def _fetch(self, members: Sequence[_Place]) -> Mapping[_Place, bool]:
        request = FindBlockedMembers(list(members))
        reply = await self._bus.request(FindBlockedMembers.route, request, seconds=_REQUEST_SECONDS)
        return dict.fromkeys(members, False) | dict.fromkeys(reply.members, True)


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
