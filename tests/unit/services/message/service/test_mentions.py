"""Tests unread messages that mention an account, and messages that replies quote, on both databases."""

import pytest

from shared.contract.body import pack_segments
from shared.contract.ids import AccountId, ChatId, Nonce
from shared.contract.message import Draft, GetQuoted, GetUnread
from shared.contract.model import Mention, RichSegment, Text
from shared.contract.resume import Resume
from shared.contract.session import ChatEntry
from shared.database import Database
from shared.settings.messages import MessageSettings
from tests.unit.services.message.service.test_queries import ANN, BOB, HALL, ROOM, QueryHarness

CLEO = AccountId(0xFFFE72)
AT_ANN, AT_BOB, AT_CLEO = Mention(ANN, "@Ann"), Mention(BOB, "@Bob"), Mention(CLEO, "@Cleo")


@pytest.fixture
def harness(database: Database) -> QueryHarness:
    made = QueryHarness(database, MessageSettings())
    made.entries = [ChatEntry(ROOM, 1, 1), ChatEntry(HALL, 1, 1)]
    return made


async def post(harness: QueryHarness, chat: ChatId, sender: AccountId, *messages: tuple[RichSegment, ...]) -> None:
    for number, segments in enumerate(messages, 100 * chat):
        body = pack_segments(segments, reply_to=7 if number % 2 else 0)
        await harness.store.post([Draft(sender, chat, Nonce(number), 2**62, body)])


async def test_unread_mentions_are_counted(harness: QueryHarness) -> None:
    await post(harness, ROOM, BOB, (AT_ANN,), (Text("@Ann"),), (AT_CLEO, AT_BOB), (Text("hm "), AT_ANN, AT_ANN))
    await post(harness, HALL, ANN, (AT_ANN,))
    counted = await harness.queries.unread(GetUnread(ANN, 0, by_chat=True))
    assert (counted.total, counted.chats) == (4, {ROOM: (4, 2)})
    await harness.read(ANN, ROOM, 2)
    counted = await harness.queries.unread(GetUnread(ANN, 0, by_chat=True))
    assert (counted.total, counted.chats) == (2, {ROOM: (2, 1)})
    resumed = await harness.queries.resume(Resume(ANN, {}, 30, 0))
    assert {chat.chat: chat.mentions for chat in resumed.chats} == {ROOM: 1, HALL: 0}
    assert (await harness.queries.unread(GetUnread(ANN, 0))).chats == {}


async def test_a_text_is_no_mention(harness: QueryHarness) -> None:
    await post(harness, ROOM, BOB, (Text("\xff\xfemention"),), (Text("ÿþmention\0\0\0\0\0\0\0\1"),))
    assert (await harness.queries.unread(GetUnread(ANN, 0, by_chat=True))).chats == {ROOM: (2, 0)}


async def test_quoted_messages_are_read_as_far_as_they_fit(database: Database) -> None:
    harness = QueryHarness(database, MessageSettings(reply_bytes=720))
    await harness.post(ROOM, "1212", size=200)
    quoted = await harness.queries.quoted(GetQuoted(ROOM, [9, 4, 2, 2, 3]))
    assert [message.index for message in quoted.messages] == [2, 3]
    assert (await harness.queries.quoted(GetQuoted(HALL, [1]))).messages == []
