"""What each dialect shows of an event, as the documents have it; nothing where it has no words for it."""

from collections.abc import Callable, Mapping
from itertools import groupby

from tests.clients.client import Segment, Sight
from tests.model.model import (
    Answered,
    Appeared,
    Applied,
    Event,
    FriendAnswered,
    FriendAsked,
    GroupRenamed,
    Model,
    PersonRenamed,
    Said,
    Spoken,
)

KEPT = FriendAnswered | Answered
"""What is told later to who is not there in a dialect that shows it."""


def text(segments: tuple[Segment, ...]) -> str:
    return " ".join(one if isinstance(one, str) else f"[emoji:{one}]" for one in segments)


def v0(event: Event, model: Model) -> list[Sight]:
    if not isinstance(event, Spoken):
        return []
    said, sights = event.said, []
    where = {"cid": said.chat, "sender_id": f"{said.sender:010d}"}
    for emojis, run in groupby(said.segments, lambda one: isinstance(one, int)):
        if emojis:
            sights += [Sight("emoji", {**where, "emojiId": one}) for one in run]
        else:
            sights.append(Sight("text", {**where, "msg": text(tuple(run))}))
    return sights


def v1(event: Event, model: Model) -> list[Sight]:
    match event:
        case Spoken(said):
            chat = model.chats[said.chat]
            where = {"group_id": said.chat} if chat.pair is None else {"private_id": chat.other(said.sender)}
            return [Sight("message", {"ocid": said.sender, **where, "msg": text(said.segments)})]
        case FriendAsked(applicant, account, words):
            return [Sight("asked", {"add_ocid": account, "ocid": applicant, **({"text": words} if words else {})})]
        case Applied(group, applicant, words):
            return [Sight("asked", {"group_id": group, "ocid": applicant, **({"text": words} if words else {})})]
        case FriendAnswered(applicant, account, accepted):
            return [Sight("befriended" if accepted else "rejected", {"add_ocid": account, "ocid": applicant})]
        case Answered(group, name, account, True):
            return [Sight("admitted", {"group_id": group, "group_name": name, "ocid": account})]
        case Answered(group, _, account):
            return [Sight("rejected", {"group_id": group, "ocid": account})]
        case GroupRenamed(group, name, by):
            return [Sight("renamed", {"group_id": group, "ocid": by, "name": name, "group_name": name})]
        case PersonRenamed(account, name):
            return [Sight("renamed", {"ocid": account, "name": name, "group_name": name})]
        case Appeared():
            return []


def v2(event: Event, model: Model) -> list[Sight]:
    match event:
        case Spoken(said):
            words = {"session_id": said.chat, "ocid": f"{said.sender:010d}", "msg": list(said.segments)}
            return [Sight("message", words)]
        case Appeared(chat):
            return [Sight("appeared", {"session_id": chat})]
    return []


def service(event: Event, model: Model) -> list[Sight]:
    if not isinstance(event, Spoken):
        return []
    return [value(event.said, model, named=True)]


def value(said: Said, model: Model, *, named: bool) -> Sight:
    """A message of the history."""
    sender = model.people[said.sender]
    words = {"chat": said.chat, "id": sender.uuid, "content": text(said.segments)}
    return Sight("message", {**words, "name": sender.name} if named else words)


def pipe(event: Event, model: Model) -> list[Sight]:
    match event:
        case Spoken(said):
            if model.chats[said.chat].pair is not None:
                return [Sight("message", {"type": "0", "id": said.sender, "data": text(said.segments)})]
            before = "" if said.dialect == "pipe" else f"{model.people[said.sender].name}: "
            return [Sight("message", {"type": "1", "id": said.chat, "data": before + text(said.segments)})]
        case FriendAsked(applicant, _, words):
            return [Sight("friend_request", {"fields": f"1|{applicant}|{_field(words)}|"})]
        case Applied(group, applicant, words):
            return [Sight("group_request", {"fields": f"1|{applicant}|{group}|{_field(words)}|"})]
    return []


def _field(text: str) -> str:
    """Words in a list, where a bar would be another field."""
    return text.replace("|", "｜")


WORDS: Mapping[str, Callable[[Event, Model], list[Sight]]] = {
    "ourchat-v0": v0,
    "ourchat-v1": v1,
    "ourchat-v2": v2,
    "service": service,
    "pipe": pipe,
}
