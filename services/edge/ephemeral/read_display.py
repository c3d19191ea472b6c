"""Shows an account's connections what it has read elsewhere, with what is still unread. Message is requested for that,
and only for accounts with connections here that show it."""

from itertools import islice

from services.edge.presence.local_accounts import LocalAccounts
from shared.bus.client import Bus
from shared.contract import subjects
from shared.contract.ephemeral import ChatRead, ReadPlace, ReadsAnnounced
from shared.contract.errors import RequestError
from shared.contract.ids import AccountId, ChatId, NodeId
from shared.contract.receipts import MAX_READ_INDEXES, FindReadIndexes, ReadIndex
from shared.tasks import Tasks
from shared.telemetry import log

_log = log(__name__)
_REQUEST_SECONDS = 2.0

_Key = tuple[AccountId, ChatId]


class ReadDisplay:
    """One request is in flight: an account's notices of a chat keep their order."""

    def __init__(self, bus: Bus, node: NodeId, accounts: LocalAccounts, tasks: Tasks) -> None:
        self._bus = bus
        self._node = node
        self._accounts = accounts
        self._tasks = tasks
        self._due: dict[_Key, int] = {}
        """The connection here that need not be notified; 0: none."""
        self._is_working = False

    def receive(self, announced: ReadsAnnounced) -> None:
        for place in announced.places:
            self._add(place, place.connection if announced.node == self._node else 0)
        if self._due and not self._is_working:
            self._is_working = True
            self._tasks.start(self._show_due(), "reads of accounts")

    def _add(self, place: ReadPlace, origin: int) -> None:
        key = place.account, place.chat
        local = self._accounts.get(place.account)
        recipients = local.recipients if local is not None else ()
        if any(one.shows_ephemeral and one.number != origin for one in recipients):
            self._due[key] = origin if key not in self._due else 0

    async def _show_due(self) -> None:
        try:
            while self._due:
                batch = dict(islice(self._due.items(), MAX_READ_INDEXES))
                for key in batch:
                    del self._due[key]
                for found in await self._find(batch):
                    self._show(found, batch.get((found.account, found.chat), 0))
        finally:
            self._is_working = False

    async def _find(self, members: dict[_Key, int]) -> list[ReadIndex]:
        try:
            request = FindReadIndexes(list(members), counts=True)
            reply = await self._bus.request(subjects.FIND_READ_INDEXES, request, seconds=_REQUEST_SECONDS)
        except RequestError as error:
            _log.info("reads not shown", reads=len(members), error=str(error))
            return []
        return reply.found

    def _show(self, found: ReadIndex, origin: int) -> None:
        local = self._accounts.get(found.account)
        shown = ChatRead(found.chat, found.index, found.unread, found.mentions)
        for recipient in local.recipients if local is not None else ():
            if recipient.number != origin:
                recipient.notify_ephemeral(shown)
