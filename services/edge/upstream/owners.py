"""The replica of message that owns a chat's partition, and how long this edge waits for its reply. Pure.

A replica that does not reply in time is suspended: the next owner serves its partitions. Each further time without a
reply between, the suspension is twice as long, so that a replica that can be heard but not reached costs little. The
last one is not suspended for being slow: the queue group has no better one. With several databases, the replicas of
each share out its partitions, and are a queue group of their own.
"""

from dataclasses import dataclass

from shared.contract.edge import Heartbeat
from shared.contract.ids import ChatId
from shared.partitions import STOPPING, LiveReplicas
from shared.placement import DatabaseDirectory

ANY = ""
"""Any replica of the queue group: there is one replica only, or no owner; or the database is unknown."""

_LEAST_SECONDS = 0.5
"""Far more than a reply takes, unless there is a queue."""
MOST_SECONDS = 2.0
_TIMES_SLOWER = 3.0
"""A reply may take so many times as long as the slowest recent one: an overloaded replica is not a dead one."""
_SLOWEST_DECAY = 0.9
"""By each reply."""
_SUSPENSION_SECONDS = 1.0
_DOUBLINGS = 4
"""A suspension lasts for 16 s at most."""


@dataclass(slots=True)
class _Replies:
    """The replies of one replica: seconds of the slowest recent one, silences since the last one."""

    slowest: float = 0.0
    silences: int = 0


class Owners:
    """Times are the event loop's. `partitions`: see MessageSettings. A receiver of messages is a replica, ANY, or one
    of several databases: any of its replicas."""

    def __init__(self, partitions: int) -> None:
        self._sole_database = LiveReplicas(partitions)
        self._directory = DatabaseDirectory()
        self._databases: dict[str, LiveReplicas] = {}
        """The replicas of each of several databases."""
        self._database_of: dict[str, str] = {}
        """Of the live replicas, and some former ones, with several databases."""
        self._replies: dict[str, _Replies] = {}
        """Of the live replicas, and some former ones."""

    def heartbeat(self, heartbeat: Heartbeat, now: float) -> None:
        replica, partitions = heartbeat.replica, heartbeat.partitions
        if (placement := heartbeat.placement) is not None:
            self._directory.claim(placement)
            if placement.database not in self._databases:
                self._databases[placement.database] = LiveReplicas(placement.partitions)
            self._database_of[replica] = placement.database
            partitions = partitions if partitions == STOPPING else placement.partitions
        replicas = self._replicas(replica)
        replicas.heartbeat(replica, partitions, now, spare=heartbeat.spare)
        if replica in replicas and replica not in self._replies:
            self._replies = {one: replies for one, replies in self._replies.items() if one in self._replicas(one)}
            self._database_of = {
                one: name for one, name in self._database_of.items() if one in self._replies or one == replica
            }
            self._replies[replica] = _Replies()

    def _replicas(self, replica: str) -> LiveReplicas:
        """The replicas of its database, itself among them if it is live."""
        return self._databases.get(self._database_of.get(replica, ""), self._sole_database)

    def owner(self, chat: ChatId, now: float) -> str:
        """The replica that owns the chat's partition; the database if there is none, or it is the only one."""
        replicas, group = self._of_chat(chat)
        return group if replicas.is_sole else replicas.owner(chat, now) or group

    def after(self, chat: ChatId, receiver: str, now: float) -> str:
        """The receiver to request after this one; the same one if there is no other."""
        replicas, group = self._of_chat(chat)
        return group if replicas.is_sole else replicas.after(chat, receiver, now) or group

    def _of_chat(self, chat: ChatId) -> tuple[LiveReplicas, str]:
        """The replicas of the chat's database, and the receiver that stands for any of them."""
        if not self._databases:
            return self._sole_database, ANY
        database = self._directory.database_of(chat)
        return self._databases.get(database, self._sole_database), database

    def database(self, chat: ChatId) -> str:
        """The chat's database; empty if there is one, or it is not known."""
        return self._directory.database_of(chat) if self._databases else ""

    def is_group(self, receiver: str) -> bool:
        """Whether it is no single replica."""
        return receiver == ANY or receiver in self._databases

    def seconds(self, replica: str) -> float:
        """How long to wait for the replica's reply."""
        if self._replicas(replica).is_last(replica):
            return MOST_SECONDS
        replies = self._replies[replica]
        return min(max(_LEAST_SECONDS, _TIMES_SLOWER * replies.slowest), MOST_SECONDS)

    def replied(self, replica: str, seconds: float) -> None:
        """Also after it was silent: it is suspended no longer."""
        self._replicas(replica).resume(replica)
        if replies := self._replies.get(replica):
            replies.slowest = max(seconds, replies.slowest * _SLOWEST_DECAY)
            replies.silences = 0

    def silent(self, replica: str, now: float) -> None:
        """The replica did not reply in time. Requests that were sent together count once."""
        replicas = self._replicas(replica)
        if replicas.owns(replica) and not replicas.is_last(replica):
            self.gone(replica, now)

    def gone(self, replica: str, now: float) -> None:
        """The replica does not serve."""
        replicas = self._replicas(replica)
        if not replicas.owns(replica):
            return
        replies = self._replies[replica]
        replies.slowest = max(_LEAST_SECONDS, replies.slowest)
        replicas.suspend(replica, now + _SUSPENSION_SECONDS * 2 ** min(replies.silences, _DOUBLINGS))
        replies.silences += 1
