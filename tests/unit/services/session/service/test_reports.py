"""Tests reports by requests over NATS.

A user can report only visible messages. The operator gets the reports in pages.
"""

import pytest

from services.session.service import moderation
from shared.contract.admin import CloseReport, ListOwnReports, ListReports, ReportMessage
from shared.contract.body import RECALLED_BODY, pack_segments
from shared.contract.errors import ErrorCode
from shared.contract.ids import AccountId, ChatId, MessageId, Nonce
from shared.contract.model import Message, Text
from shared.contract.routes import Ack
from tests.unit.services.session.service_harness import ANN, BOB, BusPeers, rejection

CHAT = ChatId(7)
INT64 = 2**63
BUY, MORE = (pack_segments((Text(text),)) for text in ("buy", "more"))


def message(index: int, sender: AccountId, body: bytes) -> Message:
    return Message(CHAT, index, MessageId(100 + index), sender, 5_000, body, Nonce(index))


@pytest.fixture
def chat(peers: BusPeers) -> ChatId:
    """A chat with Bob's messages 1 and 2, a recalled message, and one of Ann's."""
    peers.messages[CHAT] = [
        message(1, BOB, BUY), message(2, BOB, MORE), message(3, BOB, RECALLED_BODY), message(4, ANN, BUY),
    ]  # fmt: skip
    return CHAT


async def test_the_operator_gets_the_message_as_it_was(peers: BusPeers, chat: ChatId) -> None:
    for index in (1, 2):
        assert await peers.edge.send(ReportMessage(chat, index, "spam", actor=ANN)) == Ack()
    assert [(one.actor, one.start, one.count) for one in peers.history_requests] == [(ANN, 1, 1), (ANN, 2, 1)]
    peers.messages[chat].clear()
    page = await peers.admin.send(ListReports())
    assert [(one.index, one.sender, one.sent, one.body) for one in page.reports] == [
        (1, BOB, 5_000, BUY), (2, BOB, 5_000, MORE)
    ]  # fmt: skip
    assert not page.more
    assert await peers.admin.send(CloseReport(page.reports[0].number)) == Ack()
    own = await peers.edge.send(ListOwnReports(ANN))
    assert [(one.chat, one.index, one.reason) for one in own.reports] == [(chat, 2, "spam")]
    assert (await peers.edge.send(ListOwnReports(BOB))).reports == []


async def test_a_page_has_a_limited_size_and_at_least_one_report(
    peers: BusPeers, chat: ChatId, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(moderation, "_PAGE_BYTES", 10)
    for index in (1, 2):
        await peers.edge.send(ReportMessage(chat, index, "spam", actor=ANN))
    first = await peers.admin.send(ListReports())
    second = await peers.admin.send(ListReports(first.reports[-1].number))
    assert [(len(page.reports), page.more) for page in (first, second)] == [(1, True), (1, False)]


async def test_what_cannot_be_reported(peers: BusPeers, chat: ChatId) -> None:
    for index, reason, actor, code, field in (
        (3, "spam", ANN, ErrorCode.NOT_FOUND, "index"),
        (4, "spam", ANN, ErrorCode.INVALID, "index"),
        (5, "spam", ANN, ErrorCode.NOT_FOUND, "index"),
        (0, "spam", ANN, ErrorCode.NOT_FOUND, "index"),
        (1, " ", ANN, ErrorCode.INVALID, "reason"),
        (1, "a\0", ANN, ErrorCode.INVALID, "reason"),
        (1, "x" * 1_001, ANN, ErrorCode.TOO_LARGE, "reason"),
        (1, "spam", AccountId(0), ErrorCode.UNAUTHENTICATED, ""),
    ):
        failed = await rejection(peers.edge.send(ReportMessage(chat, index, reason, actor=actor)))
        assert (failed.code, failed.field or "") == (code, field)


async def test_a_message_is_reported_by_its_readers_alone(peers: BusPeers, chat: ChatId) -> None:
    peers.history_is_forbidden = True
    failed = await rejection(peers.edge.send(ReportMessage(chat, 1, "spam", actor=ANN)))
    assert (failed.code, failed.text) == (ErrorCode.FORBIDDEN, "you are in no such chat")
    failed = await rejection(peers.edge.send(ReportMessage(ChatId(INT64), 1, "spam", actor=ANN)))
    assert failed.text == "you are in no such chat"


def test_no_log_shows_a_reason() -> None:
    assert "spam" not in repr(ReportMessage(CHAT, 1, "spam", actor=ANN))
