"""The users of a model, with connections to a running system.

Each action is done in the system and in the model. Afterwards, each client must see what the model predicts.
"""

import secrets
import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace

from tests.clients.client import Account, Client, RequestRejected, Segment, Sight
from tests.clients.irc import Irc, IrcWithHistory
from tests.clients.line import SECONDS
from tests.clients.native import Native
from tests.clients.ourchat_v0 import V0
from tests.clients.ourchat_v1 import V1
from tests.clients.ourchat_v2 import V2, Pc
from tests.clients.pipe import Pipe
from tests.clients.service import Service
from tests.model.device import ModelDevice, ModelMismatch, SleepingClient, expect_same, learn_facts
from tests.model.expected_frames import STORED_EVENTS
from tests.model.model import (
    LOBBY,
    Chat,
    Forbidden,
    MessagePosted,
    Model,
    ModelUser,
    Notifications,
    Policy,
    SentMessage,
)
from tests.model.queries import check_account, check_history, check_native_history, check_resumed

CLIENTS: tuple[type[Client], ...] = (V0, V1, V2, Pc, Service, Pipe, Native, Irc, IrcWithHistory)
HOST = V2
"""The client of the first user, who creates the session of all users."""


def has_device(client: Client) -> bool:
    """Whether the client's device has missed what the user's other clients have got."""
    return isinstance(client, Irc) and not isinstance(client, IrcWithHistory)


class ModelHarness:
    def __init__(self, edges: Sequence[str], lobby_head: int, lobby_rev: int) -> None:
        self.edges = edges
        self.model = Model(lobby_head, lobby_rev)
        self.devices: list[ModelDevice] = []
        self.accounts: dict[int, Account] = {}
        self.sleeping: list[SleepingClient] = []
        self.log: list[str] = []

    def note(self, line: str) -> None:
        self.log.append(line)

    # Logins

    def register_users(self, kinds: Sequence[type[Client]]) -> None:
        """Registers one user with each of these clients. The first user creates a session of all users."""
        for number, kind in enumerate(kinds):
            self.devices.append(self._register(kind, self.edges[number % len(self.edges)]))
        self._create_session_of_all(self.devices[0], [device.user.number for device in self.devices[1:]])

    def _register(self, kind: type[Client], edge: str) -> ModelDevice:
        account = Account(f"u{secrets.token_hex(5)}")
        if kind is Service:
            account.uuid, account.secret = str(uuid.uuid4()), secrets.token_hex(8)
        client = self._dial(kind, edge)
        name = account.uuid[:8] or (account.tag if kind is V0 else f"名 {account.tag[1:5]}")
        client.register(account, name)
        self.note(f"{kind.__name__} of {account.id} is born at {edge}")
        user = ModelUser(account.id, name, account.uuid)
        self.model.users[user.number], self.accounts[user.number] = user, account
        if kind is V0:
            self.model.chats[LOBBY].first[user.number] = 1
        device = ModelDevice(client, user, self.model, pushes=self._receives_messages(client))
        device.known |= set(self.model.chats_of(user.number))
        return device

    def _create_session_of_all(self, host: ModelDevice, others: list[int]) -> None:
        """Creates a session of all users.

        The dialect service lists the members' UUIDs in the order of joining, so each user's UUID is known.
        """
        chat = self.create(host, "广场", others)
        reader = self.token_client(host.user.number)
        for number, one in zip(chat.first, reader.chats()[chat.number]["usrs"], strict=True):
            user = self.model.users[number]
            user.uuid = user.uuid or one
            self.accounts[number].uuid = user.uuid
            expect_same("service", one, user.uuid)
        reader.line.close()

    @staticmethod
    def _dial(kind: type[Client], edge: str, *, bare: bool = False, push: bool = False) -> Client:
        return Service(edge, bare=bare, push=push) if kind is Service else kind(edge, bare=bare)

    @staticmethod
    def _receives_messages(client: Client) -> bool:
        return not isinstance(client, Service) or client.push

    def token_client(self, number: int) -> Service:
        """Returns a client of the dialect service that is logged in by the account's token."""
        reader = Service(self.edges[0])
        reader.account = self.accounts[number]
        return reader

    def first_unread(self, user: ModelUser, chat: Chat) -> int:
        """Returns the index after the messages that the user has read, as a client of native shows it."""
        client = Native(self.edges[0])
        client.login_by_token(self.accounts[user.number])
        device = self.enter(client, user)
        first: int = client.chats()[chat.number]["read"] + 1
        self.leave(device, politely=True)
        return first

    def login(self, user: ModelUser, kind: type[Client], edge: int, *, bare: bool, push: bool) -> ModelDevice:
        """Opens another connection of a user."""
        self.note(f"{kind.__name__} of {user.number} logs in at edge {edge}{' for pushes' if push else ''}")
        client = self._dial(kind, self.edges[edge], bare=bare, push=push)
        client.login(self.accounts[user.number])
        return self.enter(client, user)

    def enter(self, client: Client, user: ModelUser) -> ModelDevice:
        """Adds a client that has just logged in. Expects the events that its user has missed."""
        device = ModelDevice(client, user, self.model, pushes=self._receives_messages(client))
        self.devices.append(device)
        if isinstance(client, Pipe) and not client.account.secret:
            expect_same(device, client.unread, len(user.undelivered))
        if has_device(client):
            undelivered = user.undelivered if user.undelivered_on_irc is None else user.undelivered_on_irc
            user.undelivered_on_irc = []
            user.undelivered = [message for message in user.undelivered if message not in undelivered]
            for message in undelivered:
                device.expect(MessagePosted(message))
        elif isinstance(client, V0 | V1 | V2):
            undelivered, user.undelivered = user.undelivered, []
            for message in undelivered:
                device.expect(MessagePosted(message))
        if isinstance(client, V1 | Native):
            stored, user.stored_events = user.stored_events, []
            for event in (*self.model.requests(user.number), *stored):
                device.expect(event)
        if isinstance(client, V2):
            device.known |= set(self.model.chats_of(user.number))
            check_account(self.model, device)
        self.check()
        return device

    def wake(self, client: SleepingClient, edge: int) -> None:
        self.sleeping.remove(client)
        device = self.login(client.user, Native, edge, bare=False, push=False)
        check_resumed(self.model, device, client.heads)

    def switch(self, device: ModelDevice, user: ModelUser) -> None:
        """Logs in another user on the same connection."""
        self.note(f"{device} becomes {user.number}")
        device.client.login(self.accounts[user.number])
        self.devices.remove(device)
        self.enter(device.client, user)

    def fail_login(self, device: ModelDevice, user: ModelUser) -> None:
        """Attempts a login that fails and must change nothing."""
        self.note(f"{device} has a wrong password for {user.number}")
        secret = "wrong" if isinstance(device.client, Service) else ""
        wrong = replace(self.accounts[user.number], salt="wrong", secret=secret)
        with suppress(RequestRejected):
            device.client.login(wrong)
            raise ModelMismatch(f"{device} is let in with a wrong password")
        self.check()

    def leave(self, device: ModelDevice, *, politely: bool) -> None:
        self.note(f"{device} leaves {'politely' if politely else 'without a word'}")
        device.settle()
        self.devices.remove(device)
        if politely:
            device.client.line.close()
        else:
            device.client.line.vanish()

    def check_final_state(self) -> None:
        """Lets all clients connect again at the end, and checks that each user can read everything."""
        for sleeping in [*self.sleeping]:
            self.wake(sleeping, 0)
        for number, user in self.model.users.items():
            client = self.token_client(number)
            reader = ModelDevice(client, user, self.model, pushes=False)
            check_account(self.model, reader)
            for chat in self.model.chats_of(number).values():
                check_history(self.model, reader, chat, 9, chat.before, 200)
            client.line.close()
            self._check_final_state_by_native(user)

    def _check_final_state_by_native(self, user: ModelUser) -> None:
        client = Native(self.edges[1])
        client.login_by_token(self.accounts[user.number])
        reader = ModelDevice(client, user, self.model, pushes=False)
        check_account(self.model, reader)
        for chat in self.model.chats_of(user.number).values():
            check_native_history(self.model, reader, chat)
        client.line.close()

    def close(self) -> None:
        for device in self.devices:
            device.client.line.close()

    # The methods below act on the system and on the model.

    def do(
        self, act: Callable[[], object], becomes: Callable[[], Notifications], by: ModelDevice | None = None
    ) -> None:
        """Acts on the system and on the model.

        If the model forbids the action, the system must reject it. `by` is the client that only sees a reply.
        """
        try:
            notifications = becomes()
        except Forbidden:
            with suppress(RequestRejected):
                act()
                raise ModelMismatch("what nobody may do was not refused") from None
        else:
            act()
            self.expect_notifications(notifications, by)
        self.check()

    def expect_notifications(self, notifications: Notifications, by: ModelDevice | None = None) -> None:
        """Expects each notification on all clients of its account.

        The acting client sees a reply or an echo instead.
        """
        for number, event in notifications:
            user = self.model.users[number]
            here = [one for one in self.devices if one.user is user]
            if isinstance(event, MessagePosted):
                here = [one for one in here if one.pushes]
                if any(not isinstance(one.client, Native) for one in here) and event.message in user.undelivered:
                    user.undelivered.remove(event.message)
                on_irc = user.undelivered_on_irc or []
                if any(has_device(one.client) for one in here) and event.message in on_irc:
                    on_irc.remove(event.message)
            for device in here:
                if device is not by:
                    device.expect(event)
                elif device.client.sees_own and isinstance(event, MessagePosted):
                    device.expect(event, own=True)
                else:
                    device.answered(event)
            shown = any(isinstance(one.client, V1 | Native) for one in here)
            if isinstance(event, STORED_EVENTS) and not shown and getattr(event, "chat", 0) != LOBBY:
                user.stored_events.append(event)

    def check(self) -> None:
        for device in self.devices:
            device.settle()

    # Messages

    def send(self, device: ModelDevice, chat: Chat, segments: tuple[Segment, ...], reply_to: int = 0) -> None:
        self.note(f"{device} says {segments} in {chat.number}{f' to {reply_to}' if reply_to else ''}")
        client = device.client
        if reply_to:
            assert isinstance(client, Native)
            client.reply_to(chat.number, reply_to, segments)
        else:
            client.send_message(chat.number, segments, self.address(device, chat))
        try:
            notifications = self.model.send(chat, device.user.number, client.dialect, segments, reply_to)
        except Forbidden:
            with suppress(RequestRejected):
                client.acknowledged()
                raise ModelMismatch(f"{device} may speak in {chat.number}") from None
        else:
            self._posted(device, chat.messages[-1], notifications)
        self.check()

    def _posted(self, device: ModelDevice, message: SentMessage, notifications: Notifications) -> None:
        self.expect_notifications(notifications, by=device)
        if not device.client.sees_own:
            self.acknowledge(device, message)

    def acknowledge(self, device: ModelDevice, message: SentMessage) -> None:
        if index := device.client.acknowledged():
            learn_facts(message, Sight("index", {}, {"index": index}), str(device))

    @staticmethod
    def address(device: ModelDevice, chat: Chat) -> int:
        """Returns the number of the other member, by which v1, pipe and IRC address a private chat.

        Returns 0 in all other cases.
        """
        by_person = isinstance(device.client, V1 | Pipe | Irc) and chat.pair is not None
        return chat.other(device.user.number) if by_person and device.user.number in chat.first else 0

    def send_private(self, device: ModelDevice, other: ModelUser, words: str) -> None:
        """Sends a private message. The first one creates the chat."""
        self.note(f"{device} says {words} to {other.number}")
        if chat := self.model.private(device.user.number, other.number):
            return self.send(device, chat, (words,))
        if self.model.is_blocked(device.user.number, [other.number]):
            return self._fail_to_send_private(device, other, words)
        if isinstance(device.client, Service):
            number = device.client.create("", [other.uuid], private=True)
            self.expect_notifications(self.model.open_private(number, device.user.number, other.number))
            self.check()
            return self.send(device, self.model.chats[number], (words,))
        device.client.send_message(0, (words,), other.number)
        self._posted(device, *self.record_message(self.private_chat(device.user, other), device, (words,)))
        self.check()

    def _fail_to_send_private(self, device: ModelDevice, other: ModelUser, words: str) -> None:
        """Sends a private message to a user who blocks the sender. Expects that it is rejected."""
        with suppress(RequestRejected):
            if isinstance(device.client, Service):
                device.client.create("", [other.uuid], private=True)
            else:
                device.client.send_message(0, (words,), other.number)
                device.client.acknowledged()
            raise ModelMismatch(f"{device} may write to {other.number}")
        self.check()

    def record_message(
        self, chat: Chat, device: ModelDevice, segments: tuple[Segment, ...], reply_to: int = 0
    ) -> tuple[SentMessage, Notifications]:
        notifications = self.model.send(chat, device.user.number, device.client.dialect, segments, reply_to)
        return chat.messages[-1], notifications

    def private_chat(self, user: ModelUser, other: ModelUser) -> Chat:
        """Returns the private chat that a first message has just created."""
        number = self._private_number(user, other)
        self.expect_notifications(self.model.open_private(number, user.number, other.number))
        return self.model.chats[number]

    def _private_number(self, user: ModelUser, other: ModelUser) -> int:
        """Returns the number of a private chat, which v1 and pipe do not show.

        The dialect service shows it as soon as the chat exists.
        """
        reader, deadline = self.token_client(user.number), time.monotonic() + SECONDS
        while time.monotonic() < deadline:
            for number, chat in reader.chats().items():
                if chat["type"] == "user" and other.uuid in chat["usrs"]:
                    reader.line.close()
                    return number
        raise ModelMismatch(f"{user.number} has no private chat with {other.number}")

    # Groups

    def create(self, device: ModelDevice, name: str, others: Sequence[int] = ()) -> Chat:
        """Raises Forbidden if one of the others blocks the creator."""
        self.note(f"{device} makes a group with {list(others)}")
        client = device.client
        if isinstance(client, V1 | Pipe):
            others = ()
        if self.model.is_blocked(device.user.number, others):
            with suppress(RequestRejected):
                self._create(client, name, others)
                raise ModelMismatch(f"{device} may add a user that blocks it")
            raise Forbidden
        number, policy = self._create(client, name, others)
        self.expect_notifications(self.model.create(number, name, device.user.number, others, policy), by=device)
        if isinstance(client, V2):
            device.list_session(number)
        self.check()
        return self.model.chats[number]

    def _create(self, client: Client, name: str, others: Sequence[int]) -> tuple[int, Policy]:
        """Raises RequestRejected."""
        match client:
            case V2():
                return client.create(list(others), name), "closed"
            case Service():
                return client.create(name, [self.model.users[one].uuid for one in others]), "open"
            case Native():
                return client.create(others, name), "approval"
        assert isinstance(client, V1 | Pipe)
        return client.create_group(name), "approval"

    def apply(self, device: ModelDevice, chat: Chat) -> None:
        self.note(f"{device} applies to {chat.number}")
        client, number = device.client, device.user.number
        if isinstance(client, Service):
            return self._join(device, client, chat)
        assert isinstance(client, V1 | Pipe | Native)
        text = "" if isinstance(client, V1) else "may I?"
        self.do(lambda: client.apply(chat.number, text), lambda: self.model.apply(chat, number, text))

    def _join(self, device: ModelDevice, client: Service, chat: Chat) -> None:
        """Joins a group. In the dialect service, a valid application for membership gets an error as its reply."""
        number, waits = device.user.number, chat.policy == "approval"
        if waits and number not in chat.first.keys() | chat.banned:
            with suppress(RequestRejected):
                client.join(chat.number)
                raise ModelMismatch(f"{device} has joined {chat.number}, where one applies")
            self.expect_notifications(self.model.apply(chat, number, ""))
            return self.check()
        self.do(lambda: client.join(chat.number), lambda: self.model.apply(chat, number, ""))

    def answer_applicant(self, device: ModelDevice, chat: Chat, applicant: int, *, accept: bool) -> None:
        self.note(f"{device} {'takes' if accept else 'does not take'} {applicant} into {chat.number}")
        client, by = device.client, device.user.number
        assert isinstance(client, V1 | Pipe | Native)
        self.do(
            lambda: client.answer_applicant(chat.number, chat.name, applicant, accept=accept),
            lambda: self.model.answer_applicant(chat, by, applicant, accept=accept, pull=isinstance(client, V1)),
        )

    def rename_group(self, device: ModelDevice, chat: Chat, name: str) -> None:
        self.note(f"{device} calls {chat.number} {name}")
        client, by = device.client, device.user.number
        assert isinstance(client, V1 | Native)
        self.do(lambda: client.rename_group(chat.number, name), lambda: self.model.rename_group(chat, by, name))

    # Friends and profiles

    def request_friend(self, device: ModelDevice, other: ModelUser, text: str) -> None:
        self.note(f"{device} wants to be a friend of {other.number}")
        client, user = device.client, device.user
        assert isinstance(client, V1 | Pipe | Native)
        expected = "" if isinstance(client, V1) else text
        self.do(
            lambda: client.request_friend(other.number, text), lambda: self.model.request_friend(user, other, expected)
        )

    def answer_friend(self, device: ModelDevice, applicant: ModelUser, *, accept: bool) -> None:
        self.note(f"{device} {'accepts' if accept else 'refuses'} {applicant.number}")
        client, user = device.client, device.user
        assert isinstance(client, V1 | Pipe | Native)
        self.do(
            lambda: client.answer_friend(applicant.number, accept=accept),
            lambda: self.model.answer_friend(user, applicant, accept=accept),
        )

    def remove_friend(self, device: ModelDevice, other: ModelUser) -> None:
        self.note(f"{device} is no friend of {other.number} any more")
        client = device.client
        assert isinstance(client, Pipe | Native)
        self.do(lambda: client.remove_friend(other.number), lambda: self.model.remove_friend(device.user, other))

    def rename(self, device: ModelDevice, name: str) -> None:
        self.note(f"{device} is called {name}")
        client = device.client
        assert isinstance(client, V1 | V2 | Pipe | Native)
        self.do(lambda: client.rename(name), lambda: self.model.rename(device.user, name))
