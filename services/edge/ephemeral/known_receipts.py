"""In which chats members see what the others have read: requested from session, and for a while known."""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping

from shared.bus.client import Bus
from shared.contract.ids import ChatId
from shared.contract.receipts import FindReceiptChats

_KNOWN_SECONDS = 10.0
"""Then a new setting counts on all edges."""
_KNOWN_CHATS = 20_000
_REQUEST_SECONDS = 2.0


class KnownReceipts:
    def __init__(self, bus: Bus, clock: Callable[[], float]) -> None:
        self._bus = bus
        self._clock = clock
        self._known: OrderedDict[ChatId, tuple[int, float]] = OrderedDict()
        """The members of each chat, 0 where nothing is shown, and until when that is known."""
        self._forgotten = 0

    async def members(self, chats: Iterable[ChatId]) -> Mapping[ChatId, int]:
        """The number of members of each chat in which receipts are shown. Raises RequestError."""
        now, wanted = self._clock(), list(chats)
        found = {chat: known[0] for chat in wanted if (known := self._known.get(chat)) is not None and now < known[1]}
        if missing := [chat for chat in wanted if chat not in found]:
            found |= await self._request(missing)
        return {chat: members for chat, members in found.items() if members}

    def forget(self) -> None:
        """An account blocks another one from now on, or does not any more."""
        self._forgotten += 1
        self._known.clear()

    async def _request(self, chats: list[ChatId]) -> dict[ChatId, int]:
        forgotten, until = self._forgotten, self._clock() + _KNOWN_SECONDS
        request = FindReceiptChats(chats)
        reply = await self._bus.request(FindReceiptChats.route, request, seconds=_REQUEST_SECONDS)
        found = {chat: reply.members.get(chat, 0) for chat in chats}
        if forgotten == self._forgotten:
            self._known.update((chat, (members, until)) for chat, members in found.items())
            while len(self._known) > _KNOWN_CHATS:
                self._known.popitem(last=False)
        return found
