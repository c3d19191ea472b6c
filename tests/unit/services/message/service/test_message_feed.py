"""Tests which messages the search service gets, and which of these a user may read, on both databases."""

import pytest

from services.message.domain import MESSAGE_OVERHEAD_BYTES
from services.message.service.following import MessageFeed
from shared.contract.following import FollowChats, HeadPosition, ReadVisible
from shared.contract.ids import ChatId
from shared.database import Database
from shared.settings.messages import MessageSettings
from tests.unit.services.message.service.test_queries import ANN, BOB, CEM, HALL, ROOM, QueryHarness, indexes

_FITTING = 3
"""The number of messages that fit into a reply."""


@pytest.fixture
async def feed(database: Database) -> MessageFeed:
    """The feed of a room with five messages and a hall with two."""
    harness = QueryHarness(database, MessageSettings())
    await harness.post(ROOM, "22222")
    await harness.post(HALL, "22")
    settings = MessageSettings(reply_bytes=2 * _FITTING * (MESSAGE_OVERHEAD_BYTES + 1))
    return MessageFeed(harness.store, harness.queries._member_lists, harness._versions, settings)


async def test_news_are_the_next_messages_that_fit(feed: MessageFeed) -> None:
    cases: list[tuple[int, int, int, list[tuple[ChatId, list[int], bool]], bool]] = [
        (0, 0, 2, [(ROOM, [1, 2], True)], True),
        (0, 0, 9, [(ROOM, [1, 2, 3], True)], True),
        (3, 0, 2, [(ROOM, [4, 5], False)], True),
        (3, 0, 4, [(ROOM, [4, 5], False), (HALL, [1], True)], True),
        (5, 0, 9, [(HALL, [1, 2], False)], False),
        (5, 2, 9, [], False),
    ]
    for room, hall, limit, news, more in cases:
        found = await feed.follow(FollowChats([HeadPosition(ROOM, room), HeadPosition(HALL, hall)], limit))
        assert [(one.position.chat, indexes(one.messages), one.more) for one in found.chats] == news
        assert [one.position.index for one in found.chats] == [taken[-1] for _, taken, _ in news]
        assert found.more is more


async def test_a_member_may_read_what_it_may_see(feed: MessageFeed) -> None:
    for reader, low, found, more in (
        (ANN, 1, [1, 2, 3], True), (ANN, 3, [3, 4, 5], False), (BOB, 1, [3, 4, 5], False), (CEM, 1, [], False),
    ):  # fmt: skip
        visible = await feed.visible(ReadVisible(reader, [(ROOM, low, 5)]))
        assert (indexes(visible.messages), visible.more) == (found, more)
