"""Which members of private chats the other member blocks: requested from session once, and for a while known."""

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence

from services.edge.rpc.coalescer import RequestCoalescer
from shared.bus.client import Bus
from shared.contract import subjects
from shared.contract.contacts import FindBlockedMembers
from shared.contract.ids import AccountId, ChatId

_KNOWN_SECONDS = 60.0
"""A lost signal that a block has changed counts no longer."""
_REQUEST_SECONDS = 2.0
_MEMBERS_PER_REQUEST = 100
_KNOWN_ACCOUNTS = 10_000
_KNOWN_CHATS = 100
"""Of one account."""

_Place = tuple[AccountId, ChatId]


class KnownBlocks:
    def __init__(self, bus: Bus, clock: Callable[[], float]) -> None:
        self._bus = bus
        self._clock = clock
        self._known: OrderedDict[AccountId, dict[ChatId, tuple[bool, float]]] = OrderedDict()
        """For each chat, whether the account is blocked there, and until when that is known."""
        self._forgotten = 0
        """Times that anything was forgotten: replies to requests from before count once only."""
        self._requests = RequestCoalescer("blocked members", self._fetch, _MEMBERS_PER_REQUEST)

    async def close(self) -> None:
        await self._requests.close()

    async def is_blocked(self, account: AccountId, chat: ChatId) -> bool:
        """In a group nobody is. Raises RequestError."""
        blocked, until = self._known.get(account, {}).get(chat, (False, 0.0))
        if self._clock() < until:
            return blocked
        forgotten = self._forgotten
        blocked = await self._requests.get((account, chat), _REQUEST_SECONDS)
        if forgotten == self._forgotten:
            self._remember(account, chat, blocked)
        return blocked

    def forget(self, account: AccountId) -> None:
        """Another account blocks this one from now on, or does not any more."""
        self._forgotten += 1
        self._known.pop(account, None)

    def _remember(self, account: AccountId, chat: ChatId, blocked: bool) -> None:
        chats = self._known.setdefault(account, {})
        self._known.move_to_end(account)
        if len(chats) >= _KNOWN_CHATS:
            chats.clear()
        chats[chat] = blocked, self._clock() + _KNOWN_SECONDS
        while len(self._known) > _KNOWN_ACCOUNTS:
            self._known.popitem(last=False)

    async def _fetch(self, members: Sequence[_Place]) -> Mapping[_Place, bool]:
        request = FindBlockedMembers(list(members))
        reply = await self._bus.request(subjects.FIND_BLOCKED_MEMBERS, request, seconds=_REQUEST_SECONDS)
        return dict.fromkeys(members, False) | dict.fromkeys(reply.members, True)
