"""The dialect native, server to client: messages, and the common parts of results and events."""

from collections.abc import Iterable
from typing import Any, TypeVar

from msgspec import UNSET, UnsetType

from services.edge.canonical.replies import DisplayChange, DisplayMessage
from services.edge.dialects.addresses import DisplayedAvatar, displayed_avatar
from services.edge.dialects.native.shapes import Id, SentReply, ShownChange
from services.edge.dialects.text_fallback import only_text
from services.edge.identicons import Kind
from shared.contract.message import ChangeKind, Reactions
from shared.contract.model import Message, Recalled, Role
from shared.message_event import MessageEvent, ShownMessage, ShownSegment, ShownText, sender_info, shown_segment

T = TypeVar("T")

ROLES = {Role.LEFT: "left", Role.MEMBER: "member", Role.ADMIN: "admin", Role.OWNER: "owner"}


def event(shown: DisplayMessage, base_url: str) -> MessageEvent:
    """Encode the event. Most messages have one text and take a short path, whose result must be the same as with
    `_fields`."""
    text = only_text(shown.segments)
    if text is None or shown.rich is not None or shown.edited or shown.reactions is not None or shown.reply_to:
        return MessageEvent(*_fields(shown, base_url))
    one, summary = shown.message, shown.summary
    to = UNSET if shown.to is None else shown.to
    face = UNSET if summary is None else sender_info(summary)
    return MessageEvent(one.chat, one.index, one.id, one.sender, one.time, [ShownText(text)], to, face)


def sent(number: Id, message: Message, *, again: bool) -> SentReply:
    """Encode the reply to `send`. `number`: the id of the command."""
    return SentReply(number, message.chat, message.index, message.id, message.time, again or UNSET)


def messages(shown: Iterable[DisplayMessage], base_url: str) -> list[ShownMessage]:
    return [ShownMessage(*_fields(one, base_url)) for one in shown]


def _fields(shown: DisplayMessage, base_url: str) -> tuple[Any, ...]:
    """The values of a ShownMessage, in the order of its fields."""
    message, summary = shown.message, shown.summary
    face = UNSET if summary is None else sender_info(summary)
    to = UNSET if shown.to is None else shown.to
    place = message.chat, message.index, message.id, message.sender, message.time
    recalled = shown.segments == (Recalled(),)
    segments = [] if recalled else [shown_segment(segment, base_url) for segment in shown.rich or shown.segments]
    reactions, reply_to = _reactions(shown.reactions), shown.reply_to or UNSET
    return *place, segments, to, face, shown.edited or UNSET, recalled or UNSET, *reactions, reply_to


def _reactions(found: Reactions | None) -> tuple[dict[str, int] | UnsetType, list[str] | UnsetType]:
    return (UNSET, UNSET) if found is None else (found.counts, found.mine)


def changes(shown: Iterable[DisplayChange], base_url: str) -> list[ShownChange]:
    return [ShownChange(*change_fields(one, base_url)) for one in shown]


def change_fields(shown: DisplayChange, base_url: str) -> tuple[Any, ...]:
    """The values of a ShownChange, in the order of its fields."""
    one = shown.change
    reactions: dict[str, int] | UnsetType = UNSET
    mine: list[str] | UnsetType = UNSET
    segments: list[ShownSegment] | UnsetType = UNSET
    emoji: str | UnsetType = UNSET
    on: bool | UnsetType = UNSET
    match one.kind:
        case ChangeKind.EDIT:
            segments = [shown_segment(segment, base_url) for segment in shown.segments]
        case ChangeKind.REACTION:
            reactions, mine = one.reactions, UNSET if one.mine is None else one.mine
            emoji, on = (one.emoji, one.on) if one.emoji else (UNSET, UNSET)
        case ChangeKind.PIN:
            on = one.on
        case ChangeKind.RECALL:
            pass
    place = one.chat, one.rev, one.index, one.kind.value, one.by, one.time
    return *place, segments, reactions, mine, emoji, on


def avatar_of(kind: Kind, number: int, avatar: str, avatar_hash: str, base_url: str) -> str:
    """The address of the stored picture or, if there is none, of the generated picture."""
    return displayed_avatar(kind, number, DisplayedAvatar(avatar, avatar_hash), base_url, own_only=False).avatar


def if_set(value: T | None) -> T | UnsetType:
    return UNSET if value is None else value
