"""Tests one connection of the load generator: how it verifies deliveries, its senders, and its loops."""

import pytest

from bench.load import protocol
from bench.load.conversation_runs import ConversingRun
from bench.load.dialects import NATIVE, TaggedMessage, decoder
from bench.load.message_tag import SIZE, Tag
from bench.load.recorder import Recorder
from dragoman_client.aio import AsyncConnection
from dragoman_client.codec.base import ClientAccount
from dragoman_client.codec.events import ReplyKind, ServerReply
from tests.support.waiting import until

_CHAT = 5


class _Connection(AsyncConnection):
    """A connection that records the frames that are sent."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []

    def send(self, frame: bytes) -> None:
        self.sent.append(frame)

    def abort(self) -> None:
        raise NotImplementedError

    def _start_closing(self) -> None:
        raise NotImplementedError


class _Conversation(ConversingRun):
    async def run(self, at: int) -> None:
        raise NotImplementedError


def _conversation(dialect: str = "native") -> ConversingRun:
    """Returns the conversation of Ann (sender 1) and Bob (sender 2). Only Ann's connection exists here."""
    seat = protocol.Seat(ClientAccount(), dialect, "ws://nowhere", [_CHAT])
    job = protocol.Job(
        7, [seat], protocol.LoginChurn(0, 0, 0), [protocol.SenderPlan(1, 0, _CHAT, 0)], {1: _CHAT, 2: _CHAT}
    )
    return _Conversation(job, SIZE, Recorder())


async def test_a_native_user_marks_messages_as_read_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.load.conversation_runs._READ_SECONDS", 0.01)
    conversations = _conversation()
    (ann,) = conversations.devices
    ann.connection = connection = _Connection()
    conversations.senders[1].send(0)
    for number, index in ((1, 3), (2, 4)):
        ann.received(TaggedMessage(Tag(7, 2, number, 0), index), 0)
    await until(lambda: len(connection.sent) > 1)
    assert connection.sent[1:] == [NATIVE.read(_CHAT, 4, counts=False).frame]
    ann.replied(ServerReply(ReplyKind.ANY), 0)
    assert ann.pending, "the reply to the message is still to come"
    ann.replied(ServerReply(ReplyKind.MESSAGE), 0)
    assert not ann.pending
    assert not conversations.recorder.faults.any()


async def test_a_labelled_message_on_irc_is_acknowledged_by_a_short_line() -> None:
    conversations = _conversation("irc-labels")
    (ann,) = conversations.devices
    ann.connection = connection = _Connection()
    conversations.senders[1].send(0)
    assert connection.sent[0].startswith(b"@label=m PRIVMSG #chat~5 :")
    reply = decoder(ann.codec)(b"@label=m :irc.dragoman.local ACK")
    assert isinstance(reply, ServerReply)
    ann.replied(reply, 0)
    assert not ann.pending
    assert not conversations.recorder.faults.any()
