"""What of the common conversation each dialect shows, and how: tables for the pages, found by asking the dialects.

What a client can ask for is what the vectors have a frame for; all else is what the code answers here and now.
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from services.edge.canonical.commands import Command, FetchUnread, GetServerStatus, PostMessage
from services.edge.canonical.events import ChatJoined, Event, MaintenanceChanged, VerificationEnded
from services.edge.canonical.frames import Binary, MediaPayload, Outgoing
from services.edge.canonical.replies import DisplayMessage, MessageAccepted
from services.edge.dialects.base import Dialect
from services.edge.dialects.registry import DIALECTS, Entry
from services.edge.dialects.text_fallback import render_segment
from shared.contract.edge import (
    ChatRenamed,
    FriendshipAnswered,
    FriendshipRequested,
    MembershipAnswered,
    MembershipApplied,
    ProfileChanged,
)
from shared.contract.ids import AccountId, ChatId, MessageId
from shared.contract.message import GetHistory
from shared.contract.model import Emoji, File, Image, Media, Profile, Segment, Text
from shared.contract.session import GetAccount, GetChat, ListChatViews, ListRequests
from tests import vectors
from tests.unit.services.edge.dialects.driving import BASE_URL, LONG_AFTER, connect, frames, given, log_in, only_request
from tests.vectors import Said, wire

ME, OTHER, CHAT = AccountId(12), AccountId(34), ChatId(5)
NOTHING = "–"
AS_TEXT = "as text"
NAMES = tuple(entry.name for entry in DIALECTS)

SEGMENTS: Mapping[str, Segment] = {
    "a text": Text("hello"),
    "an emoji": Emoji(3),
    "a picture": Image(Media("00112233445566778899aabbccddeeff", "cat.png", 512, "ab", "image/png")),
    "a file": File(Media("ffeeddccbbaa99887766554433221100", "report.pdf", 1536, "cd", "application/pdf")),
}


class Happening(NamedTuple):
    """`learnt`: what somebody who is not told can ask to learn it; the first that the dialect has counts."""

    event: Event
    learnt: tuple[type[Command], ...] = ()


HAPPENINGS: Mapping[str, Happening] = {
    "one is in a new chat": Happening(ChatJoined(CHAT), (ListChatViews, GetAccount)),
    "a chat has a new name": Happening(ChatRenamed(CHAT, "name", OTHER), (GetChat, ListChatViews)),
    "somebody wants to join": Happening(MembershipApplied(OTHER, CHAT, "words"), (ListRequests,)),
    "somebody has joined": Happening(MembershipAnswered(CHAT, "name", OTHER, True), (GetChat, ListChatViews)),
    "one may not join": Happening(MembershipAnswered(CHAT, "name", ME, False)),
    "somebody wants to be friends": Happening(FriendshipRequested(OTHER, ME, "words"), (ListRequests,)),
    "somebody is a friend now": Happening(FriendshipAnswered(ME, OTHER, True), (GetAccount,)),
    "somebody will be no friend": Happening(FriendshipAnswered(ME, OTHER, False)),
    "somebody has another name": Happening(ProfileChanged(Profile(id=OTHER, uuid="u", nickname="name")), (GetAccount,)),
    "maintenance begins or ends": Happening(MaintenanceChanged(True), (GetServerStatus,)),
    "the mailed link was opened": Happening(VerificationEnded("passed")),
}
_PHRASES: Mapping[str, str] = {
    "AddMember": "add somebody to a group",
    "AnswerFriendship": "answer who wants to be friends",
    "AnswerMembership": "answer who wants to join",
    "CreateChat": "make a group",
    "CreateChatByUuid": "make a chat of people's uuids",
    "DeleteAccount": "delete one's account",
    "DropUpload": "send a part that does not fit",
    "EndFriendship": "end a friendship",
    "GetAccount": "look at a person",
    "GetChat": "look at a chat",
    "GetHistory": "walk the history",
    "GetServerStatus": "ask whether there is maintenance",
    "ListChatViews": "list one's chats",
    "ListRequests": "list what waits for one's answer",
    "Login": "log in",
    "PostMessage": "say something",
    "PostUpload": "say a picture or file",
    "Recover": "recover a password",
    "RenameChat": "rename a group",
    "RequestFriendship": "ask for a friendship",
    "RequestMembership": "ask to join a group",
    "RequestVerification": "have the link mailed",
    "SetProfile": "change one's profile",
    "StartUpload": "begin a picture or file",
    "FetchUnread": "fetch what is unread",
    "UpdateAccount": "change one's profile and security question",
    "UploadPart": "send a part of it",
}
"""Where a command's name says too little to who does not know the code."""


class Column(NamedTuple):
    """One dialect. `asks`: how the frames begin that ask for a command, by its type's name."""

    entry: Entry
    asks: Mapping[str, list[str]]
    separator: str

    def connection(self) -> Dialect:
        dialect = connect(self.entry)
        log_in(dialect, ME)
        return dialect

    def heads(self, frames: Iterable[Outgoing]) -> str:
        return ", ".join(dict.fromkeys(head(frame, self.separator) for frame in frames)) or NOTHING

    def asking(self, commands: Iterable[type[Command]]) -> str:
        for command in commands:
            if found := self.asks.get(command.__name__):
                return f"asked for: {', '.join(found)}"
        return NOTHING


def column(entry: Entry) -> Column:
    file = vectors.load(entry.name)
    asks: dict[str, list[str]] = {}
    for vector in file.vectors:
        if vector.command is not None:
            beginning = head(wire(vector.frame), file.separator)
            known = asks.setdefault(next(iter(vector.command)), [])
            known.extend([beginning] if beginning not in known else [])
    return Column(entry, asks, file.separator)


def head(frame: Outgoing, separator: str) -> str:
    """How clients tell a frame from others: its first field, or the first member of its object."""
    if isinstance(frame, MediaPayload):
        return f"{head(frame.announcement, separator)} with binary frames"
    if isinstance(frame, Binary):
        return "binary frames"
    text = frame.decode().strip()
    if separator:
        return f"`{text.split(separator)[0]}`"
    members = json.loads(text)
    name = next(name for name in members if name.endswith("code"))
    return f"`{name}` {members[name]}"


# Cells


def message(of: Column, segment: Segment, to: AccountId | None) -> str:
    dialect = of.connection()
    shown = dialect.encode_message(said(segment, to))
    as_text = dialect.encode_message(said(Text(render_segment(segment, BASE_URL)), to))
    return AS_TEXT if shown == as_text and not isinstance(segment, Text) else of.heads(shown)


def messages(of: Column, segment: Segment) -> str:
    private, group = message(of, segment, ME), message(of, segment, None)
    return private if private == group else f"{private}; in groups {group}"


def said(segment: Segment, to: AccountId | None) -> DisplayMessage:
    return Said(CHAT, 1, MessageId(77), OTHER, 1724400000123, (segment,), to=to).shown


def told(of: Column, happening: Happening) -> str:
    return of.heads(frames(of.connection().encode_event(happening.event, LONG_AFTER)))


def noticed(of: Column, happening: Happening) -> str:
    words = told(of, happening)
    return of.asking(happening.learnt) if words == NOTHING else words


def coming(of: Column) -> str:
    return "pushed" if of.connection().receives_pushes else of.asking([GetHistory])


def missed(of: Column) -> str:
    return "pushed after the login" if of.connection().pushes_backlog else of.asking([FetchUnread, GetHistory])


def acknowledged(of: Column) -> str:
    """How one's own message comes back."""
    vector = next(one for one in vectors.load(of.entry.name).vectors if one.command and "PostMessage" in one.command)
    dialect = given(of.entry, vector.given)
    request = only_request(dialect, wire(vector.frame))
    assert isinstance(request.command, PostMessage)
    own = said(Text("hello"), None)
    echo = dialect.encode_message(own)
    reply = dialect.encode_reply(request, MessageAccepted(own.message, echo), 0.0)
    return "the message itself" if reply == echo else of.heads(reply)


def phrase(command: str) -> str:
    """What it is to ask for this: SetSecurity is to set security."""
    return _PHRASES.get(command) or re.sub(r"(?<=[a-z])(?=[A-Z])", " ", command).lower()


def asked_somewhere() -> list[str]:
    asked = {command for entry in DIALECTS for command in column(entry).asks}
    return [command for command in vectors.COMMANDS if command in asked]


# Tables


def table(corner: str, rows: Iterable[tuple[str, ...]], columns: Iterable[str] = NAMES) -> str:
    header = (corner, *columns)
    lines = [header, ("---",) * len(header), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', '&#124;') for cell in line)} |\n" for line in lines)


def names() -> str:
    rows = [(f"[{one.name}]({one.name}.md)", f"`{one.path}`", f"`{one.subprotocol}`") for one in DIALECTS]
    return table("dialect", rows, ("address", "subprotocol"))


def of_messages() -> str:
    columns = [column(entry) for entry in DIALECTS]
    rows = [(name, *(messages(of, segment) for of in columns)) for name, segment in SEGMENTS.items()]
    rows.append(("one's own is acknowledged by", *map(acknowledged, columns)))
    rows.append(("while one is there, they are", *map(coming, columns)))
    rows.append(("those that were missed are", *map(missed, columns)))
    return table("messages", rows)


def of_happenings() -> str:
    columns = [column(entry) for entry in DIALECTS]
    return table("what happens", [(name, *(noticed(of, one) for of in columns)) for name, one in HAPPENINGS.items()])


def of_commands() -> str:
    asks = [column(entry).asks for entry in DIALECTS]
    rows = [(phrase(name), *(", ".join(heads.get(name, [NOTHING])) for heads in asks)) for name in asked_somewhere()]
    return table("what is asked", rows)


def lacking(entry: Entry) -> str:
    """What this dialect has no words for, and what is seen instead."""
    of = column(entry)
    rows = [
        (name, shown.replace(AS_TEXT, f"{AS_TEXT}: `{render_segment(segment, BASE_URL)}`"))
        for name, segment in SEGMENTS.items()
        if AS_TEXT in (shown := messages(of, segment))
    ]
    for name, happening in HAPPENINGS.items():
        if told(of, happening) == NOTHING:
            instead = of.asking(happening.learnt)
            rows.append((name, "not told" if instead == NOTHING else f"not told; {instead}"))
    never = ", ".join(phrase(name) for name in asked_somewhere() if name not in of.asks)
    return table("what", rows, ["how it is seen here"]) + f"\nWhat can only be done in other dialects: {never}.\n"


TABLES: Mapping[str, Callable[[], str]] = {
    "dialects": names,
    "messages": of_messages,
    "happenings": of_happenings,
    "commands": of_commands,
}
