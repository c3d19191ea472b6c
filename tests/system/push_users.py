"""Simulated users in several dialects. They write, read, and change what notifies them, while processes are killed. The
module decides which notifications are right.

A change of a setting came into force at some moment between its request and its reply. So a notification is required,
or forbidden, only if this holds for every possible moment.
"""

import math
import random
import secrets
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from tests.support.chat_page import PASSWORD
from tests.support.cluster import Cluster
from tests.support.native_http import post
from tests.support.push_device import PushedDevice
from tests.support.waiting import WAIT_SECONDS, block_until
from tests.support.webhook_receiver import WebhookReceiver
from tests.system.chat.dialect_writer import DialectWriter, IrcWriter

_DIALECTS = ("ourchat-v1", "ourchat-v2", "pipe")
_OWN_MS, _STORED_MS = 50, 1_000
_LEVELS = ("all", "all", "mentions", "none")


def _now_ms() -> float:
    return time.time() * 1000


class TimedChange(NamedTuple):
    """A value that was set or read between two times."""

    value: Any
    began: float
    ended: float


class DeviceOwner:
    """A native user with a device. The user is also connected over IRC all the time."""

    def __init__(self, system: Cluster, service: WebhookReceiver, name: str) -> None:
        self.edge, self.service, self.device = system.edges[0], service, PushedDevice()
        username = f"{name}{secrets.token_hex(6)}"
        secret = {"scheme": "plain", "value": PASSWORD}
        registered = post(self.edge, "register", username=username, nickname=name, secret=secret).body
        self.account, self._token = registered["account"], registered["token"]
        self.key = self.call("push_key")["key"]
        self.call("subscribe", **self.device.members(service.url()))
        self.irc = IrcWriter(system.edges, username)
        self.levels = [TimedChange("all", 0, 0)]
        self.silenced = defaultdict[int, list[TimedChange]](lambda: [TimedChange(False, 0, 0)])
        self.reads = defaultdict[int, list[TimedChange]](list)

    def call(self, operation: str, **members: Any) -> dict[str, Any]:
        deadline = time.monotonic() + WAIT_SECONDS
        while True:
            try:
                reply = post(self.edge, operation, self._token, **members)
            except OSError:
                reply = None  # the edge waits for a process that was killed
            if reply is not None and reply.status == 200:
                return reply.body
            assert time.monotonic() < deadline, reply
            time.sleep(0.05)

    def change(self, known: list[TimedChange], value: Any, operation: str, **members: Any) -> None:
        began = _now_ms()
        self.call(operation, **members)
        known.append(TimedChange(value, began, _now_ms()))

    def shown(self) -> list[tuple[int, int]]:
        """Returns the chat and the index of each notification."""
        found = [self.device.read(one, self.key).shown["navigate"] for one in self.service.received]
        return [(int(chat), int(index)) for chat, index in (one.rsplit("/", 2)[1:] for one in found)]

    def wait_until_shown(self, wanted: Mapping[int, int]) -> None:
        """Waits for a notification of each of these messages, or of a later message in its chat.

        A device whose turn was in a process that was killed gets its next turn at the end of the lease, after 70 s.
        """

        def are_shown() -> bool:
            newest = dict(sorted(self.shown()))  # the dict keeps the highest index of each chat
            return all(newest.get(chat, 0) >= index for chat, index in wanted.items())

        block_until(are_shown, 2 * WAIT_SECONDS)

    def messages(self, chat: int) -> list[dict[str, Any]]:
        """Returns the newest messages of a chat, the oldest of them first."""
        found: list[dict[str, Any]] = self.call("history", chat=chat, count=200)["messages"]
        return found[::-1]

    # The methods below decide which notifications are right.

    def wishes(self, chat: int, message: dict[str, Any], *, is_private: bool) -> Iterator[bool]:
        """Yields whether the message must notify, for each setting that may have been in force since it was sent."""
        is_mention = any(one.get("account") == self.account for one in message["segments"])
        for level in _since(self.levels, message["time"]):
            for is_silent in _since(self.silenced[chat], message["time"]):
                wants_all = not is_silent and (level == "all" or (level == "mentions" and is_private))
                yield level != "none" and (wants_all or is_mention)


def _since(changes: Sequence[TimedChange], time: float) -> list[Any]:
    """Returns the values that may have been in force at this time or later."""
    ends = [*(one.ended for one in changes[1:]), math.inf]
    return [one.value for one, end in zip(changes, ends, strict=True) if end >= time]


class PushUsers:
    def __init__(
        self, system: Cluster, services: Sequence[WebhookReceiver], seed: int, delay_ms: float, processes: Sequence[str]
    ) -> None:
        self._system, self._random, self._delay_ms = system, random.Random(seed), delay_ms
        self.owners = [
            DeviceOwner(system, service, name) for service, name in zip(services, ("ann", "ben"), strict=True)
        ]
        self._writers = [DialectWriter(system.edges, one, secrets.token_hex(4)) for one in _DIALECTS]
        ann, ben = self.owners
        members = [ben.account, *(one.number for one in self._writers)]
        self._team: int = ann.call("create", name="Team", members=members)["chat"]
        self._private = {
            owner.call("open", account=writer.number)["chat"]: (owner, writer)
            for owner in self.owners for writer in self._writers
        }  # fmt: skip
        self._kills, self._killed = list(processes), list[float]()

    def run(self, steps: int) -> None:
        """Carries out random steps, and kills processes between them."""
        kill_at = sorted(self._random.sample(range(3, steps), len(self._kills)))
        for step in range(steps):
            if step in kill_at:
                self._killed.append(_now_ms())
                self._system.kill(self._kills.pop())
            writing = (self._write, self._write, self._write, self._mention)
            self._random.choice((*writing, self._read, self._answer, self._set))()
            time.sleep(self._random.choice((0, 0, 0.1, 0.5)))

    def close(self) -> None:
        for writer in self._writers:
            writer.close()
        for owner in self.owners:
            owner.irc.close()

    def _write(self) -> None:
        chat = self._random.choice([self._team, *self._private])
        writer = self._private[chat][1] if chat in self._private else self._random.choice(self._writers)
        writer.write(chat, "hello")

    def _mention(self) -> None:
        one, other = self._random.sample(self.owners, 2)
        segments = [{"t": "mention", "account": other.account, "text": "@you"}]
        one.call("send", chat=self._team, segments=segments, nonce=secrets.token_hex(8))

    def _read(self) -> None:
        owner = self._random.choice(self.owners)
        chat = self._random.choice([self._team, *self._chats_of(owner)])
        if found := owner.messages(chat):
            index = self._random.choice(found)["index"]
            owner.change(owner.reads[chat], index, "read", chat=chat, index=index)

    def _answer(self) -> None:
        self._random.choice(self.owners).irc.write(self._team, "an own message reads those before it")

    def _set(self) -> None:
        owner = self._random.choice(self.owners)
        if self._random.random() < 0.5:
            level = self._random.choice(_LEVELS)
            owner.change(owner.levels, level, "set_settings", level=level)
        else:
            is_silent = self._random.random() < 0.5
            silenced, team = owner.silenced[self._team], self._team
            owner.change(silenced, is_silent, "mute", chat=team, until=0, mentions_only=is_silent)

    def _chats_of(self, owner: DeviceOwner) -> list[int]:
        return [chat for chat, (one, _) in self._private.items() if one is owner]

    # The methods below decide which notifications are right.

    def demanded(self, owner: DeviceOwner) -> dict[int, int]:
        """Returns the newest message of each chat that must have notified this owner.

        It is unread, and all settings since it was sent want the notification.
        """
        found: dict[int, int] = {}
        for chat in (self._team, *self._chats_of(owner)):
            for one, reads in self._unanswered(owner, chat):
                if not reads and all(owner.wishes(chat, one, is_private=chat in self._private)):
                    found[chat] = one["index"]
        return found

    def forbidden(self, owner: DeviceOwner) -> set[tuple[int, int]]:
        """Returns the messages that must not notify: those that were read within the delay, the owner's own, and those
        that no setting wants.
        """
        found = {
            (chat, one["index"])
            for chat in (self._team, *self._chats_of(owner))
            for one, reads in self._unanswered(owner, chat)
            if any(self._is_stored(read, one["time"] + self._delay_ms) for read in reads)
            or not any(owner.wishes(chat, one, is_private=chat in self._private))
        }
        own = {(self._team, one["index"]) for one in owner.messages(self._team) if one["sender"] == owner.account}
        return found | own

    def _is_stored(self, read: TimedChange, due: float) -> bool:
        """Returns whether the read was certainly stored at the time `due`.

        Edges store reads within half a second, except while a process is killed. The owner's own messages also count as
        read.
        """
        is_own = read.began == read.ended
        margin_ms = _OWN_MS if is_own else _STORED_MS
        is_disturbed = not is_own and any(read.began - _STORED_MS < one < due + _STORED_MS for one in self._killed)
        return read.ended < due - margin_ms and not is_disturbed

    def _unanswered(self, owner: DeviceOwner, chat: int) -> Iterator[tuple[dict[str, Any], list[TimedChange]]]:
        """Yields the messages of others, each with the reads that include it."""
        messages = owner.messages(chat)
        own = [
            TimedChange(one["index"], one["time"], one["time"]) for one in messages if one["sender"] == owner.account
        ]
        for one in messages:
            if one["sender"] != owner.account:
                yield one, [read for read in (*own, *owner.reads[chat]) if read.value >= one["index"]]
