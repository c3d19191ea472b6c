"""The state machine with what only native users can do: users of the older protocols must see what the table of
docs/protocols says."""

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from tests.clients.native import Native
from tests.clients.ourchat_v1 import V1
from tests.clients.pipe import Pipe
from tests.model import native_actions
from tests.model.device import ModelDevice
from tests.model.machine import Machine, data, flags
from tests.model.model import LOBBY, Chat, ModelUser, Role, SentMessage
from tests.model.queries import check_native_history

_EMOJI = ("👍", "❤️")
_NEWEST = 6
Choice = tuple[ModelDevice, Chat, SentMessage]


class NativeMachine(Machine):
    # Replies, and changes of messages

    def choose_message(self, choice: st.DataObject, *, own: bool = False) -> Choice:
        """One of the newest messages of a chat, mostly of the client's user (`own`), or one that it may see."""
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
        native_actions.edit(self.harness, device, chat, message, self.segments(choice, device))

    @precondition(has_messages)
    @rule(choice=data)
    def recall(self, choice: st.DataObject) -> None:
        native_actions.recall(self.harness, *self.choose_message(choice, own=True))

    @precondition(has_messages)
    @rule(choice=data, emoji=st.sampled_from(_EMOJI), on=flags)
    def react(self, choice: st.DataObject, emoji: str, on: bool) -> None:
        native_actions.react(self.harness, *self.choose_message(choice), emoji, on=on)

    @precondition(has_messages)
    @rule(choice=data, on=flags)
    def pin(self, choice: st.DataObject, on: bool) -> None:
        native_actions.pin(self.harness, *self.choose_message(choice), on=on)

    # Roles

    @precondition(lambda self: self.members())
    @rule(choice=data)
    def set_role(self, choice: st.DataObject) -> None:
        """A role that the member does not have."""
        members = self.members()
        owned = [(device, chat, member) for device, chat, member in members if chat.owner == device.user.number]
        device, chat, member = self.prefer(choice, "who, where and whom", owned, members)
        roles: tuple[Role, ...] = ("member", "admin", "owner")
        role = self.pick(choice, "role", [role for role in roles if role != chat.role(member)])
        native_actions.set_role(self.harness, device, chat, member, role)

    def members(self) -> list[tuple[ModelDevice, Chat, int]]:
        """Clients with the other members of their groups."""
        return [
            (device, chat, member)
            for device, chat in self.own_groups() for member in chat.first if member != device.user.number
        ]  # fmt: skip

    # Members

    @precondition(lambda self: self.own_groups())
    @rule(choice=data)
    def leave_group(self, choice: st.DataObject) -> None:
        """Mostly a group that one may join again."""
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
        """Mostly a member of a lower role than the client's user."""
        members = self.members()
        lower = [(device, chat, one) for device, chat, one in members if chat.outranks(device.user.number, one)]
        return self.prefer(choice, "who, where and whom", lower, members)

    @precondition(lambda self: self.own_groups())
    @rule(choice=data, on=flags)
    def ban(self, choice: st.DataObject, on: bool) -> None:
        """Also users that are no members."""
        groups = self.own_groups()
        led = [(device, chat) for device, chat in groups if device.user.number in chat.leaders]
        device, chat = self.prefer(choice, "who and where", led, groups)
        others = [one.number for one in self.users if one is not device.user]
        account = self.prefer(choice, "whom", [one for one in others if on is not (one in chat.banned)], others)
        native_actions.ban(self.harness, device, chat, account, on=on)

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
        """Clients, each with a user that blocks their user."""
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
