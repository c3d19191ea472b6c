"""Fan-out: publishes committed messages as envelopes, one per edge node and batch, counted so that edges detect losses.

A heartbeat each second shows edges and the other replicas that this one is live, and repeats the counter of broadcasts.
What else reveals the loss of a last envelope goes to its own node: see edge_nodes.

While presence is unknown, save for the first seconds of this process, heartbeats request that edges announce their
accounts. What is broadcast then goes also, on its own subject, to each node that is known by its announcements, as far
as it concerns the node. A known node may stop to receive broadcasts; the others, of any version and however new, get
them all. Invariant: when a heartbeat names a node with a number, all envelopes that were routed without the
announcements up to this number have been published. So what is not sent to an account that had been announced was
committed before that heartbeat, and the node finds it by a sync.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from itertools import chain
from types import MappingProxyType
from typing import Final, NamedTuple

import msgspec
import nats.errors

from services.message.adapters.edge_nodes import ALL_NODES, BroadcastChoice, EdgeNodes
from services.message.adapters.ownership import Ownership
from services.message.adapters.roster_cache import RosterCache
from services.message.domain import MESSAGE_OVERHEAD_BYTES, CommittedMessage
from services.message.metrics import MessageMetrics
from services.message.service.ports import DeliveryPlan, PresenceLookup
from services.message.service.roster import Roster
from shared.clock import now_ms
from shared.contract import subjects
from shared.contract.edge import RECENT_JOINS, ChangeDelivery, Delivery, Envelope, Heartbeat, RecentJoins
from shared.contract.errors import Failure
from shared.contract.ids import AccountId, ChatId, NodeId
from shared.contract.model import MemberPair, Message
from shared.presence.store import Presence, PresenceSnapshot
from shared.settings import MessageSettings
from shared.telemetry import log

_log = log(__name__)

_HEARTBEAT_SECONDS = 1.0
_ENVELOPE_BYTES: Final = 480 * 1024
_RECIPIENT_BYTES: Final = 9
_PAIR_BYTES: Final = 21
"""With two bytes of a delivery without profile and quote."""
_PROFILE_OVERHEAD_BYTES: Final = 16
_CHARACTER_BYTES: Final = 4
_QUOTE_OVERHEAD_BYTES: Final = 7
_RECENT_BYTES: Final = 2 * _RECIPIENT_BYTES * RECENT_JOINS + 32
_CHANGING_SECONDS = 5.0
"""Then the notices of all joins have arrived, or are lost."""

PublishBytes = Callable[[str, bytes], Awaitable[None]]
"""Publishes a payload on a NATS subject. Raises nats.errors.Error."""

_pack: Final = msgspec.msgpack.Encoder().encode


class _ChatRoute(NamedTuple):
    """The destinations of a chat's messages: by node (or `ALL_NODES`) the recipients there, None for all its local
    members. `joined_later`: the first visible index of members that may not see all messages of the batch."""

    version: int
    recipients: dict[NodeId, list[AccountId] | None]
    pair: MemberPair | None = None
    joined_later: Mapping[AccountId, int] = MappingProxyType({})
    recent: RecentJoins | None = None
    """Of a broadcast."""

    def recipients_at(self, node: NodeId, index: int) -> list[AccountId] | None:
        """The recipients on a node of the message with this index."""
        recipients = self.recipients[node]
        if not self.joined_later or recipients is None:
            return recipients
        return [account for account in recipients if self.joined_later.get(account, 0) <= index]


_NO_ROUTE: Final = _ChatRoute(0, {})


class Fanout:
    """The fan-out of one replica: `prepare` and `deliver` one batch after the other, while `run` sends heartbeats."""

    def __init__(
        self,
        publish: PublishBytes,
        presence: Presence,
        rosters: RosterCache,
        metrics: MessageMetrics,
        settings: MessageSettings,
        ownership: Ownership,
        announce_to_hooks: Callable[[ChatId, int], None],
    ) -> None:
        self.replica = ownership.replica
        self.epoch = now_ms()
        self._publish = publish
        self._presence = presence
        self._rosters = rosters
        self._metrics = metrics
        self._ownership = ownership
        self._announce_to_hooks = announce_to_hooks
        self._nodes = EdgeNodes()
        self.edge_seen = self._nodes.heard
        self._choice = BroadcastChoice(settings.broadcast_members_per_edge, self._nodes)
        self._presence_losses = 0
        self._presence_known = False
        """It has been known since the start."""
        self._wants_accounts = False
        self._known_before: dict[NodeId, tuple[int, int]] | None = None
        """The nodes that were known when the delivery in progress began."""

    # Envelopes

    def plan(self, messages: Collection[CommittedMessage]) -> DeliveryPlan:
        oldest: dict[ChatId, int] = {}
        for one in messages:
            chat, index = one.message.chat, one.message.index
            oldest[chat] = min(index, oldest.get(chat, index))
        rosters = {chat: roster for chat in oldest if (roster := self._rosters.cached(chat)) is not None}
        versions = {chat: roster.version for chat, roster in rosters.items()}
        return DeliveryPlan(messages, oldest, rosters, versions, self._broadcast_of(rosters))

    def needs_lookup(self, plan: DeliveryPlan) -> bool:
        """See services.message.service.ports.FanoutPort."""
        return plan.oldest.keys() != plan.broadcast

    async def look_up(self, plan: DeliveryPlan | None, chats: Iterable[ChatId]) -> PresenceLookup:
        """The messages are committed already, so members that joined before are known. Edges know the members of
        broadcast chats: nothing is looked up for those."""
        accounts, named = set[AccountId](), set(chats)
        if plan is not None:
            accounts = _members_of(roster for chat, roster in plan.rosters.items() if chat not in plan.broadcast)
            named |= plan.oldest.keys() - plan.broadcast
        return await self._presence.lookup(accounts, named) if accounts or named else PresenceSnapshot({}, {})

    async def deliver(self, plan: DeliveryPlan, found: PresenceLookup) -> None:
        """Publish the messages to the edges of their recipients, in order; a loss is announced."""
        self._known_before = self._presence.known_nodes
        try:
            await self._deliver(plan, found)
        finally:
            self._known_before = None
        hooked = {chat for chat, roster in plan.rosters.items() if roster.has_hooks}
        for one in plan.messages if hooked else ():
            if one.message.chat in hooked:
                self._announce_to_hooks(one.message.chat, one.message.index)

    async def _deliver(self, plan: DeliveryPlan, found: PresenceLookup) -> None:
        routes = await self._routes(plan, found)
        pages: dict[NodeId, list[Delivery]] = {}
        space: dict[NodeId, int] = {}
        informed: set[ChatId] = set()
        for one in plan.messages:
            message = one.message
            route = routes.get(message.chat, _NO_ROUTE)
            recent = None if message.chat in informed else route.recent  # only in the first delivery of a broadcast
            informed.add(message.chat)
            content = _size(one) + (0 if recent is None else _RECENT_BYTES)
            for node in route.recipients:
                recipients = route.recipients_at(node, message.index)
                if recipients == []:
                    continue
                size = content + _RECIPIENT_BYTES * len(recipients or ())
                if size > space.get(node, 0):
                    await self._publish_envelope(node, pages.pop(node, []))
                    space[node] = _ENVELOPE_BYTES
                space[node] -= size
                delivery = Delivery(message, recipients, route.version, route.pair, one.profile, one.quote, recent)
                pages.setdefault(node, []).append(delivery)
        for node, deliveries in pages.items():
            await self._publish_envelope(node, deliveries)

    async def announce(self, message: Message, delivery: ChangeDelivery) -> None:
        """See services.message.service.changes.Announcer. The envelope counts like any other: its loss makes edges
        sync, which repeats messages, and clients see the lost change by its `rev`."""
        plan = self.plan([CommittedMessage(message)])
        routes = await self._routes(plan, await self.look_up(plan, ()))
        route = routes.get(message.chat, _NO_ROUTE)
        for node in route.recipients:
            recipients = route.recipients_at(node, message.index)
            if recipients != []:
                change = msgspec.structs.replace(delivery, recipients=recipients)
                await self._publish_envelope(node, [], [change])

    async def _routes(self, plan: DeliveryPlan, found: PresenceLookup) -> dict[ChatId, _ChatRoute]:
        """The route of each chat by its current members and their nodes. A chat without a roster is left out."""
        _, oldest, rosters, roster_versions, broadcast = plan
        nodes, versions = found.nodes, found.versions
        outdated = [
            chat
            for chat in oldest
            if chat not in broadcast
            and _is_outdated(rosters.get(chat), roster_versions.get(chat), self._newest(chat, versions))
        ]
        if outdated:
            nodes = await self._reload_rosters(outdated, plan, found)
        if nodes is None:
            self._metrics.presence_unknown.inc()
        routes = {
            chat: _broadcast_route(roster, self._newest(chat, versions))
            if chat in broadcast
            else self._named_route(chat, roster, nodes, oldest[chat])
            for chat, roster in rosters.items()
        }
        self._add_known_nodes(routes.values())
        return routes

    def _broadcast_of(self, rosters: Mapping[ChatId, Roster]) -> set[ChatId]:
        return {chat for chat, roster in rosters.items() if self._choice.is_broadcast(chat, len(roster.members))}

    def _named_route(
        self, chat: ChatId, roster: Roster, nodes: Mapping[AccountId, tuple[NodeId, ...]] | None, oldest: int
    ) -> _ChatRoute:
        if nodes is None:
            recipients: dict[NodeId, list[AccountId] | None] = {ALL_NODES: list(roster.members)}
        else:
            recipients = {**_by_node(roster.members, nodes)}
            self._choice.reached(chat, len(roster.members), len(recipients))
        return _ChatRoute(roster.version, recipients, roster.pair, roster.joined_after(oldest))

    def _add_known_nodes(self, routes: Collection[_ChatRoute]) -> None:
        """Those that may not receive the broadcasts get, on their own subjects, what concerns them."""
        broadcast = [route for route in routes if ALL_NODES in route.recipients]
        for node in self._presence.known_nodes if broadcast else ():
            for route in broadcast:
                members = route.recipients[ALL_NODES]
                here = None if members is None else self._presence.announced_at(node, members)
                if here != []:
                    route.recipients[node] = here

    def _newest(self, chat: ChatId, versions: Mapping[ChatId, int]) -> int:
        """The newest version of the chat that Redis or session has named, else 0."""
        return max(versions.get(chat, 0), self._rosters.announced(chat))

    async def _reload_rosters(
        self, outdated: list[ChatId], plan: DeliveryPlan, found: PresenceLookup
    ) -> Mapping[AccountId, tuple[NodeId, ...]] | None:
        """Replace the rosters of chats whose membership has changed since the lookup. Returns the nodes of all
        members; None if presence is unknown."""
        rosters = plan.rosters
        for chat, roster in (await self._rosters.load(outdated, found.versions)).items():
            if isinstance(roster, Failure):
                rosters.pop(chat, None)
                self.announce_loss()
            else:
                rosters[chat] = roster
        reloaded = {chat: rosters[chat] for chat in outdated if chat in rosters}
        plan.broadcast.update(self._broadcast_of(reloaded))
        named = (roster for chat, roster in reloaded.items() if chat not in plan.broadcast)
        newer = await self._presence.lookup(_members_of(named))
        if found.nodes is None or newer.nodes is None:
            return None
        return {**found.nodes, **newer.nodes}

    async def _publish_envelope(
        self, node: NodeId, deliveries: list[Delivery], changes: Sequence[ChangeDelivery] = ()
    ) -> None:
        if not deliveries and not changes:
            return
        payload = self._pack_envelope(self._nodes.next(node, time.monotonic()), deliveries, changes)
        self._metrics.envelope_bytes.observe(len(payload))
        try:
            await self._publish(subjects.BROADCAST if node == ALL_NODES else subjects.deliver(node), payload)
        except nats.errors.Error as error:
            self._metrics.losses.inc()
            _log.warning("envelope lost", node=node, error=repr(error))

    def _pack_envelope(self, counter: int, deliveries: list[Delivery], changes: Sequence[ChangeDelivery] = ()) -> bytes:
        return _pack(Envelope(self.replica, self.epoch, counter, deliveries, [*changes]))

    def announce_loss(self) -> None:
        """Count a broadcast that is never sent: the next heartbeat makes every edge sync. The next envelope makes those
        sync that do not receive broadcasts."""
        for node in (ALL_NODES, *self._presence.known_nodes):
            self._nodes.next(node, time.monotonic())
        self._metrics.losses.inc()

    # Heartbeats

    async def run(self) -> None:
        """Send heartbeats until cancelled."""
        while True:
            await self._beat()
            await asyncio.gather(self._check_presence(), asyncio.sleep(_HEARTBEAT_SECONDS))

    async def _check_presence(self) -> None:
        """Announces a loss when presence has lost its generation: messages before may have been sent by the data of a
        former primary, which lacks nodes."""
        unknown = (await self._presence.lookup()).nodes is None
        self._presence_known |= not unknown
        self._wants_accounts = unknown and (
            self._presence_known or self._wants_accounts or self._presence.is_unreachable
        )
        if self._presence.losses != self._presence_losses:
            self._presence_losses = self._presence.losses
            self.announce_loss()

    async def resign(self) -> None:
        """Edges send messages to the other replicas from now on."""
        self._ownership.resign()
        await self._beat()

    async def announce_shutdown(self) -> None:
        """Everything is published: edges need not miss this replica."""
        await self._beat(leaving=True)

    async def _beat(self, *, leaving: bool = False) -> None:
        now, partitions = time.monotonic(), self._ownership.announced
        self._nodes.update(now)
        self._choice.update()
        heartbeat = Heartbeat(
            self.replica, self.epoch, self._nodes.reported(now), leaving, now_ms(), partitions,
            wants_accounts=self._wants_accounts, known_nodes=self._known_nodes(), load=self._ownership.load(),
            spare=self._ownership.is_spare(),
        )  # fmt: skip
        try:
            for node in self._nodes.quiet(now, leaving=leaving):
                if (counter := self._nodes.next_empty(node)) is not None:
                    await self._publish(subjects.deliver(node), self._pack_envelope(counter, []))
            await self._publish(subjects.HEARTBEAT, _pack(heartbeat))
        except nats.errors.Error as error:
            _log.warning("heartbeat lost", error=repr(error))

    def _known_nodes(self) -> dict[NodeId, tuple[int, int]]:
        """Without those, and their announcements, that the delivery in progress may not have been routed by."""
        known, before = self._presence.known_nodes, self._known_before
        if before is None:
            return known
        return {node: before[node] for node in known if node in before and before[node][0] == known[node][0]}


def _size(one: CommittedMessage) -> int:
    """Bytes of its delivery on the bus, at most, without recipients."""
    size, profile, quote = len(one.message.body) + MESSAGE_OVERHEAD_BYTES + _PAIR_BYTES, one.profile, one.quote
    if profile is not None:
        size += _PROFILE_OVERHEAD_BYTES + _CHARACTER_BYTES * (len(profile.nickname) + len(profile.uuid))
    if quote is not None:
        size += _QUOTE_OVERHEAD_BYTES + len(quote.name.encode()) + len(quote.text.encode())
    return size


def _members_of(rosters: Iterable[Roster]) -> set[AccountId]:
    return set(chain.from_iterable(roster.members for roster in rosters))


def _is_outdated(roster: Roster | None, looked_up: int | None, version: int) -> bool:
    """Whether the chat, which is not broadcast, may have members whose nodes were not looked up. `looked_up`: the
    roster's version at the lookup."""
    return roster is None or roster.version != looked_up or version > roster.confirmed_version


def _broadcast_route(roster: Roster, version: int) -> _ChatRoute:
    """The edges know the members, but for the last ones: an edge would wait for their notices."""
    is_changing = version <= roster.version and time.monotonic() - roster.changed_at < _CHANGING_SECONDS
    recent = roster.recent_joins() if is_changing else None
    return _ChatRoute(max(version, roster.version), {ALL_NODES: None}, roster.pair, recent=recent)


def _by_node(
    members: Iterable[AccountId], nodes: Mapping[AccountId, tuple[NodeId, ...]]
) -> dict[NodeId, list[AccountId]]:
    recipients: dict[NodeId, list[AccountId]] = {}
    for account in members:
        for node in nodes.get(account, ()):
            recipients.setdefault(node, []).append(account)
    return recipients
