"""What an account has read on one connection, shown on its others. The truth is the read state of message: a connection
that misses a notice has it from its next sync."""

import asyncio

import nats.errors

from services.edge.ephemeral.signals import Publish
from services.edge.presence.local_accounts import LocalAccounts
from shared.contract.ephemeral import ChatRead, ReadPlace, ReadsAnnounced
from shared.contract.ids import AccountId, ChatId, NodeId
from shared.tasks import Tasks
from shared.telemetry import log

_log = log(__name__)
_GATHER_SECONDS = 1.0
_PLACES = 5_000
"""In one signal: some 100 KB."""


class ReadNotices:
    """Notices of a second share a signal."""

    def __init__(self, publish: Publish, node: NodeId, accounts: LocalAccounts, tasks: Tasks) -> None:
        self._publish = publish
        self._node = node
        self._accounts = accounts
        self._tasks = tasks
        self._waiting: dict[tuple[AccountId, ChatId], ReadPlace] = {}

    def announce(self, place: ReadPlace) -> None:
        """The last place of a chat counts, unless a higher one waits."""
        if not self._waiting:
            self._tasks.start(self._publish_soon(), "read notices")
        waiting = self._waiting.get((place.account, place.chat))
        if waiting is None or waiting.index <= place.index:
            self._waiting[place.account, place.chat] = place

    async def _publish_soon(self) -> None:
        await asyncio.sleep(_GATHER_SECONDS)
        places, self._waiting = list(self._waiting.values()), {}
        try:
            for start in range(0, len(places), _PLACES):
                await self._publish(ReadsAnnounced(self._node, places[start : start + _PLACES]))
        except nats.errors.Error as error:
            _log.info("reads not announced", reads=len(places), error=repr(error))

    def show(self, announced: ReadsAnnounced) -> None:
        """Pushes each place to the other connections of the account that are here."""
        for place in announced.places:
            local = self._accounts.get(place.account)
            for recipient in local.recipients if local is not None else ():
                if (announced.node, place.connection) != (self._node, recipient.number):
                    recipient.notify_ephemeral(ChatRead(place.chat, place.index))
