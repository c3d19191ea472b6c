"""From committed messages to envelopes: one per edge node and batch, counted so that a loss shows.

Counters start at 1 per subject and run. Heartbeats repeat those of the last ten minutes; one that is not named says
nothing. Counters of nodes that were sent nothing are kept all the same, so that none is ever set back for a node that
lives (a node is one run of one edge); only of more than 4,096 nodes the longest unused are forgotten.
"""

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from itertools import chain
from types import MappingProxyType
from typing import NamedTuple

import msgspec
import nats.errors

from services.message.adapters.roster_cache import Memberships, Roster
from services.message.domain import Said, size_of, size_of_face
from services.message.metrics import Metrics
from shared.contract import subjects
from shared.contract.edge import Delivery, Envelope, Heartbeat
from shared.contract.errors import Failure
from shared.contract.ids import AccountId, ChatId, NodeId
from shared.contract.model import MemberPair
from shared.database import now_ms
from shared.presence import Presence, PresenceSnapshot
from shared.settings import Message as MessageSettings
from shared.telemetry import log

_log = log(__name__)

_ALL = NodeId("all")
"""Counts the broadcasts."""
_BEAT_SECONDS = 1.0
_REPEATED_SECONDS = 600.0
_HEARD_SECONDS = 60.0
"""An edge that has neither said nor been told anything for so long is not counted."""
_NODES_KEPT = 4096
_ENVELOPE_BYTES = 480 * 1024
_RECIPIENT_BYTES = 9
_PAIR_BYTES = 19
_LISTED = 40_000
"""Recipients of one message that are named; more would not fit an envelope."""

Publish = Callable[[str, bytes], Awaitable[None]]
"""Hands a message to NATS. Raises nats.errors.Error."""

_pack = msgspec.msgpack.Encoder().encode


class _Route(NamedTuple):
    """Where a chat's messages go: by node (or `_ALL`) the recipients there, None for all its local members. `late`: who
    may not see all of them, and from which index on."""

    version: int
    recipients: dict[NodeId, list[AccountId] | None]
    pair: MemberPair | None = None
    late: Mapping[AccountId, int] = MappingProxyType({})

    def at(self, node: NodeId, index: int) -> list[AccountId] | None:
        """Who there is told of the message with this index."""
        recipients = self.recipients[node]
        if not self.late or recipients is None:
            return recipients
        return [account for account in recipients if self.late.get(account, 0) <= index]


_NOWHERE = _Route(0, {})


class Outgoing(NamedTuple):
    """A batch before it is told: of each chat the lowest index, the roster if one is known, and its version then.
    `big`: a chat of so many members is broadcast."""

    batch: Collection[Said]
    oldest: dict[ChatId, int]
    rosters: dict[ChatId, Roster]
    versions: dict[ChatId, int]
    accounts: set[AccountId]
    """Whose nodes are to be looked up."""
    big: int

    @property
    def chats(self) -> list[ChatId]:
        """Whose versions are to be looked up: not of those that are broadcast, whose members the edges know."""
        rosters, big = self.rosters, self.big
        return [chat for chat in self.oldest if chat not in rosters or len(rosters[chat].members) < big]


class Fanout:
    """One replica's. `deliver` one batch after the other; `run` beats beside it. A chat of `broadcast_members`, or of
    `broadcast_members_per_edge` for each edge that is heard of, goes to all edges."""

    def __init__(
        self,
        publish: Publish,
        presence: Presence,
        memberships: Memberships,
        metrics: Metrics,
        settings: MessageSettings,
    ) -> None:
        self.replica = secrets.token_hex(8)
        self.epoch = now_ms()
        self._publish = publish
        self._presence = presence
        self._memberships = memberships
        self._metrics = metrics
        self._biggest = self._big = min(settings.broadcast_members, _LISTED)
        self._per_edge = settings.broadcast_members_per_edge
        self._heard: dict[NodeId, float] = {}
        """The edges whose people spoke of late."""
        self._counters: dict[NodeId, int] = {}
        self._used: dict[NodeId, float] = {}

    def heard(self, node: NodeId) -> None:
        """There is an edge that speaks."""
        self._heard[node] = time.monotonic()

    # Envelopes

    def prepare(self, batch: Collection[Said]) -> Outgoing:
        """What must be looked up before they are delivered: after the commit, so that those who came are known."""
        oldest: dict[ChatId, int] = {}
        for message, _ in batch:
            oldest[message.chat] = min(message.index, oldest.get(message.chat, message.index))
        rosters = {chat: roster for chat in oldest if (roster := self._memberships.known(chat)) is not None}
        versions = {chat: roster.version for chat, roster in rosters.items()}
        return Outgoing(batch, oldest, rosters, versions, _listed(rosters.values(), self._big), self._big)

    async def deliver(self, outgoing: Outgoing, where: PresenceSnapshot) -> None:
        """Tell the edges; afterwards everything is handed to NATS, or a loss is announced. `where`: of the accounts and
        chats of `outgoing`, at least."""
        routes = await self._routes(outgoing, where)
        pages: dict[NodeId, list[Delivery]] = {}
        room: dict[NodeId, int] = {}
        for message, face in outgoing.batch:
            route = routes.get(message.chat, _NOWHERE)
            for node in route.recipients:
                recipients = route.at(node, message.index)
                if recipients == []:
                    continue
                size = size_of(message) + size_of_face(face) + _PAIR_BYTES + _RECIPIENT_BYTES * len(recipients or ())
                if size > room.get(node, 0):
                    await self._send(node, pages.pop(node, []))
                    room[node] = _ENVELOPE_BYTES
                room[node] -= size
                pages.setdefault(node, []).append(Delivery(message, recipients, route.version, route.pair, face))
        for node, deliveries in pages.items():
            await self._send(node, deliveries)

    async def _routes(self, outgoing: Outgoing, where: PresenceSnapshot) -> dict[ChatId, _Route]:
        """For each chat: by the members and their nodes as they are now. A chat without a roster is left out."""
        _, oldest, rosters, asked, _, big = outgoing
        named = where.versions
        moved = [chat for chat in oldest if _has_moved(rosters.get(chat), asked.get(chat), named.get(chat, 0), big)]
        if moved:
            where = await self._follow(moved, outgoing, where)
        if where.nodes is None:
            self._metrics.presence_unknown.inc()
        return {
            chat: _route(roster, named.get(chat, 0), where.nodes, oldest[chat], big) for chat, roster in rosters.items()
        }

    async def _follow(self, moved: list[ChatId], outgoing: Outgoing, where: PresenceSnapshot) -> PresenceSnapshot:
        """Membership has changed since it was checked: the members are the new ones."""
        rosters = outgoing.rosters
        for chat, roster in (await self._memberships.rosters(moved, where.versions)).items():
            if isinstance(roster, Failure):
                rosters.pop(chat, None)
                self.announce_loss()
            else:
                rosters[chat] = roster
        newer = await self._presence.lookup(_listed((rosters[chat] for chat in moved if chat in rosters), outgoing.big))
        if where.nodes is None or newer.nodes is None:
            return where._replace(nodes=None)
        return where._replace(nodes=where.nodes | newer.nodes)

    async def _send(self, node: NodeId, deliveries: list[Delivery]) -> None:
        if not deliveries:
            return
        payload = _pack(Envelope(self.replica, self.epoch, self._count(node), deliveries))
        self._metrics.envelope_bytes.observe(len(payload))
        try:
            await self._publish(subjects.BROADCAST if node == _ALL else subjects.deliver(node), payload)
        except nats.errors.Error as error:
            self._metrics.losses.inc()
            _log.warning("envelope lost", node=node, error=repr(error))

    def announce_loss(self) -> None:
        """Count a broadcast that is never sent: the next heartbeat makes every edge sync."""
        self._count(_ALL)
        self._metrics.losses.inc()

    def _count(self, node: NodeId) -> int:
        counter = self._counters.pop(node, 0) + 1
        self._counters[node] = counter
        self._used[node] = time.monotonic()
        if len(self._counters) > _NODES_KEPT:
            longest_unused = next(node for node in self._counters if node != _ALL)
            del self._counters[longest_unused], self._used[longest_unused]
        return counter

    # Heartbeats

    async def run(self) -> None:
        """Beat until cancelled."""
        while True:
            await self._beat()
            await asyncio.sleep(_BEAT_SECONDS)

    def _count_edges(self) -> None:
        since = time.monotonic() - _HEARD_SECONDS
        self._heard = {node: last for node, last in self._heard.items() if last > since}
        told = {node for node, last in self._used.items() if last > since}
        edges = len(told.union(self._heard) - {_ALL})
        self._big = min(self._biggest, self._per_edge * edges) if edges else self._biggest

    async def farewell(self) -> None:
        """Everything is sent; this replica will not be missed."""
        await self._beat(leaving=True)

    async def _beat(self, *, leaving: bool = False) -> None:
        self._count_edges()
        since = time.monotonic() - _REPEATED_SECONDS
        counters = {str(node): counter for node, counter in self._counters.items() if self._used[node] > since}
        try:
            await self._publish(subjects.HEARTBEAT, _pack(Heartbeat(self.replica, self.epoch, counters, leaving)))
        except nats.errors.Error as error:
            _log.warning("heartbeat lost", error=repr(error))


def _listed(rosters: Iterable[Roster], big: int) -> set[AccountId]:
    return set(chain.from_iterable(roster.members for roster in rosters if len(roster.members) < big))


def _has_moved(roster: Roster | None, asked: int | None, version: int, big: int) -> bool:
    """Whether there may be members whose nodes were not `asked` for. Edges know the members of big chats."""
    if roster is None:
        return True
    return len(roster.members) < big and (roster.version != asked or version > roster.confirmed)


def _route(
    roster: Roster, version: int, homes: dict[AccountId, tuple[NodeId, ...]] | None, oldest: int, big: int
) -> _Route:
    if len(roster.members) >= big:
        return _Route(max(version, roster.version), {_ALL: None}, roster.pair)
    late = roster.joined_after(oldest)
    if homes is None:
        return _Route(roster.version, {_ALL: list(roster.members)}, roster.pair, late)
    recipients: dict[NodeId, list[AccountId]] = {}
    for account in roster.members:
        for node in homes.get(account, ()):
            recipients.setdefault(node, []).append(account)
    return _Route(roster.version, {**recipients}, roster.pair, late)
