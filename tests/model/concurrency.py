"""Concurrent actions in one chat. A witness sees all messages and determines their order; all other clients must
see the same order."""

from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple

from tests.clients.client import Client, Segment, Sight
from tests.clients.ourchat_v1 import V1
from tests.clients.pipe import Pipe
from tests.model.device import ModelDevice, ModelMismatch, expect_same
from tests.model.expected_frames import EXPECTED_FRAMES
from tests.model.harness import ModelHarness
from tests.model.model import Chat, MessagePosted, Notifications, SentMessage

SendStep = tuple[ModelDevice, tuple[Segment, ...]]
"""A client, and the segments that it sends."""


class ConcurrentChanges(NamedTuple):
    """What happens meanwhile. The user of a client that leaves or takes unread messages has no other client."""

    arrives: Callable[[], Client] | None
    """Logs in a user without a client that gets messages."""
    leaves: ModelDevice | None
    takes_unread: ModelDevice | None


class ConcurrentSend:
    def __init__(self, harness: ModelHarness, chat: Chat, witness: ModelDevice) -> None:
        self._harness = harness
        self._chat = chat
        self._witness = witness
        self._queues: dict[ModelDevice, deque[tuple[Segment, ...]]] = {}

    def run(self, words: Sequence[SendStep], meanwhile: ConcurrentChanges) -> None:
        harness, (arrives, leaves, takes_unread) = self._harness, meanwhile
        harness.note(f"in {self._chat.number} at once: {words}; {'one' if arrives else 'none'} comes, {leaves} leaves,")
        harness.note(f"{takes_unread} takes what is unread")
        self._witness.wait_until_not_holding()
        self._send_all(words)
        if takes_unread is not None and isinstance(takes_unread.client, Pipe):
            takes_unread.client.take_unread(None)
        arrived = arrives() if arrives else None
        seen = self._disconnect(leaves) if leaves else []
        before = len(self._chat.messages)
        self._resolve()
        if leaves is not None:
            self._match_read_before_leaving(leaves, self._chat.messages[before:], seen)
        if takes_unread is not None:
            self._expect_unread_taken(takes_unread)
        if arrived is not None:
            harness.enter(arrived, harness.model.users[arrived.account.id])
        harness.check()

    @classmethod
    def start_private_chat(
        cls, harness: ModelHarness, one: ModelDevice, other: ModelDevice, words: tuple[str, str]
    ) -> None:
        """Two users send their first messages to each other at once, and get one chat; `one` sees all messages."""
        harness.note(f"{one} and {other} say {words} to each other")
        one.client.send_message(0, words[:1], other.user.number)
        other.client.send_message(0, words[1:], one.user.number)
        rush = cls(harness, harness.private_chat(one.user, other.user), one)
        rush._queues = {one: deque([words[:1]]), other: deque([words[1:]])}
        rush._resolve()
        harness.check()

    def join(self, words: Sequence[SendStep], newcomer: ModelDevice, last: str) -> None:
        """A user joins an open group while others send, and receives all messages from some moment on, up to `last`."""
        harness, chat, number = self._harness, self._chat, newcomer.user.number
        harness.note(f"in {chat.number} at once: {words}; {newcomer} joins, {self._witness} says {last}")
        assert isinstance(newcomer.client, V1 | Pipe)
        self._witness.wait_until_not_holding()
        self._send_all(words)
        newcomer.client.apply(chat.number, "")
        harness.expect_notifications(harness.model.apply(chat, number, ""))
        first, before = chat.first.pop(number), len(chat.messages)
        self._resolve()
        chat.first[number] = first
        meanwhile = chat.messages[before:]
        self._send_all([(self._witness, (last,))])
        self._resolve()
        seen = newcomer.early_sights()
        wanted = [
            sight
            for message in meanwhile
            for sight in EXPECTED_FRAMES[newcomer.client.dialect](MessagePosted(message), harness.model)
        ]
        expect_same(newcomer, seen, wanted[len(wanted) - len(seen) :])
        harness.check()

    def _send_all(self, words: Sequence[SendStep]) -> None:
        for device, segments in words:
            self._queues.setdefault(device, deque()).append(segments)
            device.client.send_message(self._chat.number, segments, self._harness.address(device, self._chat))

    def _resolve(self) -> None:
        unanswered: list[tuple[ModelDevice, SentMessage]] = []
        while self._queues:
            sight = self._witness.client.see()
            if not self._witness.expects(sight):
                device, message, notifications = self._next(sight)
                self._harness.expect_notifications(notifications, by=device)
                if not device.client.sees_own:
                    unanswered.append((device, message))
            self._witness.match(sight)
        for device, message in unanswered:
            self._harness.acknowledge(device, message)

    def _next(self, sight: Sight) -> tuple[ModelDevice, SentMessage, Notifications]:
        """Each sender's own order is kept."""
        chat, shown = self._chat, EXPECTED_FRAMES[self._witness.client.dialect]
        for device, queue in self._queues.items():
            message = SentMessage(chat.number, chat.head + 1, device.user.number, device.client.dialect, queue[0])
            if shown(MessagePosted(message), self._harness.model)[0] == sight:
                queue.popleft()
                if not queue:
                    del self._queues[device]
                return device, *self._harness.record_message(chat, device, message.segments)
        raise ModelMismatch(f"{self._witness} sees {sight}, which nobody was to say next")

    # Clients that leave or take unread messages

    def _disconnect(self, device: ModelDevice) -> list[Sight]:
        self._harness.devices.remove(device)
        return device.client.last_sights()

    def _match_read_before_leaving(
        self, device: ModelDevice, messages: Sequence[SentMessage], seen: list[Sight]
    ) -> None:
        """The client has read the messages from the first on; the rest is unread."""
        for one in messages:
            if not seen:
                return
            wanted = EXPECTED_FRAMES[device.client.dialect](MessagePosted(one), self._harness.model)
            expect_same(device, seen[: len(wanted)], wanted)
            del seen[: len(wanted)]
            device.user.unread.remove(one)
        expect_same(device, seen, [])

    def _expect_unread_taken(self, device: ModelDevice) -> None:
        """Expects all unread messages, in any order with the messages sent meanwhile, which are pushed."""
        assert isinstance(device.client, Pipe)
        device.client.friends()  # an answer that comes after all of it
        unread, device.user.unread = device.user.unread, []
        for message in unread:
            device.expect(MessagePosted(message), anywhere=True)
