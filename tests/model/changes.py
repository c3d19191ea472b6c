"""The rules of edits, recalls, reactions and pins in the model. Each returns the notifications of a change, none of one
that was made before, and raises Forbidden for one that the system must reject."""

from tests.clients.client import Segment
from tests.model.model import Change, Chat, Forbidden, MessageChanged, Notifications, SentMessage

RECALLED = "[撤回]"


def edit(chat: Chat, message: SentMessage, by: int, segments: tuple[Segment, ...]) -> Notifications:
    _check(chat, message, by, is_allowed=message.sender == by and not message.is_recalled and not chat.is_muted(by))
    message.segments, message.is_edited, message.dialect = segments, True, ""
    return _changed(chat, message, by, "edit")


def recall(chat: Chat, message: SentMessage, by: int) -> Notifications:
    _check(chat, message, by, is_allowed=by in (message.sender, *chat.leaders) or message.is_recalled)
    if message.is_recalled:
        return []
    message.segments, message.dialect = (RECALLED,), ""
    message.is_recalled, message.is_edited, message.reply_to = True, False, 0
    message.reactions.clear()
    chat.pinned.discard(message.index)
    return _changed(chat, message, by, "recall")


def react(chat: Chat, message: SentMessage, by: int, emoji: str, *, on: bool) -> Notifications:
    is_new = on is not (emoji in message.mine(by))
    _check(chat, message, by, is_allowed=not (is_new and message.is_recalled) and not chat.is_muted(by))
    if not is_new:
        return []
    accounts = message.reactions.setdefault(emoji, set())
    accounts.symmetric_difference_update({by})
    if not accounts:
        del message.reactions[emoji]
    return _changed(chat, message, by, "reaction", emoji, on=on)


def pin(chat: Chat, message: SentMessage, by: int, *, on: bool) -> Notifications:
    is_new = on is not (message.index in chat.pinned)
    may_pin = chat.pair is not None or by in chat.leaders
    is_allowed = not is_new or (may_pin and not message.is_recalled)
    _check(chat, message, by, is_allowed=is_allowed and not chat.is_muted(by))
    if not is_new:
        return []
    chat.pinned.symmetric_difference_update({message.index})
    return _changed(chat, message, by, "pin", on=on)


def _check(chat: Chat, message: SentMessage, by: int, *, is_allowed: bool) -> None:
    if by not in chat.first or message.index < chat.first[by] or not is_allowed:
        raise Forbidden


def _changed(
    chat: Chat, message: SentMessage, by: int, kind: str, emoji: str = "", *, on: bool = True
) -> Notifications:
    """All members that may see the message are notified."""
    chat.rev += 1
    reactions = {one: len(accounts) for one, accounts in message.reactions.items()}
    change = Change(chat.number, chat.rev, message.index, kind, by, message.segments, reactions, emoji, on)
    chat.changes.append(change)
    return [(member, MessageChanged(change)) for member, first in chat.first.items() if first <= message.index]


def last_changes(chat: Chat, reader: int) -> list[tuple[int, int, str, int]]:
    """Rev, index, kind and account of the changes that a member may request: the last one of the text, of the reactions
    and of the pin of each message."""
    last = {(one.index, "edit" if one.kind == "recall" else one.kind): one for one in chat.changes}
    seen = [one for one in last.values() if one.index >= chat.first[reader]]
    return sorted((one.rev, one.index, one.kind, one.by) for one in seen)
