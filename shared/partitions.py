"""Partitions of chats and their owners among the live replicas of message; pure.

A chat belongs to a partition by its id, and a partition to the live replica with the highest score for it (rendezvous
hashing), spares aside. Processes that know the same replicas agree on every owner, and a replica that comes or goes
moves its own partitions only. An owner is a hint: locks, nonces and order in the database are the truth, so two owners
of a partition are slow, never wrong.
"""

import struct
from hashlib import shake_128

from shared.contract.ids import ChatId

LEASE_SECONDS = 2.5
"""A replica is live for so long after its last heartbeat: two heartbeats may be late."""
STOPPING = -1
"""The number of partitions that a replica names in its heartbeats when it stops."""

_MISSED_SECONDS = 60.0
"""By then a replica that disappeared without a word is in no queue group any more."""

_MIX = 0x9E3779B97F4A7C15
_64_BITS = 2**64 - 1


def partition_of(chat: ChatId, partitions: int) -> int:
    """The same in every process and version: they agree on the owners."""
    return (chat * _MIX & _64_BITS) * partitions >> 64


def _scores(replica: str, partitions: int) -> tuple[int, ...]:
    """The replica's score for each partition."""
    return struct.unpack(f">{partitions}Q", shake_128(replica.encode()).digest(8 * partitions))


class PartitionTable:
    """The owner of each partition among the replicas that were added."""

    def __init__(self, partitions: int) -> None:
        self._scores: dict[str, tuple[int, ...]] = {}
        self._owners = [""] * partitions

    def __contains__(self, replica: str) -> bool:
        return replica in self._scores

    def __len__(self) -> int:
        """The number of replicas."""
        return len(self._scores)

    def owner(self, chat: ChatId) -> str:
        """The owner of the chat's partition; empty without replicas."""
        return self._owners[partition_of(chat, len(self._owners))]

    def after(self, chat: ChatId, replica: str) -> str:
        """The replica that comes after this one, were it away: the first one after the last, also if that is the only
        one. The owner if this one is unknown; empty without replicas."""
        partition = partition_of(chat, len(self._owners))
        ranked = sorted(self._scores, key=lambda one: self._scores[one][partition], reverse=True)
        following = ranked[ranked.index(replica) + 1 :] if replica in self._scores else []
        return next(iter(following + ranked), "")

    def owned(self, replica: str) -> int:
        """The number of partitions that the replica owns."""
        return self._owners.count(replica)

    def add(self, replica: str) -> None:
        scores = self._scores[replica] = _scores(replica, len(self._owners))
        for partition, owner in enumerate(self._owners):
            if not owner or scores[partition] > self._scores[owner][partition]:
                self._owners[partition] = replica

    def discard(self, replica: str) -> None:
        if self._scores.pop(replica, None) is None:
            return
        for partition, owner in enumerate(self._owners):
            if owner == replica:
                self._owners[partition] = max(self._scores, key=lambda one: self._scores[one][partition], default="")


class LiveReplicas:
    """The replicas with a recent heartbeat, and the partitions that each owns. A spare owns none unless all others are
    suspended or gone. No partition has an owner while a live replica names another number of partitions (one of a
    version without partitions names 0): the replicas that agree may be too few. Times are of one monotonic clock,
    seconds."""

    def __init__(self, partitions: int) -> None:
        self._partitions = partitions
        self._table = PartitionTable(partitions)
        """Of the live replicas without the suspended ones."""
        self._owners = PartitionTable(partitions)
        """Of these without the spares."""
        self._spares: set[str] = set()
        self._last_heard: dict[str, float] = {}
        self._disagreeing: set[str] = set()
        self._missed: dict[str, float] = {}
        """The last heartbeats of replicas that disappeared without a word."""
        self._suspended_until: dict[str, float] = {}
        self._next_expiry = 0.0

    @property
    def is_sole(self) -> bool:
        """Whether one replica is live, and no other is missed."""
        return len(self._last_heard) + len(self._missed) <= 1

    def has_others(self, replica: str, now: float) -> bool:
        """Whether another replica is live."""
        self._expire(now)
        return not self._last_heard.keys() <= {replica}

    def __contains__(self, replica: str) -> bool:
        return replica in self._last_heard

    def heartbeat(self, replica: str, partitions: int, now: float, *, spare: bool = False) -> None:
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
        if spare is not (replica in self._spares):
            self._spares ^= {replica}
            self._discard(replica)  # it comes back as what it is now
        if replica not in self._table and now >= self._suspended_until.get(replica, 0.0):
            self._add(replica)

    def _add(self, replica: str) -> None:
        self._table.add(replica)
        if replica not in self._spares:
            self._owners.add(replica)

    def _discard(self, replica: str) -> None:
        self._table.discard(replica)
        self._owners.discard(replica)

    def owns(self, replica: str) -> bool:
        """Whether the replica is live and not suspended: it owns partitions, or could."""
        return replica in self._table

    def is_last(self, replica: str) -> bool:
        """Whether all others are suspended or gone."""
        return len(self._table) == 1 and replica in self._table

    def suspend(self, replica: str, until: float) -> None:
        """The replica owns nothing before its first heartbeat after `until`."""
        if self.owns(replica):
            self._suspended_until[replica] = until
            self._discard(replica)

    def resume(self, replica: str) -> None:
        """End a suspension."""
        if self._suspended_until.pop(replica, None) is not None and not self.owns(replica):
            self._add(replica)

    def owner(self, chat: ChatId, now: float) -> str:
        """The owner of the chat's partition; empty while there is none."""
        self._expire(now)
        return "" if self._disagreeing else self._owning.owner(chat)

    def after(self, chat: ChatId, replica: str, now: float) -> str:
        """See PartitionTable; empty while there is no owner."""
        self._expire(now)
        return "" if self._disagreeing else self._table.after(chat, replica)

    def owned(self, replica: str, now: float) -> int:
        """The number of partitions that the replica owns."""
        self._expire(now)
        return 0 if self._disagreeing else self._owning.owned(replica)

    @property
    def _owning(self) -> PartitionTable:
        return self._owners if len(self._owners) else self._table

    def _expire(self, now: float) -> None:
        """Cheap while nothing can have expired."""
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
        self._spares.discard(replica)
        self._discard(replica)
