"""Changes of messages that native users make at the same time, while messages are sent.

A scribe is a native client that makes no changes and sees all of them. Their order on the scribe counts: the replies
must fit it, and all other clients must see the same order.
"""

from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass

from tests.clients.client import RequestRejected, Segment, Sight
from tests.clients.native import Native
from tests.model import changes
from tests.model.changes import CHANGE_KINDS, ChangeCommand
from tests.model.device import ModelDevice, ModelMismatch, expect_same
from tests.model.harness import ModelHarness
from tests.model.model import Chat, Forbidden, Named, SentMessage
from tests.model.queries import check_history, check_listed_changes, check_missed, check_native_history

_PAGE = 200


@dataclass(repr=False, eq=False)
class SendStep(Named):
    """A message to send. `index` is set when a native client has read the reply."""

    device: ModelDevice
    segments: tuple[Segment, ...]
    reply_to: int = 0
    index: int = 0

    def __repr__(self) -> str:
        return f"{self.device} says {self.segments}{f' to {self.reply_to}' if self.reply_to else ''}"


@dataclass(repr=False, eq=False)
class ChangeStep(Named):
    """A change to request. `target` is an earlier message, or a message that a native client sends at the same time.

    `rev` is the `rev` of the reply, or None if the reply is an error.
    """

    device: ModelDevice
    target: SentMessage | SendStep
    command: ChangeCommand
    rev: int | None = None

    def __repr__(self) -> str:
        what = self.target.index if isinstance(self.target, SentMessage) else f"<{self.target}>"
        return f"{self.device} of {what}: {self.command}"


@dataclass(frozen=True)
class SeenChange:
    """A change in the form in which the scribe sees it."""

    rev: int
    index: int
    command: ChangeCommand

    def is_made_by(self, step: ChangeStep) -> bool:
        return self == SeenChange(step.rev or 0, step.target.index, step.command)


class ConcurrentChanges:
    def __init__(self, harness: ModelHarness, chat: Chat, scribe: ModelDevice | None) -> None:
        """`scribe` is None if no messages are changed."""
        self._harness = harness
        self._chat = chat
        self._scribe = scribe
        self._before = chat.head, chat.rev
        self._unanswered: dict[ModelDevice, deque[SendStep | ChangeStep]] = {}
        """The unanswered requests of each native client, in order."""
        self._sent: list[SendStep] = []
        self._steps: list[ChangeStep] = []
        self._made: list[SeenChange] = []
        self._set_aside: list[Sight] = []
        """Events that the scribe has seen before the model expects them."""

    # Requests and replies

    def sent(self, step: SendStep) -> None:
        """Notes that a native client has sent the message of this step."""
        self._sent.append(step)
        self._unanswered.setdefault(step.device, deque()).append(step)

    def request(self, step: ChangeStep) -> None:
        """Requests a change. If its message is sent at the same time, waits until its index is known."""
        while not step.target.index:
            assert isinstance(step.target, SendStep)
            self._read_reply(step.target.device)
        client, command = _native(step.device), step.command
        client.send_change(
            self._chat.number, step.target.index, command.kind, command.segments, command.emoji, on=command.on
        )
        self._steps.append(step)
        self._unanswered.setdefault(step.device, deque()).append(step)

    def _read_reply(self, device: ModelDevice) -> None:
        step = self._unanswered[device].popleft()
        if isinstance(step, SendStep):
            step.index = _native(device).acknowledged()
        else:
            with suppress(RequestRejected):
                step.rev = _native(device).changed_rev()

    # The methods below check the order of the changes.

    def collect(self) -> None:
        """Reads all replies, and the changes that the scribe sees.

        From these, computes all versions of the changed messages.
        """
        for device, unanswered in self._unanswered.items():
            while unanswered:
                self._read_reply(device)
        last = max([step.rev or 0 for step in self._steps], default=0)
        if last <= self._chat.rev or self._made:
            return
        self._made = self._see_changes(last)
        expect_same(self._scribe, [one.rev for one in self._made], [*range(self._chat.rev + 1, last + 1)])
        sent = {step.index: self._as_sent(step) for step in self._sent}
        for one in self._made:
            if not any(map(one.is_made_by, self._steps)):
                raise ModelMismatch(f"{self._scribe} sees {one}, which nobody has made: {self._described()}")
            message = sent.get(one.index) or self._chat.message(one.index)
            place = self._chat.number, one.index
            versions = self._harness.model.versions.setdefault(place, [changes.copied(message)])
            versions.append(changes.after(versions[-1], one.command))

    def _see_changes(self, last: int) -> list[SeenChange]:
        """Returns the changes of this chat that the scribe sees, up to the last rev."""
        assert self._scribe is not None
        seen: list[SeenChange] = []
        while not seen or seen[-1].rev < last:
            try:
                sight = self._scribe.client.see()
            except TimeoutError:
                raise ModelMismatch(f"{self._scribe} sees {seen}, and not the change {last}") from None
            self._set_aside.append(sight)
            if sight.kind in CHANGE_KINDS and sight.values["chat"] == self._chat.number:
                seen.append(_seen_change(sight))
        return seen

    def _as_sent(self, step: SendStep) -> SentMessage:
        sender = step.device
        return SentMessage(
            self._chat.number, step.index, sender.user.number, sender.client.dialect, step.segments,
            reply_to=step.reply_to,
        )  # fmt: skip

    # In the model

    def replay(self) -> None:
        """Makes the changes in the model, in the order of their revs, and matches the frames that the scribe has
        already seen.

        The requests of a client are carried out in the order in which it sent them.
        """
        waiting: dict[ModelDevice, deque[ChangeStep]] = {}
        for step in self._steps:
            waiting.setdefault(step.device, deque()).append(step)
        for one in self._made:
            self._skip_without_effect(waiting.values())
            queue = next((queue for queue in waiting.values() if queue and one.is_made_by(queue[0])), None)
            if queue is None:
                raise ModelMismatch(f"{one} was made before its time: {self._described()}")
            self._make(queue.popleft())
        self._skip_without_effect(waiting.values())
        if any(waiting.values()):
            raise ModelMismatch(f"the replies belong to no order of the changes {self._made}: {self._described()}")
        for sight in self._set_aside:
            assert self._scribe is not None
            self._scribe.match(sight)

    def _make(self, step: ChangeStep) -> None:
        try:
            notifications = changes.change(self._chat, self._target(step), step.command)
        except Forbidden:
            notifications = []
        if not notifications:
            raise ModelMismatch(f"{step} was carried out as {step.rev}, and should not be: {self._made}")
        expect_same(step, step.rev, self._chat.rev)
        self._harness.expect_notifications(notifications, by=step.device)

    def _skip_without_effect(self, waiting: Iterable[deque[ChangeStep]]) -> None:
        """Skips steps that have no effect at this moment.

        Their replies must say this: the change is rejected, or was made before.
        """
        for queue in waiting:
            while queue and self._has_no_effect(queue[0]):
                queue.popleft()

    def _has_no_effect(self, step: ChangeStep) -> bool:
        chat, message, command = self._chat, self._target(step), step.command
        if changes.is_forbidden(chat, message, command):
            return step.rev is None
        return changes.is_made(chat, message, command) and step.rev == changes.last_rev(chat, message, command.kind)

    def _target(self, step: ChangeStep) -> SentMessage:
        return self._chat.message(step.target.index)

    def _described(self) -> str:
        return ", ".join(f"{step} got {step.rev}" for step in self._steps)

    # Afterwards

    def check(self, witness: ModelDevice) -> None:
        """Checks that each native client, a client of service, and a client that was offline meanwhile get the present
        text.

        From now on, each message has only one possible version again.
        """
        model, chat = self._harness.model, self._chat
        model.versions.clear()
        if not self._made:
            return
        for device in self._harness.devices:
            if isinstance(device.client, Native) and device.user.number in chat.first:
                check_native_history(model, device, chat)
                check_listed_changes(device, device.client, chat)
        reader = self._harness.token_client(witness.user.number)
        check_history(model, ModelDevice(reader, witness.user, model, pushes=False), chat, 9, chat.before, _PAGE)
        reader.line.close()
        self._check_absentee()

    def _check_absentee(self) -> None:
        """Checks the events that a new connection of the scribe's user has missed. No event is stored for this user."""
        assert self._scribe is not None
        user, client = self._scribe.user, Native(self._harness.edges[0])
        client.login_by_token(self._harness.accounts[user.number])
        absentee = ModelDevice(client, user, self._harness.model, pushes=False)
        check_missed(self._harness.model, absentee, client, self._chat, self._before)
        client.line.close()


def _native(device: ModelDevice) -> Native:
    assert isinstance(device.client, Native)
    return device.client


def _seen_change(sight: Sight) -> SeenChange:
    values = sight.values
    command = ChangeCommand(
        CHANGE_KINDS[sight.kind],
        values["by"],
        values.get("segments", ()),
        values.get("emoji", ""),
        values.get("on", True),
    )
    return SeenChange(values["rev"], values["index"], command)
