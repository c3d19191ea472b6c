"""Stops receiving broadcasts while every live replica of the message service knows the accounts on this node. The node
announces its accounts to the replicas.

A replica that cannot read presence sends its delivery batches as broadcasts to all nodes, instead of to single nodes.
The following rule always holds: this node receives broadcasts, unless all replicas have named this node in each of
their heartbeats. A replica that names the node also names a number. It then sends everything for the accounts that were
announced up to this number on the node's own subject. It may miss only events for accounts that were announced later.
The node syncs these accounts when all replicas have named the numbers of their announcements.

When a replica is new, was silent, or lacks an announcement, the node receives broadcasts again, and syncs all accounts.
The node first receives broadcasts and only then withdraws its announcements, so that no event is missed.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Collection

import nats.errors

from services.edge.delivery.ordering import SILENCE_SECONDS
from services.edge.presence.announcer import PresenceAnnouncer
from services.edge.presence.lease import BEATS_PER_LEASE
from services.edge.presence.local_accounts import LocalAccounts
from shared.contract.edge import Heartbeat
from shared.contract.ids import AccountId, NodeId
from shared.tasks import is_set_within
from shared.telemetry import log

_log = log(__name__)
_TICK_SECONDS = 0.25
_WANTED_SECONDS = 3.0
"""The time for which a heartbeat that asks for announcements is valid. If presence becomes known only for a moment, the
node keeps announcing."""
_OVERTAKING_SECONDS = 1.0
"""A node may handle a heartbeat this much earlier than a delivery batch that was published before the heartbeat."""
_UNCONFIRMED_SECONDS = 6.0
"""While broadcasts are received, a login is synced after this time, even if the heartbeats of some replica do not name
its announcement."""

ReceiveBroadcasts = Callable[[bool], Awaitable[None]]
"""Switches broadcasts to this process on or off, and returns when the change is in effect at NATS. Raises
nats.errors.Error."""
MarkStale = Callable[[str, Collection[AccountId] | None], None]
"""See services.edge.delivery.resync.Resync.mark_stale."""


class KnowingReplicas:
    """The accounts and broadcasts of this node that the live replicas know, according to their heartbeats. This class
    does no I/O. All times come from one monotonic clock."""

    def __init__(self, node: NodeId) -> None:
        self._node = node
        self._known: dict[tuple[str, int], tuple[float, tuple[int, int]]] = {}
        """For each replica and epoch: the time of the last heartbeat, and its numbers for this node."""
        self._wanted_until = float("-inf")

    def heartbeat(self, heartbeat: Heartbeat, now: float) -> bool:
        """Note a heartbeat. Returns whether the replica may have broadcast something for this node without also sending
        it on the node's own subject."""
        self._drop_silent(now)
        key = heartbeat.replica, heartbeat.epoch
        if heartbeat.leaving:
            self._known.pop(key, None)
            return False
        _, before = self._known.get(key, (now, (0, 0)))
        known = heartbeat.known_nodes.get(self._node, (0, 0))
        self._known[key] = now, known
        if heartbeat.wants_accounts:
            self._wanted_until = now + _WANTED_SECONDS
        return not known[0] or known[0] != before[0]

    def want_accounts(self, now: float) -> bool:
        return now < self._wanted_until

    def confirmed(self, first: int, now: float) -> int:
        """The number up to which all replicas know all announcements since the number `first`. The result is 0 if some
        replica does not know them, or if no replica is live."""
        self._drop_silent(now)
        known = [numbers for _, numbers in self._known.values()]
        return min((last if since >= first else 0 for since, last in known), default=0)

    def _drop_silent(self, now: float) -> None:
        self._known = {key: one for key, one in self._known.items() if now - one[0] <= SILENCE_SECONDS}


class BroadcastPause:
    def __init__(
        self,
        node: NodeId,
        accounts: LocalAccounts,
        announcer: PresenceAnnouncer,
        receive_broadcasts: ReceiveBroadcasts,
        mark_stale: MarkStale,
        lease_seconds: float,
    ) -> None:
        self._replicas = KnowingReplicas(node)
        self._accounts = accounts
        self._announcer = announcer
        self._receive_broadcasts = receive_broadcasts
        self._mark_stale = mark_stale
        self._beat_seconds = lease_seconds / BEATS_PER_LEASE
        self.paused = False
        self._broken = False
        """Whether something may have been broadcast for this node while it did not receive broadcasts."""
        self._confirmed: deque[tuple[float, int]] = deque()
        """The numbers that all replicas have named, and the times when they did."""
        self._changed = asyncio.Event()

    def receive(self, heartbeat: Heartbeat, now: float) -> None:
        self._broken |= self._replicas.heartbeat(heartbeat, now) and self.paused
        if self._broken or heartbeat.wants_accounts is not self._announcer.wanted:
            self._changed.set()

    async def run(self) -> None:
        """Runs until cancelled. Only a heartbeat can start or end a pause of the broadcasts. During a pause, and while
        announcements are not confirmed, the state is checked four times a second."""
        while True:
            has_begun = self.paused or self._announcer.wanted or self._announcer.unconfirmed
            await is_set_within(self._changed, _TICK_SECONDS if has_begun else None)
            self._changed.clear()
            try:
                await self.on_timer()
            except nats.errors.Error as error:
                _log.warning("the subscription to broadcasts was not changed", error=repr(error))

    async def on_timer(self) -> None:
        """Raises nats.errors.Error. The next call then tries again."""
        now, announcer = _now(), self._announcer
        wanted = self._replicas.want_accounts(now)
        is_due = now - announcer.listed_at >= self._beat_seconds
        if wanted and not announcer.wanted:
            announcer.want()
            is_due = True
        if wanted and is_due:
            await announcer.announce_all(self._accounts.present)
        confirmed = self._replicas.confirmed(announcer.first, now)
        if self.paused and (self._broken or not confirmed or not wanted):
            await self._resume(orderly=not self._broken and confirmed > 0)
        elif not self.paused and confirmed and wanted:
            await self._pause()
        if announcer.wanted and not wanted:
            await announcer.withdraw()
        self._confirm(confirmed, now)

    async def _pause(self) -> None:
        _log.info(
            "no longer subscribed to broadcasts, because replicas of the message service know this node's accounts"
        )
        self.paused, self._broken = True, False
        await self._receive_broadcasts(False)

    async def _resume(self, *, orderly: bool) -> None:
        _log.info("broadcasts are received again", orderly=orderly)
        self._broken |= not orderly
        await self._receive_broadcasts(True)
        self.paused = False
        if self._broken:
            self._broken = False
            self._mark_stale("messages for this node may have been lost", None)

    def _confirm(self, confirmed: int, now: float) -> None:
        """Sync the accounts whose login all replicas know. Messages that the replicas did not send to these accounts
        were committed before, so the sync finds all of them."""
        if not self._announcer.unconfirmed:
            self._confirmed.clear()
            return
        if confirmed:
            self._confirmed.append((now, confirmed))
        number = 0
        while self._confirmed and self._confirmed[0][0] <= now - _OVERTAKING_SECONDS:
            _, number = self._confirmed.popleft()
        before = float("-inf") if self.paused else now - _UNCONFIRMED_SECONDS
        if accounts := self._announcer.confirm(number, before):
            self._mark_stale("a login may have been announced to replicas too late", accounts)


def _now() -> float:
    return asyncio.get_running_loop().time()
