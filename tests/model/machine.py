"""Random people of random dialects do random things, and each must see what the model says."""

import sys
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from tests.clients.client import Client, Segment
from tests.clients.ourchat_v0 import V0
from tests.clients.ourchat_v1 import V1
from tests.clients.ourchat_v2 import V2, Pc
from tests.clients.pipe import Pipe
from tests.clients.service import Service
from tests.model.concurrency import Meanwhile, Rush
from tests.model.device import Device
from tests.model.harness import CLIENTS, HOST, Town
from tests.model.model import LOBBY, Chat, Person
from tests.model.queries import look, take_unread, walk

T = TypeVar("T")

_MOST_DEVICES = 10
_FILLERS = ("", "", "…", "a|b||", "汉字 👋", 'quoted "\\\n"', "[emoji:1]", "0: x")
_NAMES = ("甲", "Ann B", "x" * 64, "名、字")

data = st.data()
flags = st.booleans()
fillers = st.sampled_from(_FILLERS)
names = st.sampled_from(_NAMES)


class Machine(RuleBasedStateMachine):
    """One run is the life of a town."""

    def __init__(self) -> None:
        super().__init__()
        self.town = self.open_town()
        self._words = 0

    @staticmethod
    def open_town() -> Town:
        raise NotImplementedError

    def tell(self, story: Sequence[str]) -> None:
        """What has happened in a town where something differs: if it cannot be repeated, nobody else tells it."""
        raise NotImplementedError

    @initialize(kinds=st.lists(st.sampled_from(CLIENTS), min_size=3, max_size=4))
    def begin(self, kinds: list[type[Client]]) -> None:
        self.town.populate([HOST, *kinds])

    def teardown(self) -> None:
        failure = sys.exc_info()[1]
        try:
            if failure is None:
                self.town.recall()
        except Exception as differs:
            failure = differs
            raise
        finally:
            if isinstance(failure, Exception):
                self.tell([*self.town.story, repr(failure)])
            self.town.close()

    # What there is to choose from

    @property
    def people(self) -> list[Person]:
        return list(self.town.model.people.values())

    @property
    def chats(self) -> list[Chat]:
        return list(self.town.model.chats.values())

    @property
    def groups(self) -> list[Chat]:
        return [chat for chat in self.chats if chat.pair is None]

    def devices(self, *kinds: type[Client]) -> list[Device]:
        return [device for device in self.town.devices if isinstance(device.client, kinds or Client)]

    def pick(self, choice: st.DataObject, what: str, among: Sequence[T]) -> T:
        return choice.draw(st.sampled_from(among), label=what)

    def prefer(self, choice: st.DataObject, what: str, sound: Sequence[T], among: Sequence[T]) -> T:
        """Mostly what can be done, if anything can."""
        sensible = choice.draw(st.integers(0, 4)) > 0
        return self.pick(choice, what, sound if sound and sensible else among)

    def pairs(self, *kinds: type[Client]) -> list[tuple[Device, Person]]:
        """Devices of these kinds, and other people."""
        devices = self.devices(*kinds)
        return [(device, one) for device in devices for one in self.people if one is not device.person]

    def chats_of(self, device: Device) -> list[Chat]:
        return list(self.town.model.chats_of(device.person.number).values())

    def words(self, filler: str) -> str:
        """Never the same twice, so that nobody can be shown one word in another's place."""
        self._words += 1
        return f"{self._words} {filler}"

    def segments(self, choice: st.DataObject, device: Device) -> tuple[Segment, ...]:
        """What a client of this dialect can say in one message."""
        words = self.words(choice.draw(fillers))
        if isinstance(device.client, V2):
            more = choice.draw(st.lists(st.one_of(st.integers(0, 99), fillers.map(self.words)), max_size=2))
            return (words, *more)
        return (self._words,) if isinstance(device.client, V0) and choice.draw(flags) else (words,)

    # Talking

    @precondition(lambda self: self.town.devices)
    @rule(choice=data)
    def say(self, choice: st.DataObject) -> None:
        device = self.pick(choice, "who", self.devices())
        chat = self.pick(choice, "where", self.chats_of(device))
        self.town.say(device, chat, self.segments(choice, device))

    @precondition(lambda self: self.devices())
    @rule(choice=data)
    def trespass(self, choice: st.DataObject) -> None:
        """Who is no member is not heard."""
        device = self.pick(choice, "who", self.devices())
        theirs = self.chats_of(device)
        others = [chat for chat in self.groups if chat not in theirs]
        if others:
            self.town.say(device, self.pick(choice, "where", others), (self.words(""),))

    @precondition(lambda self: self.devices(V1, Pipe, Service))
    @rule(choice=data, filler=fillers)
    def whisper(self, choice: st.DataObject, filler: str) -> None:
        device = self.pick(choice, "who", self.devices(V1, Pipe, Service))
        other = self.pick(choice, "to whom", [one for one in self.people if one is not device.person])
        self.town.whisper(device, other, self.words(filler))

    @precondition(lambda self: self.unacquainted())
    @rule(choice=data)
    def meet(self, choice: st.DataObject) -> None:
        one, other = self.pick(choice, "who", self.unacquainted())
        Rush.meet(self.town, one, other, (self.words(choice.draw(fillers)), self.words(choice.draw(fillers))))

    def unacquainted(self) -> list[tuple[Device, Device]]:
        """Devices, the first of which sees all, of people who have no chat of their own."""
        model, devices = self.town.model, self.devices(V1, Pipe)
        pairs = [(one, other) for one in self.devices(V1) for other in devices if one.person is not other.person]
        return [(one, other) for one, other in pairs if not model.private(one.person.number, other.person.number)]

    @precondition(lambda self: self.devices(V0, V1, V2))
    @rule(choice=data)
    def rush(self, choice: st.DataObject) -> None:
        """Several speak at once; perhaps somebody who was away logs in meanwhile, perhaps somebody goes."""
        witness = self.pick(choice, "who sees all", self.devices(V0, V1, V2))
        chat = self.pick(choice, "where", self.chats_of(witness))
        there = [device for device in self.town.devices if device.person.number in chat.first]
        speakers = choice.draw(st.lists(st.sampled_from(there), min_size=2, max_size=8))
        said = [(device, self.segments(choice, device)) for device in speakers]
        Rush(self.town, chat, witness).run(said, self._meanwhile(choice, chat, {witness, *speakers}))

    @precondition(lambda self: self.doors())
    @rule(choice=data)
    def join(self, choice: st.DataObject) -> None:
        chat, witness, newcomer = self.pick(choice, "where, who sees all, who comes", self.doors())
        there = [device for device in self.town.devices if device.person.number in chat.first]
        speakers = choice.draw(st.lists(st.sampled_from(there), min_size=2, max_size=8))
        said = [(device, self.segments(choice, device)) for device in speakers]
        Rush(self.town, chat, witness).join(said, newcomer, self.words("enough"))

    def doors(self) -> list[tuple[Chat, Device, Device]]:
        """Open groups, who sees all there, and who may join and is told of messages by one client alone."""
        told = Counter(device.person for device in self.town.devices if device.pushes)
        alone = [device for device in self.devices(V1, Pipe) if told[device.person] == 1]
        return [
            (chat, witness, newcomer)
            for chat in self.groups if chat.policy == "open"
            for witness in self.devices(V0, V1, V2) if witness.person.number in chat.first
            for newcomer in alone if newcomer.person.number not in chat.first
        ]  # fmt: skip

    def _meanwhile(self, choice: st.DataObject, chat: Chat, busy: set[Device]) -> Meanwhile:
        comes = self._who_comes(choice, chat) if choice.draw(flags) else None
        told = Counter(device.person for device in self.town.devices if device.pushes)
        people = {device.person for device in busy}
        alone = [one for one in self.town.devices if one.pushes and told[one.person] == 1 and one.person not in people]
        leaves = choice.draw(st.sampled_from([None, *alone]), label="who leaves")
        pipes = [one for one in alone if isinstance(one.client, Pipe) and one is not leaves]
        return Meanwhile(comes, leaves, choice.draw(st.sampled_from([None, *pipes]), label="who takes"))

    def _who_comes(self, choice: st.DataObject, chat: Chat) -> Callable[[], Client] | None:
        told = {device.person.number for device in self.town.devices if device.pushes}
        away = [
            one
            for one in self.people
            if one.number in chat.first and one.number not in told and self._has_password(one)
        ]
        if not away or len(self.town.devices) >= _MOST_DEVICES:
            return None
        person, kind = self.pick(choice, "who comes", away), self.pick(choice, "how", (V0, V1, V2, Pc))
        edge = choice.draw(st.integers(0, 1))

        def come() -> Client:
            client = kind(self.town.edges[edge])
            client.login(self.town.accounts[person.number])
            return client

        return come

    def _has_password(self, person: Person) -> bool:
        return not self.town.accounts[person.number].secret

    # Coming and going

    @precondition(lambda self: len(self.town.devices) < _MOST_DEVICES)
    @rule(choice=data, edge=st.integers(0, 1), bare=flags, push=flags)
    def login(self, choice: st.DataObject, edge: int, bare: bool, push: bool) -> None:
        person = self.pick(choice, "who", self.people)
        kinds = CLIENTS if self._has_password(person) else (Pipe, Service)
        self.town.login(person, self.pick(choice, "how", kinds), edge, bare=bare, push=push)

    @precondition(lambda self: self.devices(V0, V1, V2))
    @rule(choice=data)
    def switch(self, choice: st.DataObject) -> None:
        device = self.pick(choice, "which", self.devices(V0, V1, V2))
        others = [one for one in self.people if one is not device.person and self._has_password(one)]
        if others:
            self.town.switch(device, self.pick(choice, "to whom", others))

    @precondition(lambda self: self.devices())
    @rule(choice=data)
    def mistake(self, choice: st.DataObject) -> None:
        device = self.pick(choice, "who", self.devices())
        people = self.people if isinstance(device.client, Service) else list(filter(self._has_password, self.people))
        self.town.mistake(device, self.pick(choice, "whose", people))

    @precondition(lambda self: len(self.town.devices) > 1)
    @rule(choice=data, politely=flags)
    def leave(self, choice: st.DataObject, politely: bool) -> None:
        self.town.leave(self.pick(choice, "who", self.devices()), politely=politely)

    # Groups

    @precondition(lambda self: self.devices(V1, V2, Pipe, Service) and len(self.chats) < 12)
    @rule(choice=data, name=names)
    def create(self, choice: st.DataObject, name: str) -> None:
        device = self.pick(choice, "who", self.devices(V1, V2, Pipe, Service))
        others = [one.number for one in self.people if one is not device.person]
        members = choice.draw(st.lists(st.sampled_from(others), unique=True))
        self.town.create(device, f"{name} {len(self.chats)}", members)

    @precondition(lambda self: self.devices(V1, Pipe, Service))
    @rule(choice=data)
    def apply(self, choice: st.DataObject) -> None:
        anywhere = [(device, chat) for device in self.devices(V1, Pipe, Service) for chat in self.groups]
        open_to = [
            (device, chat) for device, chat in anywhere
            if device.person.number not in chat.first and chat.policy != "closed"
        ]  # fmt: skip
        self.town.apply(*self.prefer(choice, "who and where", open_to, anywhere))

    @precondition(lambda self: self.devices(V1, Pipe))
    @rule(choice=data, accept=flags)
    def answer_applicant(self, choice: st.DataObject, accept: bool) -> None:
        """To v1, who is a friend need not have applied."""
        groups = [chat for chat in self.groups if chat.number != LOBBY]
        anybody = [(device, chat, one) for device, one in self.pairs(V1, Pipe) for chat in groups]
        sound = [
            (device, chat, one) for device, chat, one in anybody
            if chat.owner == device.person.number
            and (one.number in chat.applied or (one.number in device.person.friends and one.number not in chat.first))
        ]  # fmt: skip
        device, chat, applicant = self.prefer(choice, "who, where and whom", sound, anybody)
        self.town.answer_applicant(device, chat, applicant.number, accept=accept)

    @precondition(lambda self: self.devices(V1))
    @rule(choice=data, name=names)
    def rename_group(self, choice: st.DataObject, name: str) -> None:
        anything = [(device, chat) for device in self.devices(V1) for chat in self.groups]
        own = [(device, chat) for device, chat in anything if chat.owner == device.person.number]
        self.town.rename_group(*self.prefer(choice, "who and which", own, anything), name)

    # Between people

    @precondition(lambda self: self.devices(V1, Pipe))
    @rule(choice=data, text=st.sampled_from(("", "hi", "let's | talk")))
    def befriend(self, choice: st.DataObject, text: str) -> None:
        anybody = self.pairs(V1, Pipe)
        strangers = [(device, one) for device, one in anybody if one.number not in device.person.friends]
        self.town.befriend(*self.prefer(choice, "who and whom", strangers, anybody), text)

    @precondition(lambda self: self.devices(V1, Pipe))
    @rule(choice=data, accept=flags)
    def answer_friend(self, choice: st.DataObject, accept: bool) -> None:
        anybody = self.pairs(V1, Pipe)
        asking = [(device, one) for device, one in anybody if one.number in device.person.asked]
        self.town.answer_friend(*self.prefer(choice, "who and whom", asking, anybody), accept=accept)

    @precondition(lambda self: self.devices(Pipe))
    @rule(choice=data)
    def unfriend(self, choice: st.DataObject) -> None:
        anybody = self.pairs(Pipe)
        friends = [(device, one) for device, one in anybody if one.number in device.person.friends]
        self.town.unfriend(*self.prefer(choice, "who and whom", friends, anybody))

    @precondition(lambda self: self.devices(V1, V2, Pipe))
    @rule(choice=data, name=names)
    def rename(self, choice: st.DataObject, name: str) -> None:
        self.town.rename(self.pick(choice, "who", self.devices(V1, V2, Pipe)), name)

    # Looking

    @precondition(lambda self: self.devices(V2, Pipe, Service))
    @rule(choice=data)
    def look(self, choice: st.DataObject) -> None:
        device = self.pick(choice, "who", self.devices(V2, Pipe, Service))
        self.town.note(f"{device} looks")
        look(self.town.model, device)

    @precondition(lambda self: self.devices(Service))
    @rule(choice=data, newer=flags, count=st.integers(1, 30))
    def walk(self, choice: st.DataObject, newer: bool, count: int) -> None:
        device = self.pick(choice, "who", self.devices(Service))
        chat = self.pick(choice, "where", self.chats)
        index = choice.draw(st.integers(-4, 4).map(lambda number: number if number < 0 else self.place(chat, number)))
        code = 9 if newer else 3
        self.town.note(f"{device} reads {count} of {chat.number} by {code} from {index}")
        walk(self.town.model, device, chat, code, index, count)

    @staticmethod
    def place(chat: Chat, number: int) -> int:
        """An index, counted from the first message of this town."""
        return chat.before + max(number, 1) if chat.before else number

    @precondition(lambda self: self.devices(Pipe))
    @rule(choice=data, count=st.integers(1, 4))
    def take_unread(self, choice: st.DataObject, count: int) -> None:
        device = self.pick(choice, "who", self.devices(Pipe))
        self.town.note(f"{device} takes {count} unread")
        take_unread(self.town.model, device, count)
        self.town.check()
