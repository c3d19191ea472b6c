"""Read receipts: shows the members of small chats what the others have read, gathered, now or never. In which chats
they are shown is requested from session, and for a while known."""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping

from services.edge.delivery.local_chats import LocalChats
from services.edge.ephemeral.read_notices import DueReads, ReadKey
from services.edge.presence.local_accounts import LocalAccount, LocalAccounts
from shared.bus.client import Bus
from shared.contract.ephemeral import ReadsAnnounced, ReceiptsShown
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.ids import AccountId, ChatId
from shared.contract.receipts import FindReaders, FindReadIndexes, FindReceiptChats, Readers, ReadIndex
from shared.tasks import Tasks

_KNOWN_SECONDS = 10.0
"""Then a new setting counts on all edges."""
_KNOWN_CHATS = 20_000
_MEMBERS = 100
"""Of a chat; in a bigger one nothing is shown."""
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


class ReceiptDisplay:
    def __init__(
        self, bus: Bus, accounts: LocalAccounts, chats: LocalChats, tasks: Tasks, known_receipts: KnownReceipts
    ) -> None:
        self._bus = bus
        self._accounts = accounts
        self._chats = chats
        self._known_receipts = known_receipts
        self._due = DueReads(self._show, tasks, "receipts")

    async def readers(self, command: FindReaders, actor: AccountId) -> Readers:
        """Raises RequestError."""
        command.actor = actor
        reply = await self._bus.request(FindReaders.route, command, seconds=_REQUEST_SECONDS, retry=True)
        if command.chat not in await self._known_receipts.members([command.chat]):
            raise RequestError(ErrorCode.FORBIDDEN, "this chat does not show what is read", "chat")
        return reply

    def receive(self, announced: ReadsAnnounced) -> None:
        if not self._accounts.ephemeral_connections:
            return
        viewers: dict[ChatId, list[AccountId]] = {}
        for place in announced.places:
            if place.chat not in viewers:
                viewers[place.chat] = [one.account for one in self._viewers(place.chat)]
            if viewers[place.chat] not in ([], [place.account]):
                self._due.add((place.account, place.chat))

    def _viewers(self, chat: ChatId) -> Iterable[LocalAccount]:
        """The members here with a connection that shows receipts."""
        sequencer = self._chats.sequencer(chat)
        if sequencer is None or len(sequencer.members) > _MEMBERS:
            return []
        local = filter(None, map(self._accounts.get, sequencer.members))
        return [one for one in local if any(recipient.shows_ephemeral for recipient in one.recipients)]

    async def _show(self, batch: Mapping[ReadKey, int]) -> None:
        sizes = await self._known_receipts.members({chat for _, chat in batch})
        shown = [(account, chat) for account, chat in batch if 0 < sizes.get(chat, 0) <= _MEMBERS]
        if not shown:
            return
        request = FindReadIndexes(shown)
        reply = await self._bus.request(FindReadIndexes.route, request, seconds=_REQUEST_SECONDS)
        by_chat: dict[ChatId, list[ReadIndex]] = {}
        for found in reply.found:
            by_chat.setdefault(found.chat, []).append(found)
        for chat, places in by_chat.items():
            self._push(chat, places)

    def _push(self, chat: ChatId, places: list[ReadIndex]) -> None:
        for viewer in self._viewers(chat):
            upto = tuple((one.account, one.index) for one in places if one.account != viewer.account)
            if upto:
                viewer.notify_ephemeral(ReceiptsShown(chat, upto))
