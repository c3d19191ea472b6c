"""The state machine: users of random dialects act at random, and each must see what the model predicts."""

import sys
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from tests.clients.client import Client, Segment
from tests.clients.irc import Irc, IrcWithHistory
from tests.clients.native import Native
from tests.clients.ourchat_v0 import V0
from tests.clients.ourchat_v1 import V1
from tests.clients.ourchat_v2 import V2, Pc
from tests.clients.pipe import Pipe
from tests.clients.service import Service
from tests.model.concurrency import ConcurrentSend, Meanwhile
from tests.model.concurrent_changes import SendStep
from tests.model.device import ModelDevice
from tests.model.harness import CLIENTS, HOST, ModelHarness
from tests.model.model import LOBBY, Chat, Forbidden, ModelUser
from tests.model.queries import check_account, check_history, check_history_of_irc, take_unread

T = TypeVar("T")

MOST_DEVICES = 10
_FILLERS = ("", "", "…", "a|b||", "汉字 👋", 'quoted "\\\n"', "[emoji:1]", "0: x")
_NAMES = ("甲", "Ann B", "x" * 64, "名、字")

data = st.data()
flags = st.booleans()
fillers = st.sampled_from(_FILLERS)
names = st.sampled_from(_NAMES)


class Machine(RuleBasedStateMachine):
    """Draws random actions of users. Each run starts with a new model."""

    def __init__(self) -> None:
        super().__init__()
        self.harness = self.open_harness()
        self._words = 0

    @staticmethod
    def open_harness() -> ModelHarness:
        raise NotImplementedError

    def report(self, log: Sequence[str]) -> None:
        """Prints the steps that led to a mismatch, because another run with the same seed may not repeat it."""
        raise NotImplementedError

    @initialize(kinds=st.lists(st.sampled_from(CLIENTS), min_size=2, max_size=3))
    def begin(self, kinds: list[type[Client]]) -> None:
        self.harness.register_users([HOST, Native, Native, *kinds])

    def teardown(self) -> None:
        failure = sys.exc_info()[1]
        try:
            if failure is None:
                self.harness.check_final_state()
        except Exception as differs:
            failure = differs
            raise
        finally:
            if isinstance(failure, Exception):
                self.report([*self.harness.log, repr(failure)])
            self.harness.close()

    # Choices

    @property
    def users(self) -> list[ModelUser]:
        return list(self.harness.model.users.values())

    @property
    def chats(self) -> list[Chat]:
        return list(self.harness.model.chats.values())

    @property
    def groups(self) -> list[Chat]:
        return [chat for chat in self.chats if chat.pair is None]

    def devices(self, *kinds: type[Client]) -> list[ModelDevice]:
        return [device for device in self.harness.devices if isinstance(device.client, kinds or Client)]

    def pick(self, choice: st.DataObject, what: str, among: Sequence[T]) -> T:
        return choice.draw(st.sampled_from(among), label=what)

    def prefer(self, choice: st.DataObject, what: str, sound: Sequence[T], among: Sequence[T]) -> T:
        """Chooses an action, mostly one of those that are allowed.

        The number of allowed actions may depend on the order of concurrent messages. The drawn value does not, so a run
        can be repeated.
        """
        sensible = choice.draw(st.integers(0, 4)) > 0
        number = choice.draw(st.integers(0, len(among) - 1), label=what)
        chosen = sound if sound and sensible else among
        return chosen[number % len(chosen)]

    def pairs(self, *kinds: type[Client]) -> list[tuple[ModelDevice, ModelUser]]:
        """Returns all pairs of a client of these kinds and a user who is not the client's own user."""
        devices = self.devices(*kinds)
        return [(device, one) for device in devices for one in self.users if one is not device.user]

    def chats_of(self, device: ModelDevice) -> list[Chat]:
        return list(self.harness.model.chats_of(device.user.number).values())

    def places(self, *kinds: type[Client]) -> list[tuple[ModelDevice, Chat]]:
        """Returns all pairs of a client of these kinds and a chat of the client's user."""
        return [(device, chat) for device in self.devices(*kinds) for chat in self.chats_of(device)]

    def words(self, filler: str) -> str:
        """Returns a text that is used only once, so that a message in a wrong place is detected."""
        self._words += 1
        return f"{self._words} {filler}"

    def segments(self, choice: st.DataObject, device: ModelDevice) -> tuple[Segment, ...]:
        """Returns segments that a client of this dialect can send in one message."""
        words = self.words(choice.draw(fillers))
        if isinstance(device.client, V2 | Native):
            more = choice.draw(st.lists(st.one_of(st.integers(0, 99), fillers.map(self.words)), max_size=2))
            return (words, *more)
        return (self._words,) if isinstance(device.client, V0) and choice.draw(flags) else (words,)

    # Messages

    @precondition(lambda self: self.places())
    @rule(choice=data)
    def send(self, choice: st.DataObject) -> None:
        device, chat = self.pick(choice, "who and where", self.places())
        self.harness.send(device, chat, self.segments(choice, device))

    @precondition(lambda self: self.devices())
    @rule(choice=data)
    def send_as_non_member(self, choice: st.DataObject) -> None:
        """Sends a message as a user who is not a member. The system must reject it."""
        device = self.pick(choice, "who", self.devices())
        theirs = self.chats_of(device)
        others = [chat for chat in self.groups if chat not in theirs]
        if others:
            self.harness.send(device, self.pick(choice, "where", others), (self.words(""),))

    @precondition(lambda self: self.devices(V1, Pipe, Service, Native, Irc))
    @rule(choice=data, filler=fillers)
    def send_private(self, choice: st.DataObject, filler: str) -> None:
        device = self.pick(choice, "who", self.devices(V1, Pipe, Service, Native, Irc))
        other = self.pick(choice, "to whom", [one for one in self.users if one is not device.user])
        self.harness.send_private(device, other, self.words(filler))

    @precondition(lambda self: self.unacquainted())
    @rule(choice=data)
    def start_private_chat(self, choice: st.DataObject) -> None:
        one, other = self.pick(choice, "who", self.unacquainted())
        ConcurrentSend.start_private_chat(
            self.harness, one, other, (self.words(choice.draw(fillers)), self.words(choice.draw(fillers)))
        )

    def unacquainted(self) -> list[tuple[ModelDevice, ModelDevice]]:
        """Returns pairs of clients whose users have no private chat yet. The first client must see all messages."""
        model, devices = self.harness.model, self.devices(V1, Pipe)
        pairs = [(one, other) for one in self.devices(V1) for other in devices if one.user is not other.user]
        return [
            (one, other) for one, other in pairs
            if not model.private(one.user.number, other.user.number)
            and not {one.user.number, other.user.number} & (one.user.blocked | other.user.blocked)
        ]  # fmt: skip

    @precondition(lambda self: self.joinable_groups())
    @rule(choice=data)
    def join(self, choice: st.DataObject) -> None:
        chat, witness, newcomer = self.pick(choice, "where, who sees all, who comes", self.joinable_groups())
        there = self.possible_speakers(chat)
        if not there:
            return
        speakers = choice.draw(st.lists(st.sampled_from(there), min_size=2, max_size=8))
        steps = [SendStep(device, self.segments(choice, device)) for device in speakers]
        ConcurrentSend(self.harness, chat, witness).join(steps, newcomer, self.words("enough"))

    def possible_speakers(self, chat: Chat) -> list[ModelDevice]:
        """Returns clients whose users may send to the chat."""
        return [
            device for device in self.harness.devices
            if device.user.number in chat.first and not chat.is_muted(device.user.number)
        ]  # fmt: skip

    def joinable_groups(self) -> list[tuple[Chat, ModelDevice, ModelDevice]]:
        """Returns open groups, each with a witness and a client that may join.

        No other client of this user gets messages.
        """
        pushed = Counter(device.user for device in self.harness.devices if device.pushes)
        alone = [device for device in self.devices(V1, Pipe) if pushed[device.user] == 1]
        return [
            (chat, witness, newcomer)
            for chat in self.groups if chat.policy == "open"
            for witness in self.devices(V0, V1, V2) if witness.user.number in chat.first
            for newcomer in alone if newcomer.user.number not in chat.first.keys() | chat.banned
        ]  # fmt: skip

    def meanwhile(self, choice: st.DataObject, chat: Chat, busy: set[ModelDevice]) -> Meanwhile:
        arrives = self._choose_arrival(choice, chat) if choice.draw(flags) else None
        pushed = Counter(device.user for device in self.harness.devices if device.pushes)
        users = {device.user for device in busy}
        alone = [
            one for one in self.harness.devices
            if one.pushes and pushed[one.user] == 1 and one.user not in users and not isinstance(one.client, Native)
        ]  # fmt: skip
        leaves = choice.draw(st.sampled_from([None, *alone]), label="who leaves")
        pipes = [one for one in alone if isinstance(one.client, Pipe) and one is not leaves]
        return Meanwhile(arrives, leaves, choice.draw(st.sampled_from([None, *pipes]), label="who takes"))

    def _choose_arrival(self, choice: st.DataObject, chat: Chat) -> Callable[[], Client] | None:
        pushed = {device.user.number for device in self.harness.devices if device.pushes}
        away = [
            one
            for one in self.users
            if one.number in chat.first and one.number not in pushed and self.has_password(one)
        ]
        if not away or len(self.harness.devices) >= MOST_DEVICES:
            return None
        user, kind = self.pick(choice, "who comes", away), self.pick(choice, "how", (V0, V1, V2, Pc))
        edge = choice.draw(st.integers(0, 1))

        def log_in() -> Client:
            client = kind(self.harness.edges[edge])
            client.login(self.harness.accounts[user.number])
            return client

        return log_in

    def has_password(self, user: ModelUser) -> bool:
        return not self.harness.accounts[user.number].secret

    # Logins

    @precondition(lambda self: len(self.harness.devices) < MOST_DEVICES)
    @rule(choice=data, edge=st.integers(0, 1), bare=flags, push=flags)
    def login(self, choice: st.DataObject, edge: int, bare: bool, push: bool) -> None:
        user = self.pick(choice, "who", self.users)
        kinds = CLIENTS if self.has_password(user) else (Pipe, Service)
        self.harness.login(user, self.pick(choice, "how", kinds), edge, bare=bare, push=push)

    @precondition(lambda self: self.devices(V0, V1, V2))
    @rule(choice=data)
    def switch(self, choice: st.DataObject) -> None:
        device = self.pick(choice, "which", self.devices(V0, V1, V2))
        others = [one for one in self.users if one is not device.user and self.has_password(one)]
        if others:
            self.harness.switch(device, self.pick(choice, "to whom", others))

    @precondition(lambda self: self.devices())
    @rule(choice=data)
    def fail_login(self, choice: st.DataObject) -> None:
        device = self.pick(choice, "who", self.devices())
        users = self.users if isinstance(device.client, Service) else list(filter(self.has_password, self.users))
        self.harness.fail_login(device, self.pick(choice, "whose", users))

    @precondition(lambda self: len(self.harness.devices) > 1)
    @rule(choice=data, politely=flags)
    def leave(self, choice: st.DataObject, politely: bool) -> None:
        self.harness.leave(self.pick(choice, "who", self.devices()), politely=politely)

    # Groups

    @precondition(lambda self: self.devices(V1, V2, Pipe, Service, Native) and len(self.chats) < 12)
    @rule(choice=data, name=names)
    def create(self, choice: st.DataObject, name: str) -> None:
        device = self.pick(choice, "who", self.devices(V1, V2, Pipe, Service, Native))
        others = [one.number for one in self.users if one is not device.user]
        members = choice.draw(st.lists(st.sampled_from(others), unique=True))
        with suppress(Forbidden):
            self.harness.create(device, f"{name} {len(self.chats)}", members)

    @precondition(lambda self: self.devices(V1, Pipe, Service, Native))
    @rule(choice=data)
    def apply(self, choice: st.DataObject) -> None:
        anywhere = [(device, chat) for device in self.devices(V1, Pipe, Service, Native) for chat in self.groups]
        open_to = [
            (device, chat) for device, chat in anywhere
            if device.user.number not in chat.first and chat.policy != "closed"
        ]  # fmt: skip
        self.harness.apply(*self.prefer(choice, "who and where", open_to, anywhere))

    @precondition(lambda self: self.devices(V1, Pipe, Native))
    @rule(choice=data, accept=flags)
    def answer_applicant(self, choice: st.DataObject, accept: bool) -> None:
        """Accepts or rejects an applicant. In v1, a client can also add a friend who has not applied."""
        groups = [chat for chat in self.groups if chat.number != LOBBY]
        possible = [(device, chat, one) for device, one in self.pairs(V1, Pipe, Native) for chat in groups]
        sound = [
            (device, chat, one) for device, chat, one in possible
            if device.user.number in chat.leaders
            and (one.number in chat.applied or (one.number in device.user.friends and one.number not in chat.first))
        ]  # fmt: skip
        device, chat, applicant = self.prefer(choice, "who, where and whom", sound, possible)
        self.harness.answer_applicant(device, chat, applicant.number, accept=accept)

    @precondition(lambda self: self.devices(V1, Native))
    @rule(choice=data, name=names)
    def rename_group(self, choice: st.DataObject, name: str) -> None:
        anything = [(device, chat) for device in self.devices(V1, Native) for chat in self.groups]
        own = [(device, chat) for device, chat in anything if device.user.number in chat.leaders]
        self.harness.rename_group(*self.prefer(choice, "who and which", own, anything), name)

    # Friends and profiles

    @precondition(lambda self: self.devices(V1, Pipe, Native))
    @rule(choice=data, text=st.sampled_from(("", "hi", "let's | talk")))
    def request_friend(self, choice: st.DataObject, text: str) -> None:
        possible = self.pairs(V1, Pipe, Native)
        strangers = [(device, one) for device, one in possible if one.number not in device.user.friends]
        self.harness.request_friend(*self.prefer(choice, "who and whom", strangers, possible), text)

    @precondition(lambda self: self.devices(V1, Pipe, Native))
    @rule(choice=data, accept=flags)
    def answer_friend(self, choice: st.DataObject, accept: bool) -> None:
        possible = self.pairs(V1, Pipe, Native)
        applicants = [(device, one) for device, one in possible if one.number in device.user.friend_requests]
        self.harness.answer_friend(*self.prefer(choice, "who and whom", applicants, possible), accept=accept)

    @precondition(lambda self: self.devices(Pipe, Native))
    @rule(choice=data)
    def remove_friend(self, choice: st.DataObject) -> None:
        possible = self.pairs(Pipe, Native)
        friends = [(device, one) for device, one in possible if one.number in device.user.friends]
        self.harness.remove_friend(*self.prefer(choice, "who and whom", friends, possible))

    @precondition(lambda self: self.devices(V1, V2, Pipe, Native))
    @rule(choice=data, name=names)
    def rename(self, choice: st.DataObject, name: str) -> None:
        self.harness.rename(self.pick(choice, "who", self.devices(V1, V2, Pipe, Native)), name)

    # Queries

    @precondition(lambda self: self.devices(V2, Pipe, Service, Native))
    @rule(choice=data)
    def check_account(self, choice: st.DataObject) -> None:
        device = self.pick(choice, "who", self.devices(V2, Pipe, Service, Native))
        self.harness.note(f"{device} looks")
        check_account(self.harness.model, device)

    @precondition(lambda self: self.devices(Service))
    @rule(choice=data, newer=flags, count=st.integers(1, 30))
    def check_history(self, choice: st.DataObject, newer: bool, count: int) -> None:
        device = self.pick(choice, "who", self.devices(Service))
        chat = self.pick(choice, "where", self.chats)
        index = choice.draw(st.integers(-4, 4).map(lambda number: number if number < 0 else self.place(chat, number)))
        code = 9 if newer else 3
        self.harness.note(f"{device} reads {count} of {chat.number} by {code} from {index}")
        check_history(self.harness.model, device, chat, code, index, count)

    @staticmethod
    def place(chat: Chat, number: int) -> int:
        """Returns an index that is counted from the first message of this model."""
        return chat.before + max(number, 1) if chat.before else number

    @precondition(lambda self: self.groups_of(IrcWithHistory))
    @rule(choice=data, count=st.integers(1, 30))
    def check_history_of_irc(self, choice: st.DataObject, count: int) -> None:
        device, chat = self.pick(choice, "who and where", self.groups_of(IrcWithHistory))
        self.harness.note(f"{device} reads {count} of {chat.number}")
        check_history_of_irc(self.harness.model, device, chat, count)

    def groups_of(self, kind: type[Client]) -> list[tuple[ModelDevice, Chat]]:
        """Returns pairs of a client of this kind and a group of its user.

        The model must know all messages of the group.
        """
        return [(device, chat) for device, chat in self.places(kind) if chat.pair is None and not chat.before]

    @precondition(lambda self: self.devices(Pipe))
    @rule(choice=data, count=st.integers(1, 4))
    def take_unread(self, choice: st.DataObject, count: int) -> None:
        device = self.pick(choice, "who", self.devices(Pipe))
        self.harness.note(f"{device} takes {count} unread")
        take_unread(self.harness.model, device, count)
        self.harness.check()
