"""Connects the classes that handle ephemeral events, and receives the ephemeral events of all edges."""

from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Generic, TypeVar, assert_never

from services.edge.canonical.commands import AnnounceTyping
from services.edge.canonical.irc_commands import RelayTags
from services.edge.delivery.local_chats import LocalChats
from services.edge.ephemeral import events
from services.edge.ephemeral.events import OwnEvents, Publish
from services.edge.ephemeral.nicks import NickEvents
from services.edge.ephemeral.own_states import OwnStates
from services.edge.ephemeral.presence_watch import PresenceWatch
from services.edge.ephemeral.read_events import DueReads, ReadDisplay, ReadEvents, ReadKey
from services.edge.presence.local_accounts import LocalAccount, LocalAccounts
from services.edge.rate_limit import TokenBuckets
from services.edge.rpc.coalescer import RequestCoalescer
from shared.bus.client import Bus
from shared.clock import now_ms
from shared.contract.contacts import FindBlockedMembers
from shared.contract.ephemeral import (
    AwayChanged,
    BlocksChanged,
    ChatMuted,
    ChatPlaced,
    DraftChanged,
    EphemeralEvent,
    MetadataChanged,
    NickSeen,
    OperatorActed,
    OwnSettingsChanged,
    ReadsAnnounced,
    ReadsWanted,
    ReadTimeMoved,
    ReceiptsShown,
    TagsRelayed,
    Typing,
)
from shared.contract.errors import ErrorCode, Reason, RequestError
from shared.contract.ids import AccountId, ChatId, NodeId
from shared.contract.model import ProfileSummary
from shared.contract.receipts import FindReaders, FindReadIndexes, FindReceiptChats, Readers, ReadIndex
from shared.presence.store import Presence
from shared.tasks import Tasks
from shared.telemetry import log

_TYPING_KNOWN_SECONDS = 60.0
"""Replies about blocks are kept for this time. If an event about a block was lost, typing is shown wrongly at most
until then."""
_MEMBERS_PER_REQUEST = 100
_KNOWN_REPLIES = 100_000

K = TypeVar("K")
V = TypeVar("V")
_Place = tuple[AccountId, ChatId]
_TTL_MS = 6_000
_EVERY_SECONDS = 3.0


class _KnownReplies(Generic[K, V]):
    """Keeps replies of the session service, each for `seconds`."""

    def __init__(self, clock: Callable[[], float], seconds: float) -> None:
        self._clock = clock
        self._seconds = seconds
        self._known: OrderedDict[K, tuple[V, float]] = OrderedDict()
        """The replies, each with the time until which it is used."""
        self._forgotten = 0
        """How many times all replies were forgotten. A reply to a request from before that is returned, but not
        kept."""

    async def get(self, keys: Collection[K]) -> dict[K, V]:
        """Raises RequestError."""
        now, forgotten = self._clock(), self._forgotten
        found = {key: known[0] for key in keys if (known := self._known.get(key)) is not None and now < known[1]}
        if missing := [key for key in keys if key not in found]:
            fetched = await self._fetch(missing)
            found |= fetched
            if forgotten == self._forgotten:
                self._known.update((key, (value, now + self._seconds)) for key, value in fetched.items())
                while len(self._known) > _KNOWN_REPLIES:
                    self._known.popitem(last=False)
        return found

    def forget(self) -> None:
        self._forgotten += 1
        self._known.clear()

    async def _fetch(self, keys: list[K]) -> Mapping[K, V]:
        raise NotImplementedError


class KnownBlocks(_KnownReplies[_Place, bool]):
    """Whether one of two members blocks the other."""

    def __init__(self, bus: Bus, clock: Callable[[], float]) -> None:
        super().__init__(clock, _TYPING_KNOWN_SECONDS)
        self._bus = bus
        self._requests = RequestCoalescer("blocked members", self._find, _MEMBERS_PER_REQUEST)

    async def close(self) -> None:
        await self._requests.close()

    async def is_blocked(self, account: AccountId, chat: ChatId) -> bool:
        """Whether one member of a private chat blocks the other. The result is False in a group. Raises
        RequestError."""
        return (await self.get([(account, chat)]))[account, chat]

    async def _fetch(self, keys: list[_Place]) -> Mapping[_Place, bool]:
        return {key: await self._requests.get(key, _REQUEST_SECONDS) for key in keys}

    async def _find(self, members: Sequence[_Place]) -> Mapping[_Place, bool]:
        request = FindBlockedMembers(list(members))
        reply = await self._bus.send(request, seconds=_REQUEST_SECONDS)
        return dict.fromkeys(members, False) | dict.fromkeys(reply.members, True)


class TypingEvents:
    """Sends typing events from a connection to the members of its chat that are online and whose dialect has typing. In
    a private chat, nobody sees typing if one member blocks the other. `clock` is the clock of the connections. A task
    publishes each event, so no caller waits for it."""

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
        """Publish that a member has begun to write, or has stopped, at most once in 3 seconds for each member and chat.
        Further events are dropped. Raises RequestError."""
        local = self._accounts.get(actor)
        if local is None or command.chat not in local.chats:
            raise RequestError(
                ErrorCode.FORBIDDEN, "you are not a member of this chat", "chat", reason=Reason.NOT_MEMBER
            )
        if self._rates.take((actor, command.chat, command.on), self._clock()):
            typing = Typing(command.chat, actor, _TTL_MS if command.on else 0, local.summary)
            self._tasks.start(self._announce(typing), "typing")

    async def _announce(self, typing: Typing) -> None:
        try:
            if not await self._blocked.is_blocked(typing.account, typing.chat):
                await self._publish(typing)
        except RequestError as error:
            _log.info("typing not announced", chat=typing.chat, error=repr(error))

    def show(self, typing: Typing) -> None:
        """Push the event to the other members on this node."""
        sequencer = self._chats.sequencer(typing.chat)
        if sequencer is None or len(sequencer.members) > _MEMBERS:
            return
        for local in filter(None, map(self._accounts.get, sequencer.members)):
            if local.account != typing.account:
                local.notify_ephemeral(typing)


_KNOWN_SECONDS = 10.0
"""Replies about a group's setting are kept for this time. After it, a new setting applies on all edges."""
_MEMBERS = 100
"""The most members of a chat whose receipts are shown, and the most members on this node of a chat whose typing is
shown."""
_REQUEST_SECONDS = 2.0


class KnownReceipts(_KnownReplies[ChatId, int]):
    """The number of members of each chat in which receipts are shown, and 0 for other chats."""

    def __init__(self, bus: Bus, clock: Callable[[], float]) -> None:
        super().__init__(clock, _KNOWN_SECONDS)
        self._bus = bus

    async def _fetch(self, keys: list[ChatId]) -> Mapping[ChatId, int]:
        reply = await self._bus.send(FindReceiptChats(keys), seconds=_REQUEST_SECONDS)
        return {chat: reply.members.get(chat, 0) for chat in keys}


class ReceiptDisplay:
    """Sends read receipts, which show the members of small chats what other members have read. Several reads are shown
    together, and each is shown at once or never. The session service decides which chats show receipts, and its reply
    is kept for a while."""

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
        reply = await self._bus.send(command, seconds=_REQUEST_SECONDS, retry=True)
        if not (await self._known_receipts.get([command.chat]))[command.chat]:
            raise RequestError(
                ErrorCode.FORBIDDEN, "this chat does not show what is read", "chat", reason=Reason.SWITCHED_OFF
            )
        return reply

    def receive(self, announced: ReadsAnnounced) -> None:
        if not self._accounts.ephemeral_connections:
            return
        viewers: dict[ChatId, list[AccountId]] = {}
        for place in announced.places:
            if not place.index:  # index 0 only marks the chat as unread, which others do not see
                continue
            if place.chat not in viewers:
                viewers[place.chat] = [one.account for one in self._viewers(place.chat)]
            if viewers[place.chat] not in ([], [place.account]):
                self._due.add((place.account, place.chat))

    def _viewers(self, chat: ChatId) -> Iterable[LocalAccount]:
        """The local members that have a connection which shows receipts."""
        sequencer = self._chats.sequencer(chat)
        if sequencer is None or len(sequencer.members) > _MEMBERS:
            return []
        local = filter(None, map(self._accounts.get, sequencer.members))
        return [one for one in local if any(recipient.dialect.shows_ephemeral for recipient in one.recipients)]

    async def _show(self, batch: Mapping[ReadKey, int]) -> None:
        sizes = await self._known_receipts.get({chat for _, chat in batch})
        shown = [(account, chat) for account, chat in batch if 0 < sizes[chat] <= _MEMBERS]
        if not shown:
            return
        request = FindReadIndexes(shown)
        reply = await self._bus.send(request, seconds=_REQUEST_SECONDS)
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


_log = log(__name__)


class EphemeralHub:
    def __init__(
        self,
        bus: Bus,
        presence: Presence,
        accounts: LocalAccounts,
        chats: LocalChats,
        tasks: Tasks,
        clock: Callable[[], float],
        node: NodeId,
    ) -> None:
        self._publish = events.publisher(bus)
        self._blocked = KnownBlocks(bus, clock)
        self.typing = TypingEvents(self._publish, accounts, chats, self._blocked, tasks, clock)
        self.own = OwnEvents(self._publish, node, accounts)
        self.reads = ReadEvents(self._publish, node, accounts, tasks, clock)
        self._read_display = ReadDisplay(bus, node, accounts, tasks)
        self._known_receipts = KnownReceipts(bus, clock)
        self.receipts = ReceiptDisplay(bus, accounts, chats, tasks, self._known_receipts)
        self.states = OwnStates(presence, node, accounts, now_ms)
        self.watching = PresenceWatch(bus, presence, accounts, self.states, clock)
        self.nicks = NickEvents(self._publish, node, accounts, chats, tasks)
        events.subscribe(bus, self._receive)

    async def close(self) -> None:
        await self._blocked.close()

    async def relay_tags(self, command: RelayTags, actor: AccountId, face: ProfileSummary | None) -> None:
        """Raises RequestError, for example if one member of a private chat blocks the other."""
        if await self._blocked.is_blocked(actor, command.chat):
            raise RequestError(
                ErrorCode.FORBIDDEN, "this user does not accept your messages", "chat", reason=Reason.BLOCKED
            )
        self.nicks.relay(command, actor, face)

    async def blocks_changed(self, account: AccountId) -> None:
        """Announce to all edges that another account now blocks `account`, or no longer blocks it."""
        await self._publish(BlocksChanged(account))

    def _receive(self, event: EphemeralEvent) -> None:
        match event:
            case Typing():
                self.typing.show(event)
            case ChatMuted() | ChatPlaced() | DraftChanged() | OwnSettingsChanged() | ReadTimeMoved():
                self.own.receive(event)
            case ReadsAnnounced():
                self._read_display.receive(event)
                self.receipts.receive(event)
            case ReadsWanted():
                self.reads.wanted(event)
            case TagsRelayed() | AwayChanged() | MetadataChanged() | NickSeen() | OperatorActed():
                self.nicks.receive(event)
            case BlocksChanged(account):
                self._blocked.forget()
                self._known_receipts.forget()
                self.watching.check_again(account)
            case _:
                assert_never(event)
