"""The people of a model at the sockets of a running system: whatever is done is done there and in the model, and then
everybody must see what the model says."""

import secrets
import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace

from tests.clients.client import Account, Client, RequestRejected, Segment, Sight
from tests.clients.line import SECONDS
from tests.clients.ourchat_v0 import V0
from tests.clients.ourchat_v1 import V1
from tests.clients.ourchat_v2 import V2, Pc
from tests.clients.pipe import Pipe
from tests.clients.service import Service
from tests.model.device import Device, Differs, learn, same
from tests.model.expected_frames import KEPT
from tests.model.model import LOBBY, Chat, Forbidden, Model, News, Person, Policy, Said, Spoken
from tests.model.queries import look, walk

CLIENTS: tuple[type[Client], ...] = (V0, V1, V2, Pc, Service, Pipe)
HOST = V2
"""What the first one has, who brings all others together."""


class Town:
    def __init__(self, edges: Sequence[str], lobby_head: int) -> None:
        self.edges = edges
        self.model = Model(lobby_head)
        self.devices: list[Device] = []
        self.accounts: dict[int, Account] = {}
        self.story: list[str] = []

    def note(self, line: str) -> None:
        self.story.append(line)

    # People come and go

    def populate(self, kinds: Sequence[type[Client]]) -> None:
        """One person with each of these clients is born, and the first brings all together in a session."""
        for number, kind in enumerate(kinds):
            self.devices.append(self._born(kind, self.edges[number % len(self.edges)]))
        self._meet(self.devices[0], [device.person.number for device in self.devices[1:]])

    def _born(self, kind: type[Client], edge: str) -> Device:
        account = Account(f"u{secrets.token_hex(5)}")
        if kind is Service:
            account.uuid, account.secret = str(uuid.uuid4()), secrets.token_hex(8)
        client = self._dial(kind, edge)
        name = account.uuid[:8] or (account.tag if kind is V0 else f"名 {account.tag[1:5]}")
        client.register(account, name)
        self.note(f"{kind.__name__} of {account.id} is born at {edge}")
        person = Person(account.id, name, account.uuid)
        self.model.people[person.number], self.accounts[person.number] = person, account
        if kind is V0:
            self.model.chats[LOBBY].first[person.number] = 1
        device = Device(client, person, self.model, pushes=self._is_told(client))
        device.known |= set(self.model.chats_of(person.number))
        return device

    def _meet(self, host: Device, others: list[int]) -> None:
        """A session of everybody, in which service shows the uuids of its members in the order of their coming."""
        chat = self.create(host, "广场", others)
        reader = self.token_face(host.person.number)
        for number, one in zip(chat.first, reader.chats()[chat.number]["usrs"], strict=True):
            person = self.model.people[number]
            person.uuid = person.uuid or one
            self.accounts[number].uuid = person.uuid
            same("service", one, person.uuid)
        reader.line.close()

    @staticmethod
    def _dial(kind: type[Client], edge: str, *, bare: bool = False, push: bool = False) -> Client:
        return Service(edge, bare=bare, push=push) if kind is Service else kind(edge, bare=bare)

    @staticmethod
    def _is_told(client: Client) -> bool:
        return not isinstance(client, Service) or client.push

    def token_face(self, number: int) -> Service:
        """A client of service for anybody who has a token."""
        face = Service(self.edges[0])
        face.account = self.accounts[number]
        return face

    def login(self, person: Person, kind: type[Client], edge: int, *, bare: bool, push: bool) -> Device:
        """One connection more."""
        self.note(f"{kind.__name__} of {person.number} logs in at edge {edge}{' for pushes' if push else ''}")
        client = self._dial(kind, self.edges[edge], bare=bare, push=push)
        client.login(self.accounts[person.number])
        return self.enter(client, person)

    def enter(self, client: Client, person: Person) -> Device:
        """Logged in just now: what it must see of what the person has missed."""
        device = Device(client, person, self.model, pushes=self._is_told(client))
        self.devices.append(device)
        if isinstance(client, Pipe) and not client.account.secret:
            same(device, client.unread, len(person.unread))
        if isinstance(client, V0 | V1 | V2):
            unread, person.unread = person.unread, []
            for said in unread:
                device.expect(Spoken(said))
        if isinstance(client, V1):
            kept, person.kept = person.kept, []
            for event in (*self.model.requests(person.number), *kept):
                device.expect(event)
        if isinstance(client, V2):
            device.known |= set(self.model.chats_of(person.number))
            look(self.model, device)
        self.check()
        return device

    def switch(self, device: Device, person: Person) -> None:
        """The same connection becomes somebody else's."""
        self.note(f"{device} becomes {person.number}")
        device.client.login(self.accounts[person.number])
        self.devices.remove(device)
        self.enter(device.client, person)

    def mistake(self, device: Device, person: Person) -> None:
        """A login that fails changes nothing."""
        self.note(f"{device} has a wrong password for {person.number}")
        secret = "wrong" if isinstance(device.client, Service) else ""
        wrong = replace(self.accounts[person.number], salt="wrong", secret=secret)
        with suppress(RequestRejected):
            device.client.login(wrong)
            raise Differs(f"{device} is let in with a wrong password")
        self.check()

    def leave(self, device: Device, *, politely: bool) -> None:
        self.note(f"{device} leaves {'politely' if politely else 'without a word'}")
        device.settle()
        self.devices.remove(device)
        if politely:
            device.client.line.close()
        else:
            device.client.line.vanish()

    def recall(self) -> None:
        """At last everybody reads everything."""
        for number, person in self.model.people.items():
            face = self.token_face(number)
            reader = Device(face, person, self.model, pushes=False)
            look(self.model, reader)
            for chat in self.model.chats_of(number).values():
                walk(self.model, reader, chat, 9, chat.before, 200)
            face.line.close()

    def close(self) -> None:
        for device in self.devices:
            device.client.line.close()

    # What is done, here and there

    def do(self, act: Callable[[], object], becomes: Callable[[], News]) -> None:
        """What the model forbids must be refused."""
        try:
            news = becomes()
        except Forbidden:
            with suppress(RequestRejected):
                act()
                raise Differs("what nobody may do was not refused") from None
        else:
            act()
            self.spread(news)
        self.check()

    def spread(self, news: News, by: Device | None = None) -> None:
        """To all devices of whom it concerns. What a device did itself it is told by the answer, or by an echo."""
        for number, event in news:
            person = self.model.people[number]
            here = [one for one in self.devices if one.person is person]
            if isinstance(event, Spoken):
                here = [one for one in here if one.pushes]
                if here and event.said in person.unread:
                    person.unread.remove(event.said)
            for device in here:
                if device is not by:
                    device.expect(event)
                elif device.client.sees_own and isinstance(event, Spoken):
                    device.expect(event, own=True)
                else:
                    device.answered(event)
            shown = any(isinstance(one.client, V1) for one in here)
            if isinstance(event, KEPT) and not shown and getattr(event, "chat", 0) != LOBBY:
                person.kept.append(event)

    def check(self) -> None:
        for device in self.devices:
            device.settle()

    # Messages

    def say(self, device: Device, chat: Chat, segments: tuple[Segment, ...]) -> None:
        self.note(f"{device} says {segments} in {chat.number}")
        client = device.client
        client.send_message(chat.number, segments, self.address(device, chat))
        try:
            news = self.model.say(chat, device.person.number, client.dialect, segments)
        except Forbidden:
            with suppress(RequestRejected):
                client.acknowledged()
                raise Differs(f"{device} may speak in {chat.number}") from None
        else:
            self._spoken(device, chat.said[-1], news)
        self.check()

    def _spoken(self, device: Device, said: Said, news: News) -> None:
        self.spread(news, by=device)
        if not device.client.sees_own:
            self.acknowledge(device, said)

    def acknowledge(self, device: Device, said: Said) -> None:
        if index := device.client.acknowledged():
            learn(said, Sight("index", {}, {"index": index}), str(device))

    @staticmethod
    def address(device: Device, chat: Chat) -> int:
        """How v1 and pipe name a private chat; 0 for all others."""
        by_person = isinstance(device.client, V1 | Pipe) and chat.pair is not None
        return chat.other(device.person.number) if by_person and device.person.number in chat.first else 0

    def whisper(self, device: Device, other: Person, words: str) -> None:
        """The first word between two people makes their chat."""
        self.note(f"{device} says {words} to {other.number}")
        if chat := self.model.private(device.person.number, other.number):
            return self.say(device, chat, (words,))
        if isinstance(device.client, Service):
            number = device.client.create("", [other.uuid], private=True)
            self.spread(self.model.open_private(number, device.person.number, other.number))
            self.check()
            return self.say(device, self.model.chats[number], (words,))
        device.client.send_message(0, (words,), other.number)
        self._spoken(device, *self.said(self.private_chat(device.person, other), device, (words,)))
        self.check()

    def said(self, chat: Chat, device: Device, segments: tuple[Segment, ...]) -> tuple[Said, News]:
        news = self.model.say(chat, device.person.number, device.client.dialect, segments)
        return chat.said[-1], news

    def private_chat(self, person: Person, other: Person) -> Chat:
        """What a first word has just made."""
        number = self._private_number(person, other)
        self.spread(self.model.open_private(number, person.number, other.number))
        return self.model.chats[number]

    def _private_number(self, person: Person, other: Person) -> int:
        """Neither v1 nor pipe tells it: service does, once the chat is there."""
        face, deadline = self.token_face(person.number), time.monotonic() + SECONDS
        while time.monotonic() < deadline:
            for number, chat in face.chats().items():
                if chat["type"] == "user" and other.uuid in chat["usrs"]:
                    face.line.close()
                    return number
        raise Differs(f"{person.number} has no private chat with {other.number}")

    # Groups

    def create(self, device: Device, name: str, others: Sequence[int] = ()) -> Chat:
        self.note(f"{device} makes a group with {list(others)}")
        client, people = device.client, self.model.people
        policy: Policy = "approval"
        if isinstance(client, V2):
            number, policy = client.create(list(others), name), "closed"
        elif isinstance(client, Service):
            number, policy = client.create(name, [people[one].uuid for one in others]), "open"
        else:
            assert isinstance(client, V1 | Pipe)
            number, others = client.found(name), ()
        self.spread(self.model.create(number, name, device.person.number, others, policy), by=device)
        if isinstance(client, V2):
            device.list_session(number)
        self.check()
        return self.model.chats[number]

    def apply(self, device: Device, chat: Chat) -> None:
        self.note(f"{device} applies to {chat.number}")
        client, number = device.client, device.person.number
        if isinstance(client, Service):
            return self._join(device, client, chat)
        assert isinstance(client, V1 | Pipe)
        text = "may I?" if isinstance(client, Pipe) else ""
        self.do(lambda: client.apply(chat.number, text), lambda: self.model.apply(chat, number, text))

    def _join(self, device: Device, client: Service, chat: Chat) -> None:
        """An application is no success in service, but one it is."""
        number, waits = device.person.number, chat.policy == "approval"
        if waits and number not in chat.first:
            with suppress(RequestRejected):
                client.join(chat.number)
                raise Differs(f"{device} has joined {chat.number}, where one applies")
            self.spread(self.model.apply(chat, number, ""))
            return self.check()
        self.do(lambda: client.join(chat.number), lambda: self.model.apply(chat, number, ""))

    def answer_applicant(self, device: Device, chat: Chat, applicant: int, *, accept: bool) -> None:
        self.note(f"{device} {'takes' if accept else 'does not take'} {applicant} into {chat.number}")
        client, by = device.client, device.person.number
        assert isinstance(client, V1 | Pipe)
        self.do(
            lambda: client.answer_applicant(chat.number, chat.name, applicant, accept=accept),
            lambda: self.model.answer_applicant(chat, by, applicant, accept=accept, pull=isinstance(client, V1)),
        )

    def rename_group(self, device: Device, chat: Chat, name: str) -> None:
        self.note(f"{device} calls {chat.number} {name}")
        client, by = device.client, device.person.number
        assert isinstance(client, V1)
        self.do(lambda: client.rename_group(chat.number, name), lambda: self.model.rename_group(chat, by, name))

    # Between people

    def befriend(self, device: Device, other: Person, text: str) -> None:
        self.note(f"{device} wants to be a friend of {other.number}")
        client, person = device.client, device.person
        assert isinstance(client, V1 | Pipe)
        said = text if isinstance(client, Pipe) else ""
        self.do(lambda: client.befriend(other.number, text), lambda: self.model.befriend(person, other, said))

    def answer_friend(self, device: Device, applicant: Person, *, accept: bool) -> None:
        self.note(f"{device} {'accepts' if accept else 'refuses'} {applicant.number}")
        client, person = device.client, device.person
        assert isinstance(client, V1 | Pipe)
        self.do(
            lambda: client.answer_friend(applicant.number, accept=accept),
            lambda: self.model.answer_friend(person, applicant, accept=accept),
        )

    def unfriend(self, device: Device, other: Person) -> None:
        self.note(f"{device} is no friend of {other.number} any more")
        client = device.client
        assert isinstance(client, Pipe)
        self.do(lambda: client.unfriend(other.number), lambda: self.model.unfriend(device.person, other))

    def rename(self, device: Device, name: str) -> None:
        self.note(f"{device} is called {name}")
        client = device.client
        assert isinstance(client, V1 | V2 | Pipe)
        self.do(lambda: client.rename(name), lambda: self.model.rename(device.person, name))
