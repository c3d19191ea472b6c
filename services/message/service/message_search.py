"""Finds one stored message for an operator: its place, its times, and which members it has arrived at."""

from collections.abc import Awaitable, Callable, Collection, Mapping

from services.message.domain import Cursor, first_undelivered, from_joining, undelivered_ranges
from services.message.service.ports import LookUpVersions, RosterPort
from services.message.service.roster import Roster
from services.message.store import MessageStore, Snapshot
from shared.contract.audit import FindMessage, StoredMessage
from shared.contract.errors import ErrorCode, Failure, RequestError
from shared.contract.ids import AccountId, NodeId
from shared.contract.model import Message
from shared.settings import MessageSettings
from shared.telemetry import log

_log = log(__name__)

LISTED_MEMBERS = 2_000
"""Members in one reply, at most."""

LookUpNodes = Callable[[Collection[AccountId]], Awaitable[Mapping[AccountId, tuple[NodeId, ...]] | None]]
"""Looks up the nodes of accounts in presence; None when they are unknown."""


class MessageSearch:
    def __init__(
        self,
        store: MessageStore,
        rosters: RosterPort,
        versions: LookUpVersions,
        nodes: LookUpNodes,
        settings: MessageSettings,
    ) -> None:
        self._store = store
        self._rosters = rosters
        self._versions = versions
        self._nodes = nodes
        self._pushed = settings.pushed_per_chat

    async def find(self, request: FindMessage) -> StoredMessage:
        """Raises RequestError."""
        _log.info("operator acts", act="find message", by="admin", chat=request.chat, index=request.index)
        message = await self._store.read(lambda snapshot: _find(snapshot, request))
        if message is None:
            raise RequestError(ErrorCode.NOT_FOUND, "there is no such message", "message")
        roster = (await self._rosters.load([message.chat], await self._versions([message.chat])))[message.chat]
        if isinstance(roster, Failure):
            raise RequestError.from_failure(roster)
        entitled = _entitled(roster, message)
        listed = dict(list(entitled.items())[:LISTED_MEMBERS])
        arrived, expired = await self._store.read(lambda snapshot: self._arrived(snapshot, message, listed))
        nodes = await self._nodes([message.sender, *listed])
        return StoredMessage(
            chat=message.chat,
            index=message.index,
            id=message.id,
            sender=message.sender,
            time=message.time,
            nonce=message.nonce,
            bytes=len(message.body),
            pair=roster.pair,
            read=arrived,
            expired=expired,
            more=len(entitled) - len(listed),
            nodes=None if nodes is None else {account: list(names) for account, names in nodes.items()},
        )

    def _arrived(
        self, snapshot: Snapshot, message: Message, members: Mapping[AccountId, int]
    ) -> tuple[dict[AccountId, bool], list[AccountId]]:
        """Which members the message has arrived at, and for which others it is too old to be pushed."""
        chat, index = message.chat, message.index
        head = snapshot.heads([chat]).get(chat, 0)
        cursors = snapshot.cursors([(account, chat) for account in members])
        arrived: dict[AccountId, bool] = {}
        expired: list[AccountId] = []
        for account, joined in members.items():
            cursor = from_joining(cursors.get((account, chat), Cursor()), joined)
            arrived[account] = cursor.covers(index)
            missed = undelivered_ranges(cursor, head, self._pushed)
            if not arrived[account] and index < first_undelivered(cursor, missed):
                expired.append(account)
        return arrived, expired


def _find(snapshot: Snapshot, request: FindMessage) -> Message | None:
    chat, index = request.chat, request.index
    if not chat:
        place = snapshot.place(request.id, request.nonce)
        if place is None:
            return None
        chat, index = place
    index = index or snapshot.heads([chat]).get(chat, 0)
    return next(snapshot.messages([(chat, index, index)]), None)


def _entitled(roster: Roster, message: Message) -> dict[AccountId, int]:
    """The members besides the sender that may see the message, and the first index that may be unread for each."""
    return {
        account: unread_from
        for account, (first, unread_from) in roster.members.items()
        if first <= message.index and account != message.sender
    }
