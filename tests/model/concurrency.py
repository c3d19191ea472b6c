"""Concurrent actions in one chat.

A witness is a client that sees all messages. Their order on this client counts, and all other clients must see the same
order. At the same time, native clients send replies and change messages.
"""

from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple

from tests.clients.client import Client, Sight
from tests.clients.native import Native
from tests.clients.ourchat_v1 import V1
from tests.clients.pipe import Pipe
from tests.model.concurrent_changes import ChangeStep, ConcurrentChanges, SendStep
from tests.model.device import ModelDevice, ModelMismatch, expect_same
from tests.model.expected_frames import EXPECTED_FRAMES, possible_frames, shown_way
from tests.model.harness import ModelHarness
from tests.model.model import Chat, MessagePosted, Notifications, SentMessage

Step = SendStep | ChangeStep


class Meanwhile(NamedTuple):
    """Steps that run at the same time as the messages.

    A client that leaves, or takes unread messages, is the only client of its user.
    """

    arrives: Callable[[], Client] | None
    """Logs in a user who has no other client that gets messages."""
    leaves: ModelDevice | None
    takes_unread: ModelDevice | None


class ConcurrentSend:
    def __init__(
        self, harness: ModelHarness, chat: Chat, witness: ModelDevice, scribe: ModelDevice | None = None
    ) -> None:
        """If messages are also changed, `scribe` is a native client that sees all changes.

        See concurrent_changes.py.
        """
        self._harness = harness
        self._chat = chat
        self._witness = witness
        self._changes = ConcurrentChanges(harness, chat, scribe)
        self._queues: dict[ModelDevice, deque[SendStep]] = {}

    def run(self, steps: Sequence[Step], meanwhile: Meanwhile) -> None:
        harness, (arrives, leaves, takes_unread) = self._harness, meanwhile
        harness.note(f"in {self._chat.number} at once: {steps}; {'one' if arrives else 'none'} comes, {leaves} leaves,")
        harness.note(f"{takes_unread} takes what is unread")
        self._witness.wait_until_not_holding()
        self._request_all(steps)
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
        self._changes.replay()
        if arrived is not None:
            harness.enter(arrived, harness.model.users[arrived.account.id])
        harness.check()
        self._changes.check(self._witness)

    @classmethod
    def start_private_chat(
        cls, harness: ModelHarness, one: ModelDevice, other: ModelDevice, words: tuple[str, str]
    ) -> None:
        """Two users send their first messages to each other at the same time.

        This must create only one chat, whose messages `one` must all see.
        """
        harness.note(f"{one} and {other} say {words} to each other")
        one.client.send_message(0, words[:1], other.user.number)
        other.client.send_message(0, words[1:], one.user.number)
        rush = cls(harness, harness.private_chat(one.user, other.user), one)
        rush._queues = {one: deque([SendStep(one, words[:1])]), other: deque([SendStep(other, words[1:])])}
        rush._resolve()
        harness.check()

    def join(self, steps: Sequence[SendStep], newcomer: ModelDevice, last: str) -> None:
        """A user joins an open group while others send.

        The user must receive all messages after some moment, up to `last`.
        """
        harness, chat, number = self._harness, self._chat, newcomer.user.number
        harness.note(f"in {chat.number} at once: {steps}; {newcomer} joins, {self._witness} says {last}")
        assert isinstance(newcomer.client, V1 | Pipe)
        self._witness.wait_until_not_holding()
        self._request_all(steps)
        newcomer.client.apply(chat.number, "")
        harness.expect_notifications(harness.model.apply(chat, number, ""))
        first, before = chat.first.pop(number), len(chat.messages)
        self._resolve()
        chat.first[number] = first
        meanwhile = chat.messages[before:]
        self._request_all([SendStep(self._witness, (last,))])
        self._resolve()
        received = self._match_since_joining(newcomer, meanwhile, newcomer.early_sights())
        self._match_first_unread(newcomer, [*received, chat.messages[-1]])
        harness.check()

    def _match_since_joining(
        self, newcomer: ModelDevice, messages: Sequence[SentMessage], seen: list[Sight]
    ) -> list[SentMessage]:
        """Checks that the new member has received the last messages of the chat completely, which were sent after it
        had joined. Returns these messages."""
        received: list[SentMessage] = []
        for message in reversed(messages):
            if not seen:
                break
            wanted = EXPECTED_FRAMES[newcomer.client.dialect](MessagePosted(message), self._harness.model)
            expect_same(newcomer, seen[-len(wanted) :], wanted)
            del seen[-len(wanted) :]
            received.append(message)
        expect_same(newcomer, seen, [])
        return received[::-1]

    def _match_first_unread(self, newcomer: ModelDevice, received: Sequence[SentMessage]) -> None:
        """Checks that the unread messages begin with a received one. If the group hides its history, the client sees
        only them.

        Received messages are not unread if they were sent before the join was finished.
        """
        chat, number = self._chat, newcomer.user.number
        first = self._harness.first_unread(newcomer.user, chat)
        unread = [message for message in received if message.index >= first]
        expect_same(newcomer, first, unread[0].index if unread else received[0].index)
        for message in unread:
            message.audience.add(number)
        if chat.first[number] > 1:
            chat.first[number] = first

    def _request_all(self, steps: Sequence[Step]) -> None:
        """Sends the requests of all steps without waiting between them.

        It waits only for the index of a message that is to be changed.
        """
        for step in steps:
            if isinstance(step, ChangeStep):
                self._changes.request(step)
            else:
                self._send(step)

    def _send(self, step: SendStep) -> None:
        self._queues.setdefault(step.device, deque()).append(step)
        chat, client = self._chat, step.device.client
        if isinstance(client, Native):
            self._changes.sent(step)
        if step.reply_to:
            assert isinstance(client, Native)
            client.reply_to(chat.number, step.reply_to, step.segments)
        else:
            client.send_message(chat.number, step.segments, self._harness.address(step.device, chat))

    def _resolve(self) -> None:
        self._changes.collect()
        unanswered: list[tuple[ModelDevice, SentMessage]] = []
        while self._queues:
            sight = self._witness.client.see()
            if not self._witness.expects(sight):
                device, message, notifications = self._next(sight)
                self._harness.expect_notifications(notifications, by=device)
                if not (device.client.sees_own or isinstance(device.client, Native)):
                    unanswered.append((device, message))
            self._witness.match(sight)
        for device, message in unanswered:
            self._harness.acknowledge(device, message)

    def _next(self, sight: Sight) -> tuple[ModelDevice, SentMessage, Notifications]:
        """Returns the sender and the message that this sight shows.

        Each sender's messages keep their order and the index of their reply.
        """
        chat, model, index = self._chat, self._harness.model, self._chat.head + 1
        replied = any(step.index == index for queue in self._queues.values() for step in queue)
        for device, queue in self._queues.items():
            step = queue[0]
            if step.index != (index if replied else 0):
                continue
            message = SentMessage(
                chat.number, index, device.user.number, device.client.dialect, step.segments, reply_to=step.reply_to
            )
            ways = possible_frames(self._witness.client.dialect, MessagePosted(message), model)
            if any(way[0] == sight for way in ways):
                queue.popleft()
                if not queue:
                    del self._queues[device]
                return device, *self._harness.record_message(chat, device, step.segments, step.reply_to)
        waiting = [queue[0] for queue in self._queues.values()]
        raise ModelMismatch(f"{self._witness} sees {sight} as {index}, which nobody was to say next: {waiting}")

    # In the methods below, clients leave or take their unread messages.

    def _disconnect(self, device: ModelDevice) -> list[Sight]:
        self._harness.devices.remove(device)
        return device.client.last_sights()

    def _match_read_before_leaving(
        self, device: ModelDevice, messages: Sequence[SentMessage], seen: list[Sight]
    ) -> None:
        """Checks that the client has received the messages from the first one on, without a hole.

        The remaining ones are undelivered.
        """
        for one in messages:
            if not seen:
                return
            ways = possible_frames(device.client.dialect, MessagePosted(one), self._harness.model)
            wanted = shown_way(ways, seen)
            expect_same(device, seen[: len(wanted)], wanted)
            del seen[: len(wanted)]
            device.user.undelivered.remove(one)
        expect_same(device, seen, [])

    def _expect_unread_taken(self, device: ModelDevice) -> None:
        """Expects all unread messages.

        They may come in any order with the messages that are sent and pushed meanwhile.
        """
        assert isinstance(device.client, Pipe)
        device.client.friends()  # the server replies to this request after it has sent all unread messages
        undelivered, device.user.undelivered = device.user.undelivered, []
        for message in undelivered:
            device.expect(MessagePosted(message), anywhere=True)
