"""Shows an account's connections what it has read elsewhere, with what is still unread. Message is requested for that,
and only for accounts with connections here that show it."""

from collections.abc import Mapping

from services.edge.ephemeral.due_reads import DueReads, ReadKey
from services.edge.presence.local_accounts import LocalAccounts
from shared.bus.client import Bus
from shared.contract.ephemeral import ChatRead, ReadPlace, ReadsAnnounced
from shared.contract.ids import NodeId
from shared.contract.receipts import FindReadIndexes, ReadIndex
from shared.tasks import Tasks

_REQUEST_SECONDS = 2.0


class ReadDisplay:
    def __init__(self, bus: Bus, node: NodeId, accounts: LocalAccounts, tasks: Tasks) -> None:
        self._bus = bus
        self._node = node
        self._accounts = accounts
        self._due = DueReads(self._show, tasks, "reads of accounts")

    def receive(self, announced: ReadsAnnounced) -> None:
        for place in announced.places:
            self._add(place, place.connection if announced.node == self._node else 0)

    def _add(self, place: ReadPlace, origin: int) -> None:
        local = self._accounts.get(place.account)
        recipients = local.recipients if local is not None else ()
        if any(one.shows_ephemeral and one.number != origin for one in recipients):
            self._due.add((place.account, place.chat), origin)

    async def _show(self, batch: Mapping[ReadKey, int]) -> None:
        request = FindReadIndexes(list(batch), counts=True)
        reply = await self._bus.request(FindReadIndexes.route, request, seconds=_REQUEST_SECONDS)
        for found in reply.found:
            self._notify(found, batch.get((found.account, found.chat), 0))

    def _notify(self, found: ReadIndex, origin: int) -> None:
        local = self._accounts.get(found.account)
        shown = ChatRead(found.chat, found.index, found.unread, found.mentions)
        for recipient in local.recipients if local is not None else ():
            if recipient.number != origin:
                recipient.notify_ephemeral(shown)
