"""In which private chats one member blocks the other: requested from session once, and for a while known."""

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence

from services.edge.rpc.coalescer import RequestCoalescer
from shared.bus.client import Bus
from shared.contract.contacts import FindBlockedMembers
from shared.contract.ids import AccountId, ChatId

_KNOWN_SECONDS = 60.0
"""A lost signal that a block has changed counts no longer."""
_REQUEST_SECONDS = 2.0
_MEMBERS_PER_REQUEST = 100
_KNOWN_PLACES = 100_000

_Place = tuple[AccountId, ChatId]


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
