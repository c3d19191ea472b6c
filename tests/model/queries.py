"""Compares results of queries with the model: chats, friends, the history, and unread messages."""

import time
from contextlib import suppress
from typing import Any

from tests.clients.client import RequestRejected
from tests.clients.irc import IrcWithHistory
from tests.clients.line import SECONDS
from tests.clients.native import Native
from tests.clients.ourchat_v2 import V2
from tests.clients.pipe import Pipe
from tests.clients.service import Service
from tests.model.changes import last_changes
from tests.model.device import ModelDevice, ModelMismatch, expect_same, learn_facts
from tests.model.expected_frames import EXPECTED_FRAMES, native_message, value
from tests.model.model import LOBBY, Chat, MessagePosted, Model, SentMessage

_PAGE = 200
_GROUP = ("name", "owner", "role")
_TIMELINE = 10
"""The number of messages of each chat that a sync in these tests requests. It is small, so that a sync leaves gaps."""


def check_account(model: Model, device: ModelDevice) -> None:
    """Checks everything that a client can request about its own account."""
    user, chats = device.user, model.chats_of(device.user.number)
    groups = {number for number, chat in chats.items() if chat.pair is None}
    match device.client:
        case V2() as client:
            seen = {"nickname": user.name, "sessions": set(chats), "friends": user.friends}
            expect_same(device, client.oneself(), seen)
            for number in chats:
                device.list_session(number)
        case Pipe() as client:
            expect_same(device, (client.groups(), client.friends()), (groups, user.friends))
            for number in groups - {LOBBY}:
                name, members = client.group(number)
                expect_same(device, (name, members[0]), (chats[number].name, chats[number].owner))
                expect_same(device, sorted(members), sorted(chats[number].first))
        case Service() as client:
            _check_account_by_service(model, device, client)
        case Native() as client:
            _check_account_by_native(model, device, client)
        case _:
            pass


def _check_account_by_native(model: Model, device: ModelDevice, client: Native) -> None:
    chats = model.chats_of(device.user.number)
    expect_same(device, (client.friends(), client.blocked()), (device.user.friends, device.user.blocked))
    for number, chat in chats.items():
        shown = client.chat(number)
        if number != LOBBY:
            expect_same(device, sorted(shown["members"]), sorted(chat.first))
            expect_same(device, client.roles(number), {one: chat.role(one) for one in chat.first})
            if device.user.number in chat.leaders:
                expect_same(device, client.bans(number), chat.banned)
            check_listed_changes(device, client, chat)
        if chat.pair is None:
            expect_same(device, (shown["name"], shown["owner"]), (chat.name, chat.owner))
    heads = client.chats()
    expect_same(device, {number: one["head"] for number, one in heads.items()}, {n: chats[n].head for n in chats})
    device.settle_on(lambda: {number: one["unread"] for number, one in client.chats().items()}, device.unread)


def check_listed_changes(device: ModelDevice, client: Native, chat: Chat) -> None:
    values = [(one.kind, one.values) for one in client.changes(chat.number)]
    shown = [(one["rev"], one["index"], kind, one["by"]) for kind, one in values if one["index"] > chat.before]
    expect_same(device, shown, last_changes(chat, device.user.number))


def check_missed(model: Model, device: ModelDevice, client: Native, chat: Chat, position: tuple[int, int]) -> None:
    """Checks the sync of a client that has all messages up to this index and all changes up to this rev."""
    (index, rev), number = position, device.user.number
    missing = [message for message in chat.visible(number) if message.index > index]
    messages, changes = client.missed(chat.number, index, rev, _TIMELINE)
    expect_same(device, messages, [native_message(message, model, number) for message in missing[-_TIMELINE:]])
    shown = [(one["rev"], one["index"], one["kind"], one["by"]) for one in changes]
    expect_same(device, shown, [one for one in last_changes(chat, number) if one[0] > rev and one[1] <= index])


def check_resumed(model: Model, device: ModelDevice, known: dict[int, dict[str, Any]]) -> None:
    """Checks the chat summaries of a client that was offline and had `known` before. They must equal the model's, and
    those that a client without any gets.

    Read positions still change until the server has stored the receipts of messages that older protocols have shown.
    """
    client, number = device.client, device.user.number
    assert isinstance(client, Native)
    device.settle_on(lambda: {one: head["unread"] for one, head in client.chats().items()}, device.unread)
    deadline = time.monotonic() + SECONDS
    while (heads := client.resumed(known)) != (wanted := client.chats()):
        known = heads
        if time.monotonic() > deadline:
            expect_same(device, heads, wanted)
    chats = model.chats_of(number)
    seen = {one: (head["head"], "muted_until" in head) for one, head in heads.items()}
    expect_same(device, seen, {one: (chat.head, number in chat.unalerted) for one, chat in chats.items()})
    for chat in chats.values():
        head = heads[chat.number]
        if chat.pair is not None:
            expect_same(device, head["face"]["nickname"], model.users[chat.other(number)].name)
        elif chat.number != LOBBY:
            expect_same(device, [head[name] for name in _GROUP], [chat.name, chat.owner, chat.role(number)])


def check_native_history(model: Model, device: ModelDevice, chat: Chat) -> None:
    """Checks the newest messages and their reactions. This must not mark messages as read."""
    assert isinstance(device.client, Native)
    number = device.user.number
    wanted = chat.visible(number)[::-1][:_PAGE]
    seen = device.client.read_history(chat.number, -1, len(wanted), "older") if wanted else []
    expect_same(device, seen, [native_message(message, model, number) for message in wanted])
    for message, sight in zip(wanted, seen, strict=True):
        learn_facts(message, sight, str(device))


def _check_account_by_service(model: Model, device: ModelDevice, client: Service) -> None:
    chats, seen = model.chats_of(device.user.number), client.chats()
    expect_same(device, set(seen), set(chats))
    for number, chat in chats.items():
        expect_same(device, seen[number]["type"], "chat" if chat.pair is None else "user")
        if number != LOBBY:
            expect_same(device, set(seen[number]["usrs"]), {model.users[one].uuid for one in chat.first})
        if chat.pair is None:
            expect_same(device, seen[number]["name"], chat.name)


def check_history(model: Model, device: ModelDevice, chat: Chat, code: int, index: int, count: int) -> None:
    """Checks the history in the two directions of the dialect service. Messages that it shows are delivered."""
    assert isinstance(device.client, Service)
    if device.user.number not in chat.first:
        with suppress(RequestRejected):
            device.client.read_history(code, chat.number, index, count)
            raise ModelMismatch(f"{device} may read {chat.number}")
        return
    wanted = expected_history(chat, device.user.number, code, index, count)
    seen = [
        one for one in device.client.read_history(code, chat.number, index, count) if one.facts["index"] > chat.before
    ]
    expect_same(device, seen, [value(message, model, named=code == 9) for message in wanted])
    for message, sight in zip(wanted, seen, strict=True):
        learn_facts(message, sight, str(device))
    device.user.undelivered = [message for message in device.user.undelivered if message not in wanted]


def expected_history(chat: Chat, number: int, code: int, index: int, count: int) -> list[SentMessage]:
    """Returns the page from `index` on; a negative `index` counts from the newest message.

    Code 3 reads older messages, and code 9 reads newer ones.
    """
    visible = chat.visible(number)
    newest_first = visible[::-1]
    if index < 0:
        start = chat.head + index + 1
        return [message for message in newest_first if message.index <= start][:count]
    if code == 3:
        return [message for message in newest_first if message.index <= index][:count]
    return [message for message in visible if message.index >= index][:count]


def check_history_of_irc(model: Model, device: ModelDevice, chat: Chat, count: int) -> None:
    assert isinstance(device.client, IrcWithHistory)
    newest = [message for message in chat.visible(device.user.number) if not message.is_recalled][-count:]
    wanted = [sight for message in newest for sight in EXPECTED_FRAMES["irc"](MessagePosted(message), model)]
    seen = device.client.history(chat.number, count)
    expect_same(device, seen, wanted)
    for message, sight in zip(newest, seen, strict=True):
        learn_facts(message, sight, str(device))


def take_unread(model: Model, device: ModelDevice, count: int) -> None:
    """Takes the oldest undelivered messages. They are then delivered."""
    assert isinstance(device.client, Pipe)
    wanted = device.user.undelivered[:count]
    device.client.take_unread(count)
    seen = [device.client.see() for _ in wanted]
    device.client.friends()  # the server replies to this request after it has sent all unread messages
    for message, sight in zip(wanted, seen, strict=True):
        expect_same(device, [sight], EXPECTED_FRAMES["pipe"](MessagePosted(message), model))
        learn_facts(message, sight, str(device))
    device.user.undelivered = device.user.undelivered[count:]
