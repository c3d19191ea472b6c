"""Fan-out publishes committed messages to edges in delivery batches. For each commit, each edge node gets one batch.
The batches are numbered, so that edges detect losses.

A heartbeat each second shows edges and the other replicas that this replica is live, and repeats the counter of
broadcasts. If the last batch to a node is lost, only that node is told so: see EdgeNodes.

While presence is unknown, every message is broadcast with its recipients.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from itertools import chain
from types import MappingProxyType
from typing import Final, NamedTuple

import msgspec
import nats.errors

from services.message.adapters.leadership import Leadership
from services.message.adapters.member_list_cache import MemberListCache
from services.message.domain import MESSAGE_OVERHEAD_BYTES, CommittedMessage
from services.message.metrics import MessageMetrics
from services.message.service.member_list import ChatMembers
from services.message.service.ports import DeliveryPlan, PresenceLookup
from shared.clock import now_ms, until_next
from shared.contract import subjects
from shared.contract.edge import RECENT_JOINS, ChangeDelivery, Delivery, DeliveryBatch, Heartbeat, RecentJoins
from shared.contract.errors import Failure
from shared.contract.ids import AccountId, ChatId, NodeId
from shared.contract.model import MemberPair, Message
from shared.presence.store import Presence, PresenceSnapshot
from shared.settings.messages import MessageSettings
from shared.telemetry import log

ALL_NODES = NodeId("all")
"""In a mapping by node, this name stands for all nodes: the subject of broadcasts."""

_QUIET_SECONDS = 0.5
_REPETITIONS = 10
_REPORTED_SECONDS = 600.0
_MAX_NODES = 4096
_PRESENT_SECONDS = 60.0


class EdgeNodes:
    """The edge nodes, the numbers of this replica's delivery batches to each node, and the chats whose messages go to
    all nodes. Times are monotonic seconds.

    A node is one process of an edge. A node is present for a while after the node has sent a request, or after a
    delivery batch to the node.

    Batches for each node, and broadcasts, are numbered from 1, so that edges detect losses: a skipped number shows a
    loss. When a node has got nothing for half a second, an empty batch follows. It shows whether the last batch was
    lost. The empty batch may also be lost, so it is repeated for nine minutes, each time after twice the previous
    pause.

    Counters of idle nodes are kept, so that the counter of a living node never decreases. If there are more than 4,096
    nodes, those that have been idle longest are forgotten."""

    def __init__(self) -> None:
        self._counters: dict[NodeId, int] = {}
        """The last number for each node; the node that has been idle longest comes first."""
        self._last_sent: dict[NodeId, float] = {}
        self._closed: dict[NodeId, int] = {}
        """For each node, the number of empty batches since its last batch with content."""
        self._heard: dict[NodeId, float] = {}
        """The time of each node's last request."""
        self.present: set[NodeId] = set()

    def heard(self, node: NodeId, now: float) -> None:
        """Note that the node has sent a request."""
        self._heard[node] = now
        self.present.add(node)

    def update(self, now: float) -> None:
        """Find out which nodes are present. Called once a second."""
        since = now - _PRESENT_SECONDS
        self._heard = {node: heard for node, heard in self._heard.items() if heard > since}
        sent = [node for node, sent in self._last_sent.items() if sent > since]
        self.present = {*self._heard, *sent} - {ALL_NODES}

    def next(self, node: NodeId, now: float) -> int:
        """The number of the next delivery batch to the node."""
        counter = self._counters.pop(node, 0) + 1
        self._counters[node] = counter
        self._last_sent[node] = now
        self._closed.pop(node, None)
        if len(self._counters) > _MAX_NODES:
            longest_idle = next(node for node in self._counters if node != ALL_NODES)
            del self._counters[longest_idle], self._last_sent[longest_idle]
            self._closed.pop(longest_idle, None)
        return counter

    def quiet(self, now: float, *, leaving: bool = False) -> list[NodeId]:
        """The nodes that must get an empty batch now. With `leaving`, these are all nodes that have not got an empty
        batch since their last delivery batch."""
        return [node for node in self._last_sent if node != ALL_NODES and self._is_due(node, now, leaving=leaving)]

    def _is_due(self, node: NodeId, now: float, *, leaving: bool) -> bool:
        repetitions = self._closed.get(node, 0)
        if leaving:
            return not repetitions
        return repetitions < _REPETITIONS and now - self._last_sent[node] >= _QUIET_SECONDS * 2**repetitions

    def next_empty(self, node: NodeId) -> int | None:
        """The number of the next empty batch; None if the node has been forgotten."""
        if node not in self._counters:
            return None
        self._counters[node] += 1
        self._closed[node] = self._closed.get(node, 0) + 1
        return self._counters[node]

    def reported(self, now: float) -> dict[str, int]:
        """The counters that a heartbeat reports. If the last broadcast was long ago, its counter is left out."""
        if now - self._last_sent.get(ALL_NODES, -_REPORTED_SECONDS) >= _REPORTED_SECONDS:
            return {}
        return {ALL_NODES: self._counters[ALL_NODES]}


_MAX_NAMED_RECIPIENTS = 40_000
"""The most recipients of one message that fit into a delivery batch."""
_KNOWN_SECONDS = 30.0
"""The number of edges with members of a chat is remembered for this time. Then a message of the chat names its
recipients again."""


class _Reached(NamedTuple):
    edges: int
    at: float


class BroadcastChoice:
    """Decides which chats are broadcast to all edges. In the other chats, messages name their recipients, edge by edge.

    To name recipients, the replica must look up the edges of each member. A broadcast needs no lookup, but also goes to
    edges without a member. The choice compares these two costs: a lookup of `members_per_edge` members costs as much as
    one needless delivery batch. The last message that named its recipients shows how many edges hold members. Times are
    monotonic seconds."""

    def __init__(self, members_per_edge: int, nodes: EdgeNodes) -> None:
        self._per_edge = members_per_edge
        self._nodes = nodes
        self._reached: dict[ChatId, _Reached] = {}
        """For chats with many members: the number of edges to which the last message with named recipients went."""

    def update(self) -> None:
        """Forget outdated numbers of edges. Called once a second."""
        since = time.monotonic() - _KNOWN_SECONDS
        self._reached = {chat: one for chat, one in self._reached.items() if one.at > since}

    def reached(self, chat: ChatId, members: int, edges: int) -> None:
        """Note that a message with named recipients has gone to `edges` edges, in a chat with `members` members."""
        if members >= self._per_edge:
            self._reached[chat] = _Reached(edges, time.monotonic())

    def is_broadcast(self, chat: ChatId, members: int) -> bool:
        """Whether a message of the chat is broadcast. If nothing is known about the chat, it counts as a chat without
        members on any edge. While no edge is present, all recipients are named."""
        if members >= _MAX_NAMED_RECIPIENTS:
            return True
        if members < self._per_edge or not self._nodes.present:
            return False
        known = self._reached.get(chat)
        in_vain = len(self._nodes.present) - (0 if known is None else known.edges)
        return members >= self._per_edge * max(in_vain, 1)


_log = log(__name__)

_HEARTBEAT_SECONDS = 1.0
_BATCH_BYTES: Final = 480 * 1024
_RECIPIENT_BYTES: Final = 9
_PAIR_BYTES: Final = 21
"""The size of a private chat's member pair, with the two bytes of a delivery without profile and quote."""
_PROFILE_OVERHEAD_BYTES: Final = 16
_CHARACTER_BYTES: Final = 4
_QUOTE_OVERHEAD_BYTES: Final = 7
_RECENT_BYTES: Final = 2 * _RECIPIENT_BYTES * RECENT_JOINS + 32
_CHANGING_SECONDS = 5.0
"""After this time, the event of a join has arrived at the edges or is lost."""

PublishBytes = Callable[[str, bytes], Awaitable[None]]
"""Publishes a payload on a NATS subject. Raises nats.errors.Error."""

_pack: Final = msgspec.msgpack.Encoder().encode


class _ChatRoute:
    """The destinations of a chat's messages. For each node (or `ALL_NODES`), `recipients` has the recipients there, or
    None for all members that are local to the node. `joined_later`: members that may not see all messages of the batch,
    each with the first index that the member may see. `recent`: the recent joins, if the chat is broadcast."""

    __slots__ = ("joined_later", "pair", "recent", "recipients", "version")

    def __init__(
        self,
        version: int,
        recipients: dict[NodeId, list[AccountId] | None],
        pair: MemberPair | None = None,
        joined_later: Mapping[AccountId, int] = MappingProxyType({}),
        recent: RecentJoins | None = None,
    ) -> None:
        self.version = version
        self.recipients = recipients
        self.pair = pair
        self.joined_later = joined_later
        self.recent = recent

    def recipients_at(self, node: NodeId, index: int) -> list[AccountId] | None:
        """The recipients, on this node, of the message with this index."""
        recipients = self.recipients[node]
        if not self.joined_later or recipients is None:
            return recipients
        return [account for account in recipients if self.joined_later.get(account, 0) <= index]


_NO_ROUTE: Final = _ChatRoute(0, {})


class Fanout:
    """The fan-out of one replica. Implements services.message.service.ports.FanoutPort. `deliver` handles one batch
    after the other, while `run` sends heartbeats."""

    def __init__(
        self,
        publish: PublishBytes,
        presence: Presence,
        member_lists: MemberListCache,
        metrics: MessageMetrics,
        settings: MessageSettings,
        leadership: Leadership,
        announce_to_webhooks: Callable[[ChatId, int], None],
    ) -> None:
        self.replica = leadership.replica
        self.epoch = now_ms()
        self._publish = publish
        self._presence = presence
        self._member_lists = member_lists
        self._metrics = metrics
        self._leadership = leadership
        self._announce_to_webhooks = announce_to_webhooks
        self._nodes = EdgeNodes()
        self.edge_seen = self._nodes.heard
        self._choice = BroadcastChoice(settings.broadcast_members_per_edge, self._nodes)
        self._presence_losses = 0

    # Delivery batches

    def plan(self, messages: Collection[CommittedMessage]) -> DeliveryPlan:
        oldest: dict[ChatId, int] = {}
        for one in messages:
            chat, index = one.message.chat, one.message.index
            oldest[chat] = min(index, oldest.get(chat, index))
        member_lists = {
            chat: member_list for chat in oldest if (member_list := self._member_lists.cached(chat)) is not None
        }
        versions = {chat: member_list.version for chat, member_list in member_lists.items()}
        return DeliveryPlan(messages, oldest, member_lists, versions, self._broadcast_of(member_lists))

    def needs_lookup(self, plan: DeliveryPlan) -> bool:
        return plan.oldest.keys() != plan.broadcast

    async def look_up(self, plan: DeliveryPlan | None, chats: Iterable[ChatId]) -> PresenceLookup:
        """Look up the nodes of all members of the plan's chats, except in broadcast chats, whose members the edges
        know. The replica looks up after the commit, so that it knows all members who joined before."""
        accounts, named = set[AccountId](), set(chats)
        if plan is not None:
            accounts = _members_of(
                member_list for chat, member_list in plan.member_lists.items() if chat not in plan.broadcast
            )
            named |= plan.oldest.keys() - plan.broadcast
        return await self._presence.lookup(accounts, named) if accounts or named else PresenceSnapshot({}, {})

    async def deliver(self, plan: DeliveryPlan, found: PresenceLookup) -> None:
        await self._deliver(plan, found)
        has_webhook = {chat for chat, member_list in plan.member_lists.items() if member_list.has_webhooks}
        for one in plan.messages if has_webhook else ():
            if one.message.chat in has_webhook:
                self._announce_to_webhooks(one.message.chat, one.message.index)

    async def _deliver(self, plan: DeliveryPlan, found: PresenceLookup) -> None:
        routes = await self._routes(plan, found)
        pages: dict[NodeId, list[Delivery]] = {}
        space: dict[NodeId, int] = {}
        informed: set[ChatId] = set()
        for one in plan.messages:
            message = one.message
            chat = message.chat
            route = routes.get(chat, _NO_ROUTE)
            recent = route.recent
            if recent is not None:  # only the first delivery of a broadcast has the recent joins
                recent = None if chat in informed else recent
                informed.add(chat)
            content = _size(one) + (0 if recent is None else _RECENT_BYTES)
            for node in route.recipients:
                recipients = route.recipients_at(node, message.index)
                if recipients == []:
                    continue
                size = content + _RECIPIENT_BYTES * len(recipients or ())
                if size > space.get(node, 0):
                    await self._publish_batch(node, pages.pop(node, []))
                    space[node] = _BATCH_BYTES
                space[node] -= size
                delivery = Delivery(message, recipients, route.version, route.pair, one.profile, one.quote, recent)
                pages.setdefault(node, []).append(delivery)
        for node, deliveries in pages.items():
            await self._publish_batch(node, deliveries)

    async def announce(self, message: Message, delivery: ChangeDelivery) -> None:
        """Implements services.message.service.changes.Announcer. If the delivery batch is lost, edges notice by the
        chat's `rev` that they lack a change, and sync."""
        plan = self.plan([CommittedMessage(message)])
        routes = await self._routes(plan, await self.look_up(plan, ()))
        route = routes.get(message.chat, _NO_ROUTE)
        for node in route.recipients:
            recipients = route.recipients_at(node, message.index)
            if recipients != []:
                change = msgspec.structs.replace(delivery, recipients=recipients)
                await self._publish_batch(node, [], [change])

    async def _routes(self, plan: DeliveryPlan, found: PresenceLookup) -> dict[ChatId, _ChatRoute]:
        """The route of each chat, from its current members and their nodes. Chats without a member list are left
        out."""
        _, oldest, member_lists, member_list_versions, broadcast = plan
        nodes, versions = found.nodes, found.versions
        outdated = [
            chat
            for chat in oldest
            if chat not in broadcast
            and _is_outdated(member_lists.get(chat), member_list_versions.get(chat), self._newest(chat, versions))
        ]
        if outdated:
            nodes = await self._reload_member_lists(outdated, plan, found)
        if nodes is None:
            self._metrics.presence_unknown.inc()
        return {
            chat: _broadcast_route(member_list, self._newest(chat, versions))
            if chat in broadcast
            else self._named_route(chat, member_list, nodes, oldest[chat])
            for chat, member_list in member_lists.items()
        }

    def _broadcast_of(self, member_lists: Mapping[ChatId, ChatMembers]) -> set[ChatId]:
        return {
            chat
            for chat, member_list in member_lists.items()
            if self._choice.is_broadcast(chat, len(member_list.members))
        }

    def _named_route(
        self, chat: ChatId, member_list: ChatMembers, nodes: Mapping[AccountId, tuple[NodeId, ...]] | None, oldest: int
    ) -> _ChatRoute:
        if nodes is None:
            recipients: dict[NodeId, list[AccountId] | None] = {ALL_NODES: list(member_list.members)}
        else:
            recipients = _by_node(member_list.members, nodes)
            self._choice.reached(chat, len(member_list.members), len(recipients))
        return _ChatRoute(member_list.version, recipients, member_list.pair, member_list.joined_after(oldest))

    def _newest(self, chat: ChatId, versions: Mapping[ChatId, int]) -> int:
        """The newest version of the chat that Redis or session has named; 0 if there is none."""
        return max(versions.get(chat, 0), self._member_lists.announced(chat))

    async def _reload_member_lists(
        self, outdated: list[ChatId], plan: DeliveryPlan, found: PresenceLookup
    ) -> Mapping[AccountId, tuple[NodeId, ...]] | None:
        """Replace the member lists of chats whose membership has changed since the lookup. Returns the nodes of all
        members; None if presence is unknown."""
        member_lists = plan.member_lists
        for chat, member_list in (await self._member_lists.load(outdated, found.versions)).items():
            if isinstance(member_list, Failure):
                member_lists.pop(chat, None)
                self.announce_loss()
            else:
                member_lists[chat] = member_list
        reloaded = {chat: member_lists[chat] for chat in outdated if chat in member_lists}
        plan.broadcast.update(self._broadcast_of(reloaded))
        named = (member_list for chat, member_list in reloaded.items() if chat not in plan.broadcast)
        newer = await self._presence.lookup(_members_of(named))
        if found.nodes is None or newer.nodes is None:
            return None
        return {**found.nodes, **newer.nodes}

    async def _publish_batch(
        self, node: NodeId, deliveries: list[Delivery], changes: Sequence[ChangeDelivery] = ()
    ) -> None:
        if not deliveries and not changes:
            return
        payload = self._pack_batch(self._nodes.next(node, time.monotonic()), deliveries, changes)
        self._metrics.delivery_batch_bytes.observe(len(payload))
        try:
            await self._publish(subjects.BROADCAST if node == ALL_NODES else subjects.deliver(node), payload)
        except nats.errors.Error as error:
            self._metrics.losses.inc()
            _log.warning("delivery batch lost", node=node, error=repr(error))

    def _pack_batch(self, counter: int, deliveries: list[Delivery], changes: Sequence[ChangeDelivery] = ()) -> bytes:
        return _pack(DeliveryBatch(self.replica, self.epoch, counter, deliveries, [*changes]))

    def announce_loss(self) -> None:
        """Count a broadcast that is never sent. The next heartbeat then shows a loss, and every edge syncs."""
        self._nodes.next(ALL_NODES, time.monotonic())
        self._metrics.losses.inc()

    # Heartbeats

    async def run(self) -> None:
        """Send heartbeats until cancelled."""
        while True:
            await self._beat()
            await asyncio.gather(self._check_presence(), asyncio.sleep(until_next(_HEARTBEAT_SECONDS)))

    async def _check_presence(self) -> None:
        """Announces a loss when Redis has lost its data or fallen back to older data. Messages since then may not have
        been sent to some nodes."""
        await self._presence.lookup()
        if self._presence.losses != self._presence_losses:
            self._presence_losses = self._presence.losses
            self.announce_loss()

    async def resign(self) -> None:
        """Stops leading partitions, so that edges send messages to the other replicas from now on."""
        self._leadership.resign()
        await self._beat()

    async def announce_shutdown(self) -> None:
        """Announce to edges that all messages are published, so that edges do not wait for this replica."""
        await self._beat(leaving=True)

    async def _beat(self, *, leaving: bool = False) -> None:
        now, partitions = time.monotonic(), self._leadership.announced
        self._nodes.update(now)
        self._choice.update()
        heartbeat = Heartbeat(
            self.replica, self.epoch, self._nodes.reported(now), leaving, now_ms(), partitions,
            load=self._leadership.load(), spare=self._leadership.is_standby(),
        )  # fmt: skip
        try:
            for node in self._nodes.quiet(now, leaving=leaving):
                if (counter := self._nodes.next_empty(node)) is not None:
                    await self._publish(subjects.deliver(node), self._pack_batch(counter, []))
            await self._publish(subjects.HEARTBEAT, _pack(heartbeat))
        except nats.errors.Error as error:
            _log.warning("heartbeat lost", error=repr(error))


def _size(one: CommittedMessage) -> int:
    """The most bytes that the message takes in a delivery batch, without its recipients."""
    size, profile, quote = len(one.message.body) + MESSAGE_OVERHEAD_BYTES + _PAIR_BYTES, one.profile, one.quote
    if profile is not None:
        size += _PROFILE_OVERHEAD_BYTES + _CHARACTER_BYTES * (len(profile.nickname) + len(profile.uuid))
    if quote is not None:
        size += _QUOTE_OVERHEAD_BYTES + len(quote.name.encode()) + len(quote.text.encode())
    return size


def _members_of(member_lists: Iterable[ChatMembers]) -> set[AccountId]:
    return set(chain.from_iterable(member_list.members for member_list in member_lists))


def _is_outdated(member_list: ChatMembers | None, looked_up: int | None, version: int) -> bool:
    """Whether the member list has changed since the lookup, so that the nodes of some members may be missing.
    `looked_up`: the version of the member list at the lookup."""
    return member_list is None or member_list.version != looked_up or version > member_list.confirmed_version


def _broadcast_route(member_list: ChatMembers, version: int) -> _ChatRoute:
    """The route of a broadcast. Edges know all members except those that have just joined. So the route names these
    members. Otherwise an edge would wait for the events of their joins."""
    is_changing = version <= member_list.version and time.monotonic() - member_list.changed_at < _CHANGING_SECONDS
    recent = member_list.recent_joins() if is_changing else None
    return _ChatRoute(max(version, member_list.version), {ALL_NODES: None}, member_list.pair, recent=recent)


def _by_node(
    members: Iterable[AccountId], nodes: Mapping[AccountId, tuple[NodeId, ...]]
) -> dict[NodeId, list[AccountId] | None]:
    recipients: dict[NodeId, list[AccountId] | None] = {}
    for account in members:
        for node in nodes.get(account, ()):
            if (there := recipients.get(node)) is None:
                recipients[node] = [account]
            else:
                there.append(account)
    return recipients
