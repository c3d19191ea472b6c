"""Tests every codec with the vectors of its dialect.

The edge decodes the codec's requests, and the codec decodes the edge's frames.
"""

import json
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, NamedTuple

import msgspec
import pytest

from dragoman_client.codec import CODECS
from dragoman_client.codec.base import ClientAccount, ClientRequest, Codec, Unsupported
from dragoman_client.codec.events import (
    ClientEvent,
    ListedChat,
    MaintenanceStatus,
    OtherFrame,
    PendingRequests,
    ReceivedChange,
    ReceivedMedia,
    ReceivedMessage,
    ReceivedNotification,
    ReceivedPart,
    ReplyKind,
    ServerReply,
)
from services.edge.dialects.registry import DIALECTS, Entry
from shared.contract.model import Emoji, Text
from tests.support.cases import each
from tests.unit.dragoman_client.codec.from_commands import request_of, sent
from tests.unit.services.edge.dialects.driving import given, only_request
from tests.vectors import COMMANDS, Vector, VectorMessage, VectorReply, canonical, load, text

ME = 12
UUID = "6f9619ff-8b86-4d01-b42d-00c04fc964ff"


WITH_CODEC = [entry for entry in DIALECTS if entry.name in CODECS]


class Case(NamedTuple):
    """A vector with a frame. `reply` is set if the frame is a reply to a request."""

    entry: Entry
    vector: Vector
    reply: VectorReply | None = None

    @property
    def codec(self) -> Codec:
        return CODECS[self.entry.name]


def cases() -> Iterator[Any]:
    for entry in WITH_CODEC:
        for vector in load(entry.name).vectors:
            for number, reply in enumerate([None, *vector.replies]):
                name = f"{entry.name}: {vector.section}, {vector.name}, {number}"
                yield pytest.param(Case(entry, vector, reply), id=name)


CASES = list(cases())


def events(codec: Codec, out: list[Any] | None) -> list[ClientEvent]:
    return [event for frame in out or [] for event in _events(codec, frame)]


def _events(codec: Codec, frame: Any) -> Iterator[ClientEvent]:
    if isinstance(frame, dict) and "announcement" in frame:
        yield codec.decode(text(frame["announcement"]))
        for _ in range(frame["packages"]):
            yield ReceivedPart(b"part")
        yield codec.decode(text(frame["otherwise"]))
    elif isinstance(frame, dict) and frame.keys() == {"binary"}:
        yield ReceivedPart(frame["binary"].encode())
    else:
        yield codec.decode(text(frame))


def request(case: Case) -> ClientRequest | None:
    """Returns the library's request for the command of the vector."""
    if case.vector.command is None:
        return None
    account = ClientAccount(number=ME, uuid=UUID, token=case.vector.token)
    with suppress(Unsupported):
        return request_of(case.codec, canonical(case.vector.command, COMMANDS), account)
    return None


@pytest.mark.parametrize("dialect", CODECS)
def test_every_codec_has_the_path_of_its_dialect(dialect: str) -> None:
    (entry,) = (entry for entry in DIALECTS if entry.name == dialect)
    assert CODECS[dialect].dialect == dialect
    assert CODECS[dialect].path == entry.path


REQUESTS = [case for case in CASES if case.values[0].vector.command and case.values[0].reply is None]


@each(REQUESTS)
def test_the_edge_decodes_a_request_to_the_command(case: Case) -> None:
    made = request(case)
    if made is None:
        return
    dialect = given(case.entry, case.vector.given)
    for frame in made.before:
        dialect.decode(frame, 0.0)
    decoded = only_request(dialect, made.frame)
    assert sent(decoded.command) == sent(canonical(case.vector.command or {}, COMMANDS))
    assert decoded.token in (case.vector.token, "")


MESSAGES = {"Register", "Login", "PostMessage"}


@pytest.mark.parametrize(
    ("dialect", "others"),
    [
        ("ourchat-v0", set()),
        ("ourchat-v1", {"CreateChat", "RequestMembership", "AddMember"}),
        ("ourchat-v2", {"CreateChat", "GetAccount", "GetChat"}),
        ("service", {"CreateChatByUuid", "RequestMembership", "ListChatViews", "GetHistory"}),
        (
            "native",
            {
                "CreateChat",
                "RequestMembership",
                "AddMember",
                "GetChat",
                "ReadHistory",
                "SearchMessages",
                "ChangeMessage",
                "EditMessage",
                "SetBlocked",
                "MarkChatRead",
                "ResumeChats",
            },
        ),
        ("pipe", {"CreateChat", "RequestMembership", "AnswerMembership", "ListChatViews", "GetChat", "FetchUnread"}),
        ("irc", {"RequestMembership"}),
    ],
)
def test_these_commands_have_a_request(dialect: str, others: set[str]) -> None:
    of_dialect = [case.values[0] for case in CASES if case.values[0].entry.name == dialect]
    named = {next(iter(case.vector.command)) for case in of_dialect if request(case) is not None}
    assert named == (MESSAGES | others) - set(load(dialect).lacks)


@each([case for case in CASES if case.values[0].vector.message])
def test_a_message_is_received(case: Case) -> None:
    vector = case.vector
    assert vector.message is not None
    received = [event for event in events(case.codec, vector.out) if isinstance(event, ReceivedMessage | ReceivedMedia)]
    assert received
    if all(isinstance(segment, Text | Emoji) for segment in vector.message.segments):
        assert [type(event) for event in received] == [ReceivedMessage] * len(received)
        check_message(case.codec, vector.message, [event for event in received if isinstance(event, ReceivedMessage)])


def check_message(codec: Codec, message: VectorMessage, received: list[ReceivedMessage]) -> None:
    shown = " ".join(
        segment.text if isinstance(segment, Text) else f"[emoji:{getattr(segment, 'emoji_id', 0)}]"
        for segment in message.segments
    )
    shown = shown.replace("\x01", "")  # IRC clients would obey this character, so the edge removes it
    assert shown.split() == " ".join(event.text for event in received).split()[-len(shown.split()) :]
    first = received[0]
    assert first.sender in (message.sender, 0)
    assert first.sender or first.sender_uuid or first.chat
    assert first.chat in (message.chat, 0)
    assert first.position in (message.index, message.time, message.time // 1000, 0)


@each([case for case in CASES if case.values[0].vector.message])
def test_the_position_is_read_without_the_rest(case: Case) -> None:
    """The position is read from the frame that the edge writes, which has no blanks.

    The rest of the frame is not parsed.
    """
    for out in case.vector.out or []:
        if isinstance(out, dict) and "announcement" in out:
            continue
        frame = out.encode() if isinstance(out, str) else msgspec.json.encode(out)
        if isinstance(event := case.codec.decode(frame), ReceivedMessage):
            position = case.codec.position(frame)
            assert event.position == (0 if position is None else position)


@each([case for case in CASES if case.values[0].vector.event])
def test_news_are_decoded(case: Case) -> None:
    kinds: tuple[type, ...] = (ReceivedNotification, ReceivedChange, PendingRequests, MaintenanceStatus, ServerReply)
    if "CTCP" in case.vector.name:  # the message has nothing that a user reads
        kinds = (OtherFrame,)
    assert [event for event in events(case.codec, case.vector.out) if not isinstance(event, kinds)] == []


@each([case for case in CASES if case.values[0].reply])
def test_a_reply_answers_the_request(case: Case) -> None:
    """A failure has its reason. Any other reply has no error, unless the frame reports a failure."""
    assert case.reply is not None
    made = request(case)
    decoded = events(case.codec, case.reply.out)
    if made is None or made.reply is None or not decoded:
        return
    replies = [reply for event in decoded if (reply := case.codec.match(made, event)) is not None]
    if case.reply.failure is not None:
        assert replies[0].error
    elif not {"VerificationNeeded", "MembershipRequested"} & (case.reply.answer or {}).keys():
        check_answer(made, replies[0], case.reply.answer or {})


NUMBER_OF_CALL = json.loads(CODECS["native"].call("ping", {}).frame)["id"]
UNCOUNTED = {"MarkChatRead": {"chat": 5, "index": 124, "counts": False}}
"""Commands in which the client asks for no counts.

A call of the library always asks for them, because a reply has counts.
"""
CALLS = [
    case
    for case in CASES
    if case.values[0].entry.name == "native" and case.values[0].vector.command not in (None, UNCOUNTED)
]


@each(CALLS)
def test_every_operation_of_native_is_called_by_its_name(case: Case) -> None:
    """The edge decodes each call. A reply without an error has everything that the server sends."""
    members = dict(case.vector.frame)
    made = case.codec.call(members.pop("op"), members)
    decoded = only_request(given(case.entry, case.vector.given), made.frame)
    assert decoded.command == canonical(case.vector.command or {}, COMMANDS)
    for out in [] if case.reply is None else case.reply.out:
        if "re" in out:
            reply = case.codec.match(made, case.codec.decode(text(out | {"re": NUMBER_OF_CALL})))
            assert reply is not None
            assert bool(reply.error) == ("error" in out)
            assert reply.error or {"re": out["re"], **reply.values} == out


def check_answer(made: ClientRequest, reply: ServerReply, answer: dict[str, Any]) -> None:
    ((name, fields),) = answer.items()
    if name == "ChatView" and reply.error:
        assert "no group" in reply.error
        return
    assert reply.error == ""
    match name:
        case "Authenticated":
            assert reply.number in (fields["account"], 0)
            assert reply.token in (fields["token"], "")
        case "ChatView" if made.reply is ReplyKind.CHAT:
            assert reply.chat == fields["chat"]["id"]
        case "ChatViews":
            listed = [chat.number for chat in reply.chats]
            assert listed == [one["chat"]["id"] for one in fields["chats"] if one["chat"]["id"] in listed]
        case "ChatsResumed":
            private = ListedChat(9, "Bob", ["12", "34"])
            assert reply.chats == [private, ListedChat(2, "", ["1", "12"]), ListedChat(11, "", ["12"])]
        case "Page" | "HistoryPage":
            assert len(reply.messages) == len(fields["messages"])
            assert all(message.text and message.position and message.sender_uuid for message in reply.messages)
        case "MessagesFound":
            found = [(one.chat, one.position, one.text) for one in reply.messages]
            assert found == [(hit[0], hit[1], hit[5]) for hit in fields["page"]["hits"]]
        case "MessageAccepted":
            assert made.reply is ReplyKind.MESSAGE


@each([case for case in CASES if case.values[0].vector.error])
def test_a_rejection_has_its_reason(case: Case) -> None:
    for event in events(case.codec, case.vector.out):
        assert isinstance(event, ServerReply)
        assert event.error


@pytest.mark.parametrize("codec", CODECS.values(), ids=list(CODECS))
@pytest.mark.parametrize("frame", [b"", b"[]", b"\xff", b'{"code":"x","service_code":"x"}'])
def test_a_frame_that_no_server_sends_is_an_error_or_no_news(codec: Codec, frame: bytes) -> None:
    try:
        event = codec.decode(frame)
    except (ValueError, msgspec.MsgspecError):
        return
    assert isinstance(event, ServerReply | OtherFrame)
