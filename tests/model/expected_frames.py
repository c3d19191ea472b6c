"""For each dialect, the frames that show an event according to its document.

There are none if the dialect has no frame for it.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from typing import Any

from tests.clients.client import Segment, Sight
from tests.model.model import (
    Change,
    ChatAppeared,
    ChatLeft,
    Event,
    FriendRequestAnswered,
    FriendRequested,
    GroupRenamed,
    JoinRequestAnswered,
    JoinRequested,
    MessageChanged,
    MessagePosted,
    Model,
    RoleChanged,
    SentMessage,
    UserRenamed,
)

STORED_EVENTS = FriendRequestAnswered | JoinRequestAnswered
"""Events that the server stores until the user logs in, in a dialect that shows them."""
_QUOTE_CHARACTERS = 80


def text(segments: tuple[Segment, ...]) -> str:
    return " ".join(one if isinstance(one, str) else f"[emoji:{one}]" for one in segments)


def shown_text(message: SentMessage, model: Model) -> str:
    return text(with_quote(message, model))


def with_quote(message: SentMessage, model: Model) -> tuple[Segment, ...]:
    """Adds a line of the quoted message before the text of a reply."""
    if not message.reply_to:
        return message.segments
    other = message.quoted or model.chats[message.chat].message(message.reply_to)
    line = _one_line(f"> {_one_line(model.users[other.sender].name)}: {_one_line(text(other.segments))}")
    first, *more = message.segments
    return (f"{line}\n{first}", *more) if isinstance(first, str) else (f"{line}\n", first, *more)


def _one_line(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _QUOTE_CHARACTERS else line[: _QUOTE_CHARACTERS - 1] + "…"


def v0(event: Event, model: Model) -> list[Sight]:
    if not isinstance(event, MessagePosted):
        return []
    message, sights = event.message, []
    where = {"cid": message.chat, "sender_id": f"{message.sender:010d}"}
    for emojis, run in groupby(with_quote(message, model), lambda one: isinstance(one, int)):
        if emojis:
            sights += [Sight("emoji", {**where, "emojiId": one}) for one in run]
        else:
            sights.append(Sight("text", {**where, "msg": text(tuple(run))}))
    return sights


def v1(event: Event, model: Model) -> list[Sight]:
    match event:
        case MessagePosted(message):
            chat = model.chats[message.chat]
            where = {"group_id": message.chat} if chat.pair is None else {"private_id": chat.other(message.sender)}
            return [Sight("message", {"ocid": message.sender, **where, "msg": shown_text(message, model)})]
        case FriendRequested(applicant, account, words):
            return [Sight("asked", {"add_ocid": account, "ocid": applicant, **({"text": words} if words else {})})]
        case JoinRequested(group, applicant, words):
            return [Sight("asked", {"group_id": group, "ocid": applicant, **({"text": words} if words else {})})]
        case FriendRequestAnswered(applicant, account, accepted):
            return [Sight("befriended" if accepted else "rejected", {"add_ocid": account, "ocid": applicant})]
        case JoinRequestAnswered(group, name, account, True):
            return [Sight("admitted", {"group_id": group, "group_name": name, "ocid": account})]
        case JoinRequestAnswered(group, _, account):
            return [Sight("rejected", {"group_id": group, "ocid": account})]
        case GroupRenamed(group, name, by):
            return [Sight("renamed", {"group_id": group, "ocid": by, "name": name, "group_name": name})]
        case UserRenamed(account, name):
            return [Sight("renamed", {"ocid": account, "name": name, "group_name": name})]
        case ChatAppeared() | ChatLeft() | MessageChanged() | RoleChanged():
            return []


def v2(event: Event, model: Model) -> list[Sight]:
    match event:
        case MessagePosted(message):
            words = {
                "session_id": message.chat,
                "ocid": f"{message.sender:010d}",
                "msg": list(with_quote(message, model)),
            }
            return [Sight("message", words)]
        case ChatAppeared(chat):
            return [Sight("appeared", {"session_id": chat})]
    return []


def service(event: Event, model: Model) -> list[Sight]:
    if not isinstance(event, MessagePosted):
        return []
    return [value(event.message, model, named=True)]


def value(message: SentMessage, model: Model, *, named: bool) -> Sight:
    """Returns a message as the history shows it."""
    sender = model.users[message.sender]
    words = {"chat": message.chat, "id": sender.uuid, "content": shown_text(message, model)}
    return Sight("message", {**words, "name": sender.name} if named else words)


def pipe(event: Event, model: Model) -> list[Sight]:
    match event:
        case MessagePosted(message):
            if model.chats[message.chat].pair is not None:
                return [Sight("message", {"type": "0", "id": message.sender, "data": shown_text(message, model)})]
            before = "" if message.dialect == "pipe" else f"{model.users[message.sender].name}: "
            return [Sight("message", {"type": "1", "id": message.chat, "data": before + shown_text(message, model)})]
        case FriendRequested(applicant, _, words):
            return [Sight("friend_request", {"fields": f"1|{applicant}|{_field(words)}|"})]
        case JoinRequested(group, applicant, words):
            return [Sight("group_request", {"fields": f"1|{applicant}|{group}|{_field(words)}|"})]
    return []


def native(event: Event, model: Model) -> list[Sight]:
    match event:
        case MessagePosted(message):
            return [native_message(message, model)]
        case MessageChanged(change):
            return [native_change(change)]
        case ChatAppeared(number):
            return [Sight("chat", {"chat": number, "kind": "group" if model.chats[number].pair is None else "private"})]
        case FriendRequested(applicant, _, words):
            return [Sight("request", {"account": applicant, "text": words, "chat": None})]
        case JoinRequested(group, applicant, words):
            return [Sight("request", {"account": applicant, "text": words, "chat": group})]
        case FriendRequestAnswered(applicant, account, accepted):
            return [Sight("friend", {"pair": {applicant, account}, "accepted": accepted})]
        case JoinRequestAnswered(group, name, account, accepted):
            return [Sight("member", {"chat": group, "account": account, "name": name, "accepted": accepted})]
        case ChatLeft(group, why):
            return [Sight("gone", {"chat": group, "why": why})]
        case RoleChanged(group, account, role, by):
            return [Sight("role", {"chat": group, "account": account, "role": role, "by": by})]
        case GroupRenamed(group, name, by):
            return [Sight("renamed", {"chat": group, "name": name, "by": by})]
        case UserRenamed(account, name):
            return [Sight("profile", {"account": account, "nickname": name})]


def native_change(change: Change) -> Sight:
    words: dict[str, Any] = {"chat": change.chat, "rev": change.rev, "index": change.index, "by": change.by}
    match change.kind:
        case "edit":
            words["segments"] = change.segments
        case "reaction":
            words |= {"reactions": change.reactions, "emoji": change.emoji, "on": change.is_on}
        case "pin":
            words["on"] = change.is_on
    return Sight(change.kind, words)


def native_message(message: SentMessage, model: Model, reader: int = 0) -> Sight:
    """Returns a message of native. `reader` is set for a page of history, which shows the reader's own reactions."""
    chat = model.chats[message.chat]
    to = None if chat.pair is None else chat.other(message.sender)
    name = model.users[message.sender].name
    return Sight(
        "message",
        {
            "chat": message.chat,
            "sender": message.sender,
            "to": to,
            "name": name,
            "segments": () if message.is_recalled else message.segments,
            "reply_to": message.reply_to,
            "edited": message.is_edited,
            "recalled": message.is_recalled,
            "reactions": {emoji: len(accounts) for emoji, accounts in message.reactions.items()},
            "mine": message.mine(reader),
        },
    )


def _field(text: str) -> str:
    """Replaces the bar in a text within a list, because a bar separates the fields."""
    return text.replace("|", "｜")


def irc(event: Event, model: Model) -> list[Sight]:
    """Returns the sight of a message.

    A reply has no quote, because clients with message tags get its reference as a tag.
    """
    if not isinstance(event, MessagePosted):
        return []
    message = event.message
    return [Sight("message", {"chat": message.chat, "sender": message.sender, "text": text(message.segments)})]


EXPECTED_FRAMES: Mapping[str, Callable[[Event, Model], list[Sight]]] = {
    "ourchat-v0": v0,
    "ourchat-v1": v1,
    "ourchat-v2": v2,
    "service": service,
    "pipe": pipe,
    "native": native,
    "irc": irc,
}


def possible_frames(dialect: str, event: Event, model: Model) -> list[list[Sight]]:
    """Returns the alternative sequences of frames that can show the event.

    There are several if the event is a message that is being changed, or a reply to such a message.
    """
    show = EXPECTED_FRAMES[dialect]
    if not isinstance(event, MessagePosted):
        return [show(event, model)]
    ways: list[list[Sight]] = []
    for message in model.possible(event.message):
        if (way := show(MessagePosted(message), model)) not in ways:
            ways.append(way)
    return ways


def shown_way(ways: Sequence[list[Sight]], seen: Sequence[Sight]) -> list[Sight]:
    """Returns the sequence whose first frame was seen, or else the first sequence."""
    return next((way for way in ways if list(seen[: len(way)]) == way), ways[0])
