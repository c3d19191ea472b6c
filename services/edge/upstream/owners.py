"""The replica of message that owns a chat's partition, and how long this edge waits for its reply. Pure.

A replica that does not reply in time is suspended: the next owner serves its partitions. Each further time without a
reply between, the suspension is twice as long, so that a replica that can be heard but not reached costs little. The
last one is not suspended for being slow: the queue group has no better one.
"""

from dataclasses import dataclass

from shared.contract.edge import Heartbeat
from shared.contract.ids import ChatId
from shared.partitions import LiveReplicas

ANY = ""
"""Any replica of the queue group: there is one replica only, or no owner."""

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
    """Times are the event loop's. `partitions`: see MessageSettings. A receiver of messages is a replica, or ANY."""

    def __init__(self, partitions: int) -> None:
        self._replicas = LiveReplicas(partitions)
        self._replies: dict[str, _Replies] = {}
        """Of the live replicas, and some former ones."""

    def heartbeat(self, heartbeat: Heartbeat, now: float) -> None:
        replica = heartbeat.replica
        self._replicas.heartbeat(replica, heartbeat.partitions, now, spare=heartbeat.spare)
        if replica in self._replicas and replica not in self._replies:
            self._replies = {one: replies for one, replies in self._replies.items() if one in self._replicas}
            self._replies[replica] = _Replies()

    def owner(self, chat: ChatId, now: float) -> str:
        """The replica that owns the chat's partition; ANY if there is none, or it is the only one."""
        return ANY if self._replicas.is_sole else self._replicas.owner(chat, now) or ANY

    def after(self, chat: ChatId, receiver: str, now: float) -> str:
        """The receiver to request after this one; the same one if there is no other."""
        return ANY if self._replicas.is_sole else self._replicas.after(chat, receiver, now) or ANY

    def seconds(self, replica: str) -> float:
        """How long to wait for the replica's reply."""
        if self._replicas.is_last(replica):
            return MOST_SECONDS
        replies = self._replies[replica]
        return min(max(_LEAST_SECONDS, _TIMES_SLOWER * replies.slowest), MOST_SECONDS)

    def replied(self, replica: str, seconds: float) -> None:
        """Also after it was silent: it is suspended no longer."""
        self._replicas.resume(replica)
        if replies := self._replies.get(replica):
            replies.slowest = max(seconds, replies.slowest * _SLOWEST_DECAY)
            replies.silences = 0

    def silent(self, replica: str, now: float) -> None:
        """The replica did not reply in time. Requests that were sent together count once."""
        if self._replicas.owns(replica) and not self._replicas.is_last(replica):
            self.gone(replica, now)

    def gone(self, replica: str, now: float) -> None:
        """The replica does not serve."""
        if not self._replicas.owns(replica):
            return
        replies = self._replies[replica]
        replies.slowest = max(_LEAST_SECONDS, replies.slowest)
        self._replicas.suspend(replica, now + _SUSPENSION_SECONDS * 2 ** min(replies.silences, _DOUBLINGS))
        replies.silences += 1
