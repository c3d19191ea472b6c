"""Partitions of chats, and the leaders of the partitions among the live replicas of the message service.

The id of a chat decides its partition. The leader of a partition is the live replica with the highest score for it
(rendezvous hashing); standbys do not count. Processes that know the same replicas agree on every leader. When a replica
is added or lost, only its own partitions get another leader. Correctness does not depend on the leader, because the
database has the locks, the nonces and the order. Two leaders of a partition only make posting slower.
"""

import struct
from hashlib import shake_128

from shared.contract.ids import ChatId

LEASE_SECONDS = 2.5
"""A replica counts as live for this time after its last heartbeat: so two heartbeats may be late."""
STOPPING = -1
"""The heartbeats of a replica that stops name this number of partitions."""

_MISSED_SECONDS = 60.0
"""If a replica has disappeared without announcing its end, it may still be in queue groups for this time."""

_MIX = 0x9E3779B97F4A7C15
_64_BITS = 2**64 - 1


def partition_of(chat: ChatId, partitions: int) -> int:
    """The partition of a chat. It is the same in every process and version, so that all of them agree on the
    leaders."""
    return (chat * _MIX & _64_BITS) * partitions >> 64


def _scores(replica: str, partitions: int) -> tuple[int, ...]:
    """The replica's score for each partition."""
    return struct.unpack(f">{partitions}Q", shake_128(replica.encode()).digest(8 * partitions))


class PartitionTable:
    """The leader of each partition among the replicas that were added."""

    def __init__(self, partitions: int) -> None:
        self._scores: dict[str, tuple[int, ...]] = {}
        self._leaders = [""] * partitions

    def __contains__(self, replica: str) -> bool:
        return replica in self._scores

    def __len__(self) -> int:
        """The number of replicas."""
        return len(self._scores)

    def leader(self, chat: ChatId) -> str:
        """The leader of the chat's partition; empty if there are no replicas."""
        return self._leaders[partition_of(chat, len(self._leaders))]

    def after(self, chat: ChatId, replica: str) -> str:
        """The next replica for the chat if this one is unavailable. After the last replica, the first one follows, even
        if there is only one. If this replica is unknown, the result is the leader. It is empty if there are no
        replicas."""
        partition = partition_of(chat, len(self._leaders))
        ranked = sorted(self._scores, key=lambda one: self._scores[one][partition], reverse=True)
        following = ranked[ranked.index(replica) + 1 :] if replica in self._scores else []
        return next(iter(following + ranked), "")

    def led(self, replica: str) -> int:
        """The number of partitions that the replica leads."""
        return self._leaders.count(replica)

    def add(self, replica: str) -> None:
        scores = self._scores[replica] = _scores(replica, len(self._leaders))
        for partition, leader in enumerate(self._leaders):
            if not leader or scores[partition] > self._scores[leader][partition]:
                self._leaders[partition] = replica

    def discard(self, replica: str) -> None:
        if self._scores.pop(replica, None) is None:
            return
        for partition, leader in enumerate(self._leaders):
            if leader == replica:
                self._leaders[partition] = max(self._scores, key=lambda one: self._scores[one][partition], default="")


class LiveReplicas:
    """The replicas with a recent heartbeat, and the partitions that each leads. A standby leads no partition unless all
    other replicas are suspended or gone. While a live replica names another number of partitions, no partition has a
    leader, because too few replicas may agree. Times are seconds of one monotonic clock."""

    def __init__(self, partitions: int) -> None:
        self._partitions = partitions
        self._table = PartitionTable(partitions)
        """The partition table of all live replicas that are not suspended."""
        self._leaders = PartitionTable(partitions)
        """The partition table of these replicas without the standbys."""
        self._standbys: set[str] = set()
        self._last_heard: dict[str, float] = {}
        self._disagreeing: set[str] = set()
        self._missed: dict[str, float] = {}
        """For each replica that has disappeared without announcing its end, the time of its last heartbeat."""
        self._suspended_until: dict[str, float] = {}
        self._next_expiry = 0.0

    @property
    def is_sole(self) -> bool:
        """Whether at most one replica is live or missing."""
        return len(self._last_heard) + len(self._missed) <= 1

    def has_others(self, replica: str, now: float) -> bool:
        """Whether another replica is live."""
        self._expire(now)
        return not self._last_heard.keys() <= {replica}

    def __contains__(self, replica: str) -> bool:
        return replica in self._last_heard

    def heartbeat(self, replica: str, partitions: int, now: float, *, standby: bool = False) -> None:
        if partitions == STOPPING:
            self._forget(replica)
            return
        if replica not in self._last_heard:
            self._missed.pop(replica, None)
            self._next_expiry = 0.0
        self._last_heard[replica] = now
        if partitions != self._partitions:
            self._disagreeing.add(replica)
            self._suspended_until.pop(replica, None)
            self._discard(replica)
            return
        self._disagreeing.discard(replica)
        if standby is not (replica in self._standbys):
            self._standbys ^= {replica}
            self._discard(replica)  # the replica is added again below, in its new state
        if replica not in self._table and now >= self._suspended_until.get(replica, 0.0):
            self._add(replica)

    def _add(self, replica: str) -> None:
        self._table.add(replica)
        if replica not in self._standbys:
            self._leaders.add(replica)

    def _discard(self, replica: str) -> None:
        self._table.discard(replica)
        self._leaders.discard(replica)

    def leads(self, replica: str) -> bool:
        """Whether the replica is live and not suspended, so that it leads partitions or can do so."""
        return replica in self._table

    def is_last(self, replica: str) -> bool:
        """Whether all other replicas are suspended or gone."""
        return len(self._table) == 1 and replica in self._table

    def suspend(self, replica: str, until: float) -> None:
        """Take all partitions from the replica until its first heartbeat after `until`."""
        if self.leads(replica):
            self._suspended_until[replica] = until
            self._discard(replica)

    def resume(self, replica: str) -> None:
        """End a suspension."""
        if self._suspended_until.pop(replica, None) is not None and not self.leads(replica):
            self._add(replica)

    def leader(self, chat: ChatId, now: float) -> str:
        """The leader of the chat's partition; empty while there is none."""
        self._expire(now)
        return "" if self._disagreeing else self._leading.leader(chat)

    def after(self, chat: ChatId, replica: str, now: float) -> str:
        """Like PartitionTable.after, but empty while there is no leader."""
        self._expire(now)
        return "" if self._disagreeing else self._table.after(chat, replica)

    def led(self, replica: str, now: float) -> int:
        """The number of partitions that the replica leads."""
        self._expire(now)
        return 0 if self._disagreeing else self._leading.led(replica)

    @property
    def _leading(self) -> PartitionTable:
        return self._leaders if len(self._leaders) else self._table

    def _expire(self, now: float) -> None:
        """Forget replicas without a recent heartbeat. The call returns at once while none can have expired."""
        if now <= self._next_expiry:
            return
        for replica, heard in list(self._last_heard.items()):
            if now - heard > LEASE_SECONDS:
                self._forget(replica)
                self._missed[replica] = heard
        self._missed = {replica: heard for replica, heard in self._missed.items() if now - heard <= _MISSED_SECONDS}
        leases = [heard + LEASE_SECONDS for heard in self._last_heard.values()]
        self._next_expiry = min(leases + [heard + _MISSED_SECONDS for heard in self._missed.values()], default=now)

    def _forget(self, replica: str) -> None:
        self._last_heard.pop(replica, None)
        self._suspended_until.pop(replica, None)
        self._missed.pop(replica, None)
        self._disagreeing.discard(replica)
        self._standbys.discard(replica)
        self._discard(replica)
