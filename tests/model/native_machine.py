"""The state machine for actions of native users.

Users of the older protocols must see the frames in the table of docs/protocols.
"""

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from tests.clients.native import Native
from tests.clients.ourchat_v0 import V0
from tests.clients.ourchat_v1 import V1
from tests.clients.ourchat_v2 import V2
from tests.clients.pipe import Pipe
from tests.model import native_actions
from tests.model.changes import ChangeCommand, ChangeKind
from tests.model.concurrency import ConcurrentSend, Step
from tests.model.concurrent_changes import ChangeStep, SendStep
from tests.model.device import ModelDevice
from tests.model.machine import MOST_DEVICES, Machine, data, flags
from tests.model.model import LOBBY, Chat, ModelUser, Role, Rules, SentMessage
from tests.model.queries import check_native_history

_EMOJI = ("👍", "❤️")
_NEWEST = 6
_MOST_CHANGED = 2
_FEW = 3
"""The number of native clients that is enough: the scribe, and two that change messages."""
Choice = tuple[ModelDevice, Chat, SentMessage]


class NativeMachine(Machine):
    # The rules below send replies and change messages.

    def choose_message(self, choice: st.DataObject, *, own: bool = False) -> Choice:
        """Chooses a native client and one of the newest messages.

        With `own`, this is mostly a message of the client's user; otherwise, mostly one that the user can see.
        """
        possible = [
            (device, chat, message)
            for device in self.devices(Native) for chat in self.chats for message in chat.messages[-_NEWEST:]
        ]  # fmt: skip
        sound = [
            (device, chat, message) for device, chat, message in possible
            if (message.sender == device.user.number if own else message in chat.visible_to(device.user.number))
        ]  # fmt: skip
        return self.prefer(choice, "who, where and which", sound, possible)

    def has_messages(self) -> bool:
        return bool(self.devices(Native)) and any(chat.messages for chat in self.chats)

    @precondition(has_messages)
    @rule(choice=data)
    def reply_to(self, choice: st.DataObject) -> None:
        device, chat, message = self.choose_message(choice)
        self.harness.send(device, chat, self.segments(choice, device), message.index)

    @precondition(has_messages)
    @rule(choice=data)
    def edit(self, choice: st.DataObject) -> None:
        device, chat, message = self.choose_message(choice, own=True)
        command = ChangeCommand("edit", device.user.number, self.segments(choice, device))
        native_actions.change(self.harness, device, chat, message, command)

    @precondition(has_messages)
    @rule(choice=data)
    def recall(self, choice: st.DataObject) -> None:
        device, chat, message = self.choose_message(choice, own=True)
        native_actions.change(self.harness, device, chat, message, ChangeCommand("recall", device.user.number))

    @precondition(has_messages)
    @rule(choice=data, emoji=st.sampled_from(_EMOJI), on=flags)
    def react(self, choice: st.DataObject, emoji: str, on: bool) -> None:
        device, chat, message = self.choose_message(choice)
        command = ChangeCommand("reaction", device.user.number, emoji=emoji, on=on)
        native_actions.change(self.harness, device, chat, message, command)

    @precondition(has_messages)
    @rule(choice=data, on=flags)
    def pin(self, choice: st.DataObject, on: bool) -> None:
        device, chat, message = self.choose_message(choice)
        native_actions.change(self.harness, device, chat, message, ChangeCommand("pin", device.user.number, on=on))

    # At once

    @precondition(lambda self: self.places(V0, V1, V2))
    @rule(choice=data)
    def rush(self, choice: st.DataObject) -> None:
        """Several clients send at the same time, and native clients change messages.

        Meanwhile, an absent user may log in, and a client may leave.
        """
        self._act_at_once(choice, choice.draw(st.integers(2, 8)), choice.draw(st.integers(0, 4)))

    @precondition(lambda self: self.places(V0, V1, V2))
    @rule(choice=data)
    def rush_of_changes(self, choice: st.DataObject) -> None:
        self._act_at_once(choice, choice.draw(st.integers(1, 3)), choice.draw(st.integers(4, 12)))

    def _act_at_once(self, choice: st.DataObject, messages: int, changes: int) -> None:
        witness, chat = self.pick(choice, "who sees all, and where", self.places(V0, V1, V2))
        there = self.possible_speakers(chat)
        if not there:
            return
        scribe = self._choose_scribe(choice, chat)
        sends = [self._choose_send(choice, chat, there) for _ in range(messages)]
        steps: list[Step] = [*sends]
        if scribe is not None:
            steps += self._choose_changes(choice, chat, scribe, sends, changes)
        meanwhile = self.meanwhile(choice, chat, {witness, *(step.device for step in sends)})
        steps = _in_possible_order(choice.draw(st.permutations(steps)))
        ConcurrentSend(self.harness, chat, witness, scribe).run(steps, meanwhile)

    def _choose_scribe(self, choice: st.DataObject, chat: Chat) -> ModelDevice | None:
        """Returns a native client that sees all changes and makes none.

        Returns None if no other client can make them.
        """
        there = [one for one in self.devices(Native) if one.user.number in chat.first]
        if not there:
            return None
        members = [one for one in self.users if one.number in chat.first and self.has_password(one)]
        if members and len(self.harness.devices) < MOST_DEVICES and (len(there) < _FEW or choice.draw(flags)):
            user = self.pick(choice, "who logs in, and sees all changes", members)
            return self.harness.login(user, Native, choice.draw(st.integers(0, 1)), bare=False, push=False)
        return self.pick(choice, "who sees all changes", there) if len(there) > 1 else None

    def _choose_send(self, choice: st.DataObject, chat: Chat, there: list[ModelDevice]) -> SendStep:
        device = self.pick(choice, "who sends", there)
        visible = chat.visible(device.user.number)[-_NEWEST:]
        answers = isinstance(device.client, Native) and bool(visible) and choice.draw(flags)
        reply_to = self.pick(choice, "reply to", visible).index if answers else 0
        return SendStep(device, self.segments(choice, device), reply_to)

    def _choose_changes(
        self, choice: st.DataObject, chat: Chat, scribe: ModelDevice, sends: list[SendStep], number: int
    ) -> list[ChangeStep]:
        """Chooses changes of only a few messages, so that some changes are of the same message.

        No user makes the same change twice, because the replies would not show to which of the two they belong.
        """
        there = [one for one in self.devices(Native) if one.user.number in chat.first and one is not scribe]
        visible = chat.visible(scribe.user.number)
        targets: list[SentMessage | SendStep] = [*visible[-_NEWEST:]]
        targets += [step for step in sends if isinstance(step.device.client, Native)]
        if not targets:
            return []
        targets = choice.draw(st.lists(st.sampled_from(targets), min_size=1, max_size=_MOST_CHANGED))
        chosen: dict[tuple[SentMessage | SendStep, ChangeCommand], ChangeStep] = {}
        for _ in range(number):
            device = self.pick(choice, "who changes", there)
            own = [one for one in targets if _sender(one) == device.user.number]
            kind: ChangeKind = self.pick(choice, "how", ("edit", "edit", "recall", "reaction", "reaction", "pin"))
            target = self.prefer(choice, "which", own if kind in ("edit", "recall") else targets, targets)
            command = self._choose_command(choice, device, kind)
            chosen.setdefault((target, command), ChangeStep(device, target, command))
        return [*chosen.values()]

    def _choose_command(self, choice: st.DataObject, device: ModelDevice, kind: ChangeKind) -> ChangeCommand:
        segments = self.segments(choice, device) if kind == "edit" else ()
        emoji = choice.draw(st.sampled_from(_EMOJI)) if kind == "reaction" else ""
        on = kind in ("edit", "recall") or choice.draw(flags)
        return ChangeCommand(kind, device.user.number, segments, emoji, on)

    # Roles

    @precondition(lambda self: self.members())
    @rule(choice=data)
    def set_role(self, choice: st.DataObject) -> None:
        """Gives a member a role that it does not have."""
        members = self.members()
        owned = [(device, chat, member) for device, chat, member in members if chat.owner == device.user.number]
        device, chat, member = self.prefer(choice, "who, where and whom", owned, members)
        roles: tuple[Role, ...] = ("member", "admin", "owner")
        role = self.pick(choice, "role", [role for role in roles if role != chat.role(member)])
        native_actions.set_role(self.harness, device, chat, member, role)

    def members(self) -> list[tuple[ModelDevice, Chat, int]]:
        """Returns clients, each with a group of its user and another member of this group."""
        return [
            (device, chat, member)
            for device, chat in self.own_groups() for member in chat.first if member != device.user.number
        ]  # fmt: skip

    @precondition(lambda self: self.own_groups())
    @rule(choice=data, rules=st.builds(Rules, flags, flags, st.sampled_from((True, False, None))))
    def set_rules(self, choice: st.DataObject, rules: Rules) -> None:
        groups = self.own_groups()
        led = [(device, chat) for device, chat in groups if device.user.number in chat.leaders]
        native_actions.set_rules(self.harness, *self.prefer(choice, "who and where", led, groups), rules)

    # Members

    @precondition(lambda self: self.own_groups())
    @rule(choice=data)
    def leave_group(self, choice: st.DataObject) -> None:
        """Leaves a group, mostly one that the user can join again."""
        groups = self.own_groups()
        joinable = [(device, chat) for device, chat in groups if chat.policy != "closed"]
        device, chat = self.prefer(choice, "who and what", joinable, groups)
        native_actions.end_membership(self.harness, device, chat, device.user.number)

    def own_groups(self) -> list[tuple[ModelDevice, Chat]]:
        return [(device, chat) for device, chat in self.places(Native) if chat.pair is None and chat.number != LOBBY]

    @precondition(lambda self: self.members())
    @rule(choice=data)
    def kick(self, choice: st.DataObject) -> None:
        native_actions.end_membership(self.harness, *self.choose_lower_member(choice))

    def choose_lower_member(self, choice: st.DataObject) -> tuple[ModelDevice, Chat, int]:
        """Chooses a member, mostly one with a lower role than the client's user."""
        members = self.members()
        lower = [(device, chat, one) for device, chat, one in members if chat.outranks(device.user.number, one)]
        return self.prefer(choice, "who, where and whom", lower, members)

    @precondition(lambda self: self.own_groups())
    @rule(choice=data, on=flags)
    def ban(self, choice: st.DataObject, on: bool) -> None:
        """Bans users, including some that are not members."""
        groups = self.own_groups()
        led = [(device, chat) for device, chat in groups if device.user.number in chat.leaders]
        device, chat = self.prefer(choice, "who and where", led, groups)
        others = [one.number for one in self.users if one is not device.user]
        account = self.prefer(choice, "whom", [one for one in others if on is not (one in chat.banned)], others)
        native_actions.ban(self.harness, device, chat, account, on=on)

    @precondition(lambda self: self.own_groups())
    @rule(choice=data)
    def invite(self, choice: st.DataObject) -> None:
        """Invites friends, mostly as an owner or admin. Some of them may be members already."""
        groups = self.own_groups()
        led = [(device, chat) for device, chat in groups if device.user.number in chat.leaders]
        device, chat = self.prefer(choice, "who and where", led, groups)
        possible = sorted({one.number for one in self.users} - {device.user.number})
        friends = sorted(device.user.friends)
        some = [self.prefer(choice, "whom", friends, possible) for _ in range(choice.draw(st.integers(1, 4)))]
        native_actions.invite(self.harness, device, chat, some)

    @precondition(lambda self: self.members())
    @rule(choice=data, on=flags, all_members=flags)
    def silence(self, choice: st.DataObject, on: bool, all_members: bool) -> None:
        device, chat, member = self.choose_lower_member(choice)
        native_actions.silence(self.harness, device, chat, 0 if all_members else member, on=on)

    # Receipts

    @precondition(has_messages)
    @rule(choice=data)
    def read(self, choice: st.DataObject) -> None:
        device, chat, message = self.choose_message(choice)
        if message in chat.visible_to(device.user.number):
            native_actions.read(self.harness, device, chat, message.index)

    @precondition(has_messages)
    @rule(choice=data)
    def check_readers(self, choice: st.DataObject) -> None:
        device, chat, message = self.choose_message(choice)
        if message in chat.visible_to(device.user.number):
            native_actions.check_readers(self.harness, device, chat, message)

    # The rules below let users be offline for a while, and change settings that only the account itself sees.

    @precondition(lambda self: len(self.devices(Native)) > 1 and len(self.harness.sleeping) < _FEW)
    @rule(choice=data)
    def fall_asleep(self, choice: st.DataObject) -> None:
        native_actions.fall_asleep(self.harness, self.pick(choice, "who", self.devices(Native)))

    @precondition(lambda self: self.harness.sleeping and len(self.harness.devices) < MOST_DEVICES)
    @rule(choice=data, edge=st.integers(0, 1))
    def wake(self, choice: st.DataObject, edge: int) -> None:
        self.harness.wake(self.pick(choice, "who", self.harness.sleeping), edge)

    @precondition(lambda self: self.places(Native))
    @rule(choice=data, on=flags)
    def mute(self, choice: st.DataObject, on: bool) -> None:
        device, chat = self.pick(choice, "who and where", self.places(Native))
        native_actions.mute(self.harness, device, chat, on=on)

    # Users

    @precondition(lambda self: self.devices(Native))
    @rule(choice=data, on=flags)
    def block(self, choice: st.DataObject, on: bool) -> None:
        possible = self.pairs(Native)
        new = [(device, other) for device, other in possible if on is (other.number not in device.user.blocked)]
        native_actions.block(self.harness, *self.prefer(choice, "who and whom", new, possible), on=on)

    @precondition(lambda self: self.blocked_pairs())
    @rule(choice=data, by_message=flags)
    def reach_blocking_user(self, choice: st.DataObject, by_message: bool) -> None:
        device, other = self.pick(choice, "who and whom", self.blocked_pairs())
        if by_message:
            self.harness.send_private(device, other, self.words(""))
        else:
            self.harness.request_friend(device, other, "please")

    def blocked_pairs(self) -> list[tuple[ModelDevice, ModelUser]]:
        """Returns clients, each with a user who blocks the client's user."""
        return [
            (device, other) for device, other in self.pairs(V1, Pipe, Native) if device.user.number in other.blocked
        ]

    # Queries

    @precondition(lambda self: self.places(Native))
    @rule(choice=data)
    def check_native_history(self, choice: st.DataObject) -> None:
        device, chat = self.pick(choice, "who and where", self.places(Native))
        self.harness.note(f"{device} reads {chat.number}")
        check_native_history(self.harness.model, device, chat)


def _sender(target: SentMessage | SendStep) -> int:
    return target.sender if isinstance(target, SentMessage) else target.device.user.number


def _in_possible_order(steps: list[Step]) -> list[Step]:
    """Sorts the steps so that each message is sent before it is changed."""
    ordered: list[Step] = []
    for step in steps:
        if isinstance(step, ChangeStep) and isinstance(step.target, SendStep) and step.target not in ordered:
            ordered.append(step.target)
        if step not in ordered:
            ordered.append(step)
    return ordered
