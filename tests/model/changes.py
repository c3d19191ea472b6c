"""The rules of edits, recalls, reactions and pins in the model."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from tests.clients.client import Segment
from tests.model.model import Change, Chat, Forbidden, MessageChanged, Notifications, SentMessage

RECALLED = "[撤回]"
ChangeKind = Literal["edit", "recall", "reaction", "pin"]
CHANGE_KINDS: Mapping[str, ChangeKind] = {"edit": "edit", "recall": "recall", "reaction": "reaction", "pin": "pin"}


@dataclass(frozen=True)
class ChangeCommand:
    """A change that a user requests.

    `segments` is the new text of an edit. `emoji` is the emoji of a reaction. `on` says whether a reaction or pin is
    added or removed.
    """

    kind: ChangeKind
    by: int
    segments: tuple[Segment, ...] = ()
    emoji: str = ""
    on: bool = True

    def __repr__(self) -> str:
        details = [*map(str, self.segments), self.emoji, "" if self.on else "off"]
        return " ".join([f"{self.by}: {self.kind}", *filter(None, details)])


def change(chat: Chat, message: SentMessage, command: ChangeCommand) -> Notifications:
    """Makes a change, and notifies all members that may see the message. If the change was made before, notifies
    nobody.

    Raises Forbidden if the system must reject the change.
    """
    if is_forbidden(chat, message, command):
        raise Forbidden
    if is_made(chat, message, command):
        return []
    apply(message, command)
    if command.kind == "recall":
        chat.pinned.discard(message.index)
    elif command.kind == "pin":
        chat.pinned.symmetric_difference_update({message.index})
    return _record(chat, message, command)


def is_made(chat: Chat, message: SentMessage, command: ChangeCommand) -> bool:
    """Returns whether the change has been made before, so that it has no effect.

    An edit is always new, because each edit has its own nonce.
    """
    match command.kind:
        case "edit":
            return False
        case "recall":
            return message.is_recalled
        case "reaction":
            return command.on is (command.emoji in message.mine(command.by))
        case "pin":
            return command.on is (message.index in chat.pinned)


def is_forbidden(chat: Chat, message: SentMessage, command: ChangeCommand) -> bool:
    by = command.by
    if by not in chat.first or message.index < chat.first[by]:
        return True
    if is_made(chat, message, command):
        return False
    if chat.is_muted(by) and (command.kind != "recall" or chat.pair is not None):
        return True
    may_make = {
        "edit": message.sender == by and chat.rules.edits,
        "recall": by in chat.leaders or (message.sender == by and chat.rules.recalls),
        "reaction": True,
        "pin": chat.pair is not None or by in chat.leaders,
    }
    return message.is_recalled or not may_make[command.kind]


def apply(message: SentMessage, command: ChangeCommand) -> None:
    """Changes everything that the message itself shows. A pin is the only change that it does not show."""
    match command.kind:
        case "edit":
            message.segments, message.is_edited, message.dialect = command.segments, True, ""
        case "recall":
            message.segments, message.dialect = (RECALLED,), ""
            message.is_recalled, message.is_edited, message.reply_to = True, False, 0
            message.reactions.clear()
        case "reaction":
            accounts = message.reactions.setdefault(command.emoji, set())
            accounts.symmetric_difference_update({command.by})
            if not accounts:
                del message.reactions[command.emoji]


def after(message: SentMessage, command: ChangeCommand) -> SentMessage:
    """Returns the message after a change. The given message does not change."""
    changed = copied(message)
    apply(changed, command)
    return changed


def copied(message: SentMessage) -> SentMessage:
    return replace(message, reactions={emoji: {*accounts} for emoji, accounts in message.reactions.items()})


def _record(chat: Chat, message: SentMessage, command: ChangeCommand) -> Notifications:
    chat.rev += 1
    reactions = {one: len(accounts) for one, accounts in message.reactions.items()}
    made = Change(
        chat.number, chat.rev, message.index, command.kind, command.by, message.segments, reactions, command.emoji,
        command.on,
    )  # fmt: skip
    chat.changes.append(made)
    return [(member, MessageChanged(made)) for member, first in chat.first.items() if first <= message.index]


def last_changes(chat: Chat, reader: int) -> list[tuple[int, int, str, int]]:
    """Returns rev, index, kind and account of the changes that a member may request.

    For each message these are the last change of its text, of its reactions, and of its pin.
    """
    last = {(one.index, _slot(one.kind)): one for one in chat.changes}
    seen = [one for one in last.values() if one.index >= chat.first[reader]]
    return sorted((one.rev, one.index, one.kind, one.by) for one in seen)


def last_rev(chat: Chat, message: SentMessage, kind: ChangeKind) -> int:
    """Returns the rev of the last change of the message's text, reactions or pin. Returns 0 if there was none."""
    revs = [one.rev for one in chat.changes if one.index == message.index and _slot(one.kind) == _slot(kind)]
    return max(revs, default=0)


def _slot(kind: str) -> str:
    return "edit" if kind == "recall" else kind
