"""Makes tables for the pages. They show how a client of each dialect sees messages and events, and which requests the
dialect has.

A dialect has a request if its vectors or `DECLARED` have a frame for it. The other cells are computed by the dialects
themselves.
"""

import dataclasses
import json
import re
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, NamedTuple

import msgspec

from docs.events import CHAT, EVENTS, ME, OTHER, EventRow
from docs.phrases import PHRASES
from services.edge.canonical.commands import Command, FetchUnread, ReadHistory, ResumeChats
from services.edge.canonical.events import Event, MessageChanged
from services.edge.canonical.frames import Binary, MediaPayload, Outgoing
from services.edge.canonical.replies import DisplayMessage, MessageAccepted
from services.edge.dialects.base import Dialect
from services.edge.dialects.registry import DIALECTS, Dialects, Entry
from services.edge.dialects.text_fallback import render_segment
from shared.contract.errors import ErrorCode, Failure
from shared.contract.ids import AccountId, MessageId
from shared.contract.message import GetHistory
from shared.contract.model import Emoji, File, Image, Media, Mention, Quote, Recalled, RichSegment, Text
from tests import vectors
from tests.unit.services.edge.dialects.driving import BASE_URL, LONG_AFTER, cases, connect, frames, log_in
from tests.vectors import VectorMessage, Vectors, wire

NOTHING = "–"
AS_TEXT = "as text"

SEGMENTS: Mapping[str, RichSegment] = {
    "a text": Text("hello"),
    "an emoji": Emoji(3),
    "an image": Image(Media("00112233445566778899aabbccddeeff", "cat.png", 512, "ab", "image/png")),
    "a file": File(Media("ffeeddccbbaa99887766554433221100", "report.pdf", 1536, "cd", "application/pdf")),
    "a mention of a user": Mention(ME, "@Ann"),
    "a recalled message": Recalled(),
}
QUOTE = Quote("Ann", "see you")


_FILLED_IN_LATER = frozenset({"actor", "all", "base_url", "caller_sid", "face", "origin", "read_to", "ticket"})
"""Optional fields of commands that the edge or an operator sets, never a dialect."""


DECLARED: Mapping[str, Mapping[str, list[str]]] = {
    "irc": {
        "Register": ["`REGISTER`"],
        "ChatRead": ["`MARKREAD`"],
        "ChatSettingsChanged": ["`TOPIC`"],
        "CreateChat": ["`JOIN`"],
        "EndMembership": ["`PART`", "`KICK`"],
        "Invite": ["`INVITE`"],
        "ListMembers": ["`NAMES`", "`WHO`"],
        "MarkChatRead": ["`MARKREAD`"],
        "Subscribe": ["`WEBPUSH`"],
        "Unsubscribe": ["`WEBPUSH`"],
    },
    "ourchat-v1": {"ChatJoined": ["`code` 10"]},
}
"""The frames of commands and events whose frames in the vectors are missing or have another purpose. IRC looks up names
first, so a vector shows only the lookup as the command of its line. It pushes some events only to clients that have
requested a capability, or in which a topic has changed. OurChat v1 gets a new chat as the join of its own account."""


class Column(NamedTuple):
    """One dialect. `frames_of`: for each command, the heads of the frames by which clients request it."""

    entry: Entry
    frames_of: Mapping[str, list[str]]
    file: Vectors

    def connection(self) -> Dialect:
        dialect = connect(self.entry)
        log_in(dialect, ME)
        return dialect

    def heads(self, frames: Iterable[Outgoing]) -> str:
        return ", ".join(dict.fromkeys(head(frame, self.file) for frame in frames)) or NOTHING

    def by_request(self, commands: Iterable[type[Command]]) -> str:
        for command in commands:
            if found := self.frames_of.get(command.__name__):
                return f"by request: {', '.join(found)}"
        return NOTHING


def column(entry: Entry) -> Column:
    file = vectors.load(entry.name)
    frames_of: dict[str, list[str]] = {}
    for case in cases(entry):
        if not case.is_own:
            beginning = head(wire(case.vector.frame), file)
            known = frames_of.setdefault(next(iter(case.expected.command)), [])
            known.extend([beginning] if beginning not in known else [])
    return Column(entry, {**frames_of, **DECLARED.get(entry.name, {})}, file)


def head(frame: Outgoing, file: Vectors) -> str:
    """The part by which a client recognises a frame; see tests/vectors."""
    if isinstance(frame, MediaPayload):
        return f"{head(frame.announcement, file)} with binary frames"
    if isinstance(frame, Binary):
        return "binary frames"
    text = frame.decode().strip()
    if file.head:
        match = re.match(file.head, text)
        assert match is not None, f"`head` does not match {text}"
        return f"`{match[1]}`"
    if not file.is_json:
        ((start, end), *_) = file.spans(text)
        return f"`{text[start:end]}`"
    members = json.loads(text)
    name = next((name for name in members if name.endswith("code")), next(iter(members)))
    return f"`{name}` {members[name]}"


# Cells


def message(of: Column, segment: RichSegment, to: AccountId | None) -> str:
    dialect = of.connection()
    shown = dialect.encode_message(display(segment, to))
    text = dialect.encode_message(display(Text(as_text(segment)), to))
    return AS_TEXT if shown == text and not isinstance(segment, Text) else of.heads(shown)


def as_text(segment: RichSegment) -> str:
    return segment.text if isinstance(segment, Mention) else render_segment(segment, BASE_URL)


def reply(of: Column) -> str:
    dialect = of.connection()
    shown = dialect.encode_message(display(Text("yes"), None, 1))
    quoted = dialect.encode_message(display(Text(f"> {QUOTE.name}: {QUOTE.text}\nyes"), None))
    return "after a quoted line" if shown == quoted else of.heads(shown)


def messages(of: Column, segment: RichSegment) -> str:
    private, group = message(of, segment, ME), message(of, segment, None)
    return private if private == group else f"{private}; in groups {group}"


def display(segment: RichSegment, to: AccountId | None, reply_to: int = 0) -> DisplayMessage:
    quote = QUOTE if reply_to else None
    message = VectorMessage(CHAT, 2, MessageId(77), OTHER, 1724400000123, (segment,), to=to)
    return msgspec.structs.replace(message, reply_to=reply_to, quote=quote).shown


def pushed(of: Column, row: EventRow) -> str:
    """The frames of an event, and the frames of the replies to requests that the dialect makes for the event."""
    pushes = of.connection().encode_event(row.event, LONG_AFTER)
    own = [
        wire(frame)
        for case in cases(of.entry)
        if case.is_own and case.vector.event and _is_like(row.event, case.vector.event)
        for reply in case.expected.replies
        if reply.answer
        for frame in reply.out
    ]
    found = of.heads((*frames(pushes), *own))
    return found if found != NOTHING else ", ".join(of.frames_of.get(type(row.event).__name__, [NOTHING]))


def _is_like(event: Event, written: dict[str, Any]) -> bool:
    """Whether the event of a vector is of the same kind. Each kind of change of a message counts as a kind of event."""
    other = vectors.canonical(written, vectors.EVENTS)
    if isinstance(event, MessageChanged) and isinstance(other, MessageChanged):
        return event.shown.change.kind is other.shown.change.kind
    return type(event) is type(other)


def event_cell(of: Column, row: EventRow) -> str:
    found = pushed(of, row)
    return of.by_request(row.found_by) if found == NOTHING else found


_HISTORY = (GetHistory, ReadHistory)


def live(of: Column) -> str:
    return "pushed" if of.connection().receives_pushes else of.by_request(_HISTORY)


def missed(of: Column) -> str:
    return (
        "pushed after the login"
        if of.connection().pushes_missed
        else of.by_request([FetchUnread, ResumeChats, *_HISTORY])
    )


def acknowledged(of: Column) -> str:
    """The frame that reports to the sender that its message is committed. If only clients that request a capability get
    one, the cell names the request."""
    for case in (case for case in cases(of.entry) if "PostMessage" in case.expected.command and not case.is_own):
        dialect, request = case.make()
        own = display(Text("hello"), None)
        echo = dialect.encode_message(own)
        accepted = MessageAccepted(own.message, partial(dialect.encode_message, own))
        if reply := dialect.encode_reply(request, accepted, 0.0):
            before = [f"after `{vectors.text(frame).decode()}`" for frame in case.vector.given.before]
            return ", ".join(["the message itself" if reply == echo else of.heads(reply), *before])
    return NOTHING


def rejected(of: Column) -> str:
    """The error reply to a message that its sender may not send."""
    case = next(case for case in cases(of.entry) if "PostMessage" in case.expected.command)
    dialect, request = case.make()
    failure = Failure(ErrorCode.FORBIDDEN, "you may not")
    return of.heads(dialect.encode_error(request, failure))


def phrase(command: str) -> str:
    """A command in words: SetSecurity becomes "set security"."""
    return PHRASES.get(command) or re.sub(r"(?<=[a-z])(?=[A-Z])", " ", command).lower()


def all_commands(dialects: Dialects = DIALECTS) -> list[str]:
    """The commands that at least one dialect has."""
    found = {command for entry in dialects for command in column(entry).frames_of}
    return [command for command in vectors.COMMANDS if command in found]


# Tables


def table(corner: str, rows: Iterable[tuple[str, ...]], columns: Iterable[str]) -> str:
    header = (corner, *columns)
    lines = [header, ("---",) * len(header), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', '&#124;') for cell in line)} |\n" for line in lines)


def page_of(dialect: str) -> str:
    """The first page of a dialect, below docs/protocols."""
    return "native/overview.md" if dialect == "native" else f"{dialect}.md"


def names(dialects: Dialects) -> str:
    rows = [(f"[{one.name}]({page_of(one.name)})", f"`{one.path}`", f"`{one.subprotocol}`") for one in dialects]
    return table("dialect", rows, ("address", "subprotocol"))


def of_messages(dialects: Dialects) -> str:
    columns = [column(entry) for entry in dialects]
    rows = [(name, *(messages(of, segment) for of in columns)) for name, segment in SEGMENTS.items()]
    rows.append(("a reply to another message", *map(reply, columns)))
    rows.append(("the sender's acknowledgement is", *map(acknowledged, columns)))
    rows.append(
        ("a message that may not be sent (blocked, silenced, no member) is rejected by", *map(rejected, columns))
    )
    rows.append(("messages that arrive while the user is online are", *map(live, columns)))
    rows.append(("missed ones are", *map(missed, columns)))
    return table("messages", rows, _names(dialects))


def of_events(dialects: Dialects) -> str:
    columns = [column(entry) for entry in dialects]
    rows = [(name, *(event_cell(of, one) for of in columns)) for name, one in EVENTS.items()]
    shared = [row for row in rows if len(row) - row.count(NOTHING) > 2]
    single = [
        f"{name} ({entry.name}: {cell})"
        for name, *cells in rows
        if len(cells) - cells.count(NOTHING) == 1
        for entry, cell in zip(dialects, cells, strict=True)
        if cell != NOTHING
    ]
    return table("event", shared, _names(dialects)) + f"\nOnly one protocol shows: {'; '.join(single)}.\n"


def of_commands(dialects: Dialects) -> str:
    """The table of the commands that several dialects have."""
    frames_of = [column(entry).frames_of for entry in dialects]
    rows = [
        (phrase(name), *(", ".join(heads.get(name, [NOTHING])) for heads in frames_of))
        for name in all_commands(dialects)
        if sum(name in heads for heads in frames_of) != 1
    ]
    return table("request", rows, _names(dialects))


def own_commands(dialects: Dialects) -> str:
    """The table of the commands that only one dialect has."""
    frames_of = {entry.name: column(entry).frames_of for entry in dialects}
    single = [name for name in all_commands(dialects) if sum(name in heads for heads in frames_of.values()) == 1]
    rows = [(one, "; ".join(phrase(name) for name in single if name in heads) or NOTHING)
            for one, heads in frames_of.items()]  # fmt: skip
    return table("dialect", rows, ["requests that no other protocol has"])


def _names(dialects: Dialects) -> list[str]:
    return [entry.name for entry in dialects]


def lacking(entry: Entry) -> str:
    """The events for which this dialect has no frame, and the texts that its clients see instead."""
    of = column(entry)
    rows = [
        (name, shown.replace(AS_TEXT, f"{AS_TEXT}: `{as_text(segment)}`"))
        for name, segment in SEGMENTS.items()
        if AS_TEXT in (shown := messages(of, segment))
    ]
    never: list[str] = []
    for name, row in EVENTS.items():
        if pushed(of, row) == NOTHING:
            instead = of.by_request(row.found_by)
            rows += [] if instead == NOTHING else [(name, f"not pushed; {instead}")]
            never += [name] if instead == NOTHING else []
    return (
        table("what", rows, ["how it appears in this protocol"])
        + f"\nNot shown: {'; '.join(never) or 'nothing else'}.\n"
    )


# The functions below describe the canonical model for authors of dialects.


def model_commands(dialects: Dialects) -> str:
    """Each command with the command's fields and the replies in the vectors of all dialects."""
    replies: dict[str, dict[str, None]] = {}
    for case in (case for entry in dialects for case in cases(entry)):
        known = replies.setdefault(next(iter(case.expected.command)), {})
        known |= dict.fromkeys(name for reply in case.expected.replies for name in reply.answer or ())
    rows = [
        (phrase(name), f"`{signature(kind)}`", ", ".join(f"`{reply}`" for reply in replies.get(name, ())) or NOTHING)
        for name, kind in vectors.COMMANDS.items()
    ]
    return table("you want to", rows, ("command", "replies"))


def model_events(dialects: Dialects) -> str:
    kinds: dict[str, list[str]] = {}
    for name, row in EVENTS.items():
        kinds.setdefault(type(row.event).__name__, []).append(name)
    rows = [("; ".join(found), f"`{signature(vectors.EVENTS[kind])}`") for kind, found in kinds.items()]
    return table("when", rows, ("event",))


def signature(kind: type[Any]) -> str:
    """`Type(field, other=)`; `=` marks fields that have a default."""
    if dataclasses.is_dataclass(kind):
        fields = [(one.name, one.default is dataclasses.MISSING) for one in dataclasses.fields(kind)]
    else:
        fields = [(one.name, one.required) for one in msgspec.structs.fields(kind)]
    given = [(name, required) for name, required in fields if required or name not in _FILLED_IN_LATER]
    shown = [f"{name}{'' if required else '='}" for name, required in given]
    return f"{kind.__name__}({', '.join(shown)})"


TABLES: Mapping[str, Callable[[Dialects], str]] = {
    "dialects": names,
    "messages": of_messages,
    "events": of_events,
    "commands": of_commands,
    "own commands": own_commands,
    "model commands": model_commands,
    "model events": model_events,
}
