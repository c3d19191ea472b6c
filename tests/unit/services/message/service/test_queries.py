"""Tests syncs, unread messages, history and read state, on both databases."""

from dataclasses import replace

import msgspec
import pytest
import structlog
from prometheus_client import CollectorRegistry

from services.message.adapters.member_list_cache import MemberListCache
from services.message.domain import message_size
from services.message.metrics import MessageMetrics
from services.message.service import queries
from services.message.service.queries import MessageQueries
from services.message.store import MessageStore
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.events import AccountDeleted
from shared.contract.ids import AccountId, ChatId, Nonce
from shared.contract.message import (
    ChatSync,
    Draft,
    GetHeads,
    GetHistory,
    GetUnread,
    History,
    MarkRead,
    ReadRange,
    Sync,
    SyncChat,
    Synced,
    Unread,
)
from shared.contract.model import MemberPair, Message, Role
from shared.contract.session import ChatEntry, ChatList, GetMembership, ListChats, Member, Membership
from shared.database import Database
from shared.settings.messages import MessageSettings
from tests.support.statements import executed

ANN, BOB, CEM = (AccountId(number) for number in (1, 2, 3))
ROOM, HALL, LOFT = (ChatId(number) for number in (11, 12, 13))


class QueryHarness:
    """The use cases on a real database, with a session service whose replies a test prepares."""

    def __init__(self, database: Database, settings: MessageSettings) -> None:
        self.now = 0
        self.store = MessageStore(database, lambda: self.now)
        self.entries: list[ChatEntry] = []
        """The chats of every account."""
        self.page_entries = 9
        """The number of entries on a page of the chat list."""
        self.more = False
        self.pair: MemberPair | None = None
        self.members = [Member(ANN, Role.MEMBER, 1, 1, 1), Member(BOB, Role.MEMBER, 3, 2, 5)]
        memberships = MemberListCache(self._membership, MessageMetrics(CollectorRegistry()))
        self.queries = MessageQueries(self.store, memberships, self._list, self._versions, settings)
        self._nonce = 0

    async def _membership(self, request: GetMembership) -> Membership:
        if request.chat == LOFT:
            raise RequestError(ErrorCode.NOT_FOUND, "no such chat")
        return Membership(request.chat, 2, self.members, pair=self.pair)

    async def _list(self, request: ListChats) -> ChatList:
        entries = [entry for entry in self.entries if entry.chat > request.after]
        own = ChatList(entries[: self.page_entries], self.more or len(entries) > self.page_entries)
        return msgspec.structs.replace(own, also=dict.fromkeys(request.also, own))

    async def _versions(self, _chats: object) -> dict[ChatId, int]:
        return {}

    async def post(self, chat: ChatId, senders: str, size: int = 1) -> None:
        """Posts one message of each sender. Each message is 10 ms after the previous one of any chat."""
        for sender in senders:
            self._nonce += 1
            self.now += 10
            await self.store.post([Draft(AccountId(int(sender)), chat, Nonce(self._nonce), 2**62, b"x" * size)])

    async def deliver(self, account: AccountId, chat: ChatId, *spans: tuple[int, int]) -> None:
        """Marks the messages as delivered, but not as read."""
        await self.queries.mark_read(MarkRead([ReadRange(account, chat, low, high, 0) for low, high in spans]))

    async def read(self, account: AccountId, chat: ChatId, index: int) -> None:
        """Marks everything up to this index as read."""
        await self.queries.mark_read(MarkRead([ReadRange(account, chat, 1, index, index)]))

    async def sync_pages(self, account: AccountId) -> list[Synced]:
        """Returns all pages of a sync, requested as an edge does."""
        pages = [await self.queries.sync(Sync(account))]
        while pages[-1].more:
            pages.append(await self.queries.sync(Sync(account, pages[-1].chats[-1].chat)))
        return pages


@pytest.fixture
def harness(database: Database) -> QueryHarness:
    return QueryHarness(database, MessageSettings())


@pytest.fixture
def small_replies(database: Database) -> QueryHarness:
    """A harness whose settings permit only small replies, and few pushed messages for each chat."""
    return QueryHarness(database, MessageSettings(reply_bytes=794, pushed_per_chat=4))


def indexes(messages: list[Message]) -> list[int]:
    return [message.index for message in messages]


def chat_fields(entry: ChatSync) -> tuple[int, int, int, int, list[int]]:
    return (entry.head, entry.delivered_index, entry.missed_from, entry.upto, indexes(entry.messages))


async def test_a_sync_holds_unread_messages_of_other_senders(harness: QueryHarness) -> None:
    await harness.post(ROOM, "2212122")
    await harness.deliver(ANN, ROOM, (1, 1), (4, 5))
    harness.entries = [ChatEntry(ROOM, 1, 1), ChatEntry(HALL, 1, 1)]
    (page,) = await harness.sync_pages(ANN)
    room, hall = page.chats
    assert (room.chat, *chat_fields(room)) == (ROOM, 7, 1, 2, 7, [2, 6, 7])
    assert room.delivered == [(4, 5)]
    assert (hall.chat, *chat_fields(hall)) == (HALL, 0, 0, 1, 0, [])
    assert {message.body for message in room.messages} == {b"x"}
    assert (room.first_index, room.rev, hall.first_index, hall.rev) == (1, 0, 1, 0)


async def test_messages_before_the_join_are_not_unread(harness: QueryHarness) -> None:
    await harness.post(ROOM, "222222")
    harness.entries = [ChatEntry(ROOM, 1, 5)]
    (page,) = await harness.sync_pages(ANN)
    assert chat_fields(page.chats[0]) == (6, 4, 5, 6, [5, 6])
    await harness.deliver(ANN, ROOM, (5, 5))
    (page,) = await harness.sync_pages(ANN)
    assert (chat_fields(page.chats[0]), page.chats[0].delivered) == ((6, 5, 6, 6, [6]), [])
    harness.entries = [ChatEntry(ROOM, 7, 7)]
    (page,) = await harness.sync_pages(ANN)
    assert chat_fields(page.chats[0]) == (6, 6, 7, 6, [])


async def test_a_sync_of_a_known_chat_has_only_the_head(harness: QueryHarness) -> None:
    await harness.post(ROOM, "222")
    harness.entries = [ChatEntry(ROOM, 1, 1)]
    synced = await harness.queries.sync(Sync(ANN, known=[ROOM]))
    assert chat_fields(synced.chats[0]) == (3, 0, 1, 3, [])


async def test_a_sync_has_only_the_newest_unread_messages(small_replies: QueryHarness) -> None:
    await small_replies.post(ROOM, "2" * 9)
    await small_replies.deliver(ANN, ROOM, (1, 1), (7, 7))
    small_replies.entries = [ChatEntry(ROOM, 1, 1)]
    (page,) = await small_replies.sync_pages(ANN)
    assert chat_fields(page.chats[0]) == (9, 1, 5, 9, [5, 6, 8, 9])
    assert page.chats[0].left_out == 3
    (few,) = (await small_replies.queries.sync(Sync(ANN, newest=1))).chats
    assert (indexes(few.messages), few.left_out) == ([9], 0), "nothing is left out for good"


async def test_a_full_sync_reply_names_the_index_to_continue_from(small_replies: QueryHarness) -> None:
    """The reply has space for the chat summaries of three chats and for six small messages."""
    for chat in (ROOM, HALL, LOFT):
        await small_replies.post(chat, "2222", size=30)
    small_replies.entries = [ChatEntry(chat, 1, 1) for chat in (ROOM, HALL, LOFT)]
    first, second = await small_replies.sync_pages(ANN)
    assert [(entry.chat, *chat_fields(entry)) for entry in first.chats] == [
        (ROOM, 4, 0, 1, 4, [1, 2, 3, 4]), (HALL, 4, 0, 1, 2, [1, 2]),
    ]  # fmt: skip
    assert [(entry.chat, *chat_fields(entry)) for entry in second.chats] == [(LOFT, 4, 0, 1, 4, [1, 2, 3, 4])]
    assert not second.more


async def test_a_message_bigger_than_the_reply_limit_is_still_sent(small_replies: QueryHarness) -> None:
    await small_replies.post(ROOM, "22", size=5000)
    small_replies.entries = [ChatEntry(ROOM, 1, 1)]
    (page,) = await small_replies.sync_pages(ANN)
    assert chat_fields(page.chats[0]) == (2, 0, 1, 1, [1])
    small_replies.members = [Member(ANN, Role.MEMBER, 1, 1, 1)]
    rest = await small_replies.queries.sync_chat(SyncChat(ROOM, [ANN], 1))
    assert (indexes(rest.messages), rest.upto) == ([2], 2)


async def test_pages_of_the_chat_list_are_pages_of_the_sync(harness: QueryHarness) -> None:
    await harness.post(HALL, "2")
    harness.entries = [ChatEntry(ROOM, 1, 1)]
    harness.more = True
    assert (await harness.queries.sync(Sync(ANN))).more
    harness.entries, harness.more = [ChatEntry(HALL, 1, 1)], False
    rest = await harness.queries.sync(Sync(ANN, ROOM))
    assert ([entry.chat for entry in rest.chats], rest.more) == ([HALL], False)


async def test_a_sync_of_several_accounts_equals_their_single_syncs(harness: QueryHarness) -> None:
    await harness.post(ROOM, "12321")
    await harness.post(HALL, "33")
    await harness.deliver(BOB, ROOM, (3, 3))
    harness.entries = [ChatEntry(ROOM, 1, 1), ChatEntry(HALL, 1, 2)]
    together = await harness.queries.sync(Sync(ANN, also=[BOB, CEM]))
    alone = {account: await harness.queries.sync(Sync(account)) for account in (ANN, BOB, CEM)}
    assert {ANN: msgspec.structs.replace(together, also={}), **together.also} == alone
    assert [indexes(entry.messages) for entry in alone[BOB].chats] == [[1, 5], [2]]


async def test_a_sync_of_several_accounts_holds_as_many_as_fit(small_replies: QueryHarness) -> None:
    await small_replies.post(ROOM, "11", size=240)
    small_replies.entries = [ChatEntry(ROOM, 1, 1)]
    whole = await small_replies.queries.sync(Sync(ANN, also=[BOB, CEM]))
    assert list(whole.also) == [BOB]
    cut = whole.also[BOB].chats[0]
    assert (indexes(cut.messages), cut.upto, cut.head) == ([1], 1, 2)


async def test_a_bare_sync_has_no_messages(harness: QueryHarness) -> None:
    await harness.post(ROOM, "221")
    await harness.deliver(ANN, ROOM, (1, 1))
    harness.entries = [ChatEntry(ROOM, 1, 1)]
    bare = await harness.queries.sync(Sync(ANN, also=[BOB], bare=True))
    assert chat_fields(bare.chats[0]) == (3, 1, 2, 3, [])
    assert chat_fields(bare.also[BOB].chats[0]) == (3, 0, 1, 3, [])


async def test_a_chat_sync_continues_after_an_index_for_members(harness: QueryHarness) -> None:
    await harness.post(ROOM, "121212")
    await harness.deliver(ANN, ROOM, (1, 2), (5, 5))
    reply = await harness.queries.sync_chat(SyncChat(ROOM, [ANN, BOB, CEM], 3))
    assert (reply.head, reply.upto, indexes(reply.messages), reply.version) == (6, 6, [4, 5, 6], 2)
    assert reply.first_index == {ANN: 1, BOB: 3}
    assert reply.unread_from == {ANN: 3, BOB: 5}


async def test_a_chat_sync_of_so_many_messages(harness: QueryHarness) -> None:
    await harness.post(ROOM, "121212")
    for after, limit, wanted in ((1, 2, [2, 3]), (4, 2, [5, 6]), (5, 2, [6])):
        reply = await harness.queries.sync_chat(SyncChat(ROOM, [ANN], after, limit=limit))
        assert (reply.head, reply.upto, indexes(reply.messages)) == (6, wanted[-1], wanted)


async def test_a_chat_sync_after_every_message_has_only_the_head(harness: QueryHarness) -> None:
    """`after` is higher than every index."""
    await harness.post(ROOM, "12")
    reply = await harness.queries.sync_chat(SyncChat(ROOM, [ANN], 2**53))
    assert (reply.head, reply.upto, reply.messages, reply.unread_from) == (2, 2, [], {ANN: 1})


async def test_a_chat_sync_without_members_is_empty(harness: QueryHarness) -> None:
    await harness.post(ROOM, "12")
    reply = await harness.queries.sync_chat(SyncChat(ROOM, [CEM], 0))
    assert (reply.messages, reply.first_index, reply.unread_from) == ([], {}, {})


async def test_a_chat_sync_in_pages(small_replies: QueryHarness) -> None:
    await small_replies.post(ROOM, "2" * 20, size=36)
    after, seen = 0, []
    while after < 20:
        reply = await small_replies.queries.sync_chat(SyncChat(ROOM, [ANN], after))
        assert indexes(reply.messages) == list(range(after + 1, reply.upto + 1))
        seen += indexes(reply.messages)
        after = reply.upto
    assert seen == list(range(1, 21))
    assert reply.unread_from == {ANN: 17}


async def test_syncs_name_the_pair_of_a_private_chat(harness: QueryHarness) -> None:
    await harness.post(ROOM, "2")
    harness.pair = (ANN, BOB)
    harness.entries = [ChatEntry(ROOM, 1, 1, (ANN, BOB)), ChatEntry(HALL, 1, 1)]
    (page,) = await harness.sync_pages(ANN)
    assert [entry.pair for entry in page.chats] == [(ANN, BOB), None]
    assert (await harness.queries.sync_chat(SyncChat(ROOM, [ANN], 0))).pair == (ANN, BOB)


# Unread messages


def chat_indexes(unread: Unread) -> list[tuple[ChatId, int]]:
    return [(message.chat, message.index) for message in unread.messages]


async def test_unread_messages_of_all_chats_are_sent_oldest_first(harness: QueryHarness) -> None:
    for chat, senders in ((HALL, "23"), (ROOM, "212"), (HALL, "1"), (LOFT, "2"), (HALL, "2")):
        await harness.post(chat, senders)
    await harness.deliver(ANN, ROOM, (1, 1))
    harness.entries = [ChatEntry(ROOM, 1, 1, (ANN, BOB)), ChatEntry(HALL, 1, 1), ChatEntry(LOFT, 1, 1, (ANN, CEM))]
    whole = await harness.queries.unread(GetUnread(ANN, 2**31))
    assert whole.total == len(whole.messages) == 5
    assert chat_indexes(whole) == [(HALL, 1), (HALL, 2), (ROOM, 3), (LOFT, 1), (HALL, 4)]
    assert whole.messages[0].body == b"x"
    assert whole.pairs == {ROOM: (ANN, BOB), LOFT: (ANN, CEM)}
    some = await harness.queries.unread(GetUnread(ANN, 3))
    assert (some.total, chat_indexes(some), some.pairs) == (5, chat_indexes(whole)[:3], {ROOM: (ANN, BOB)})
    rest = await harness.queries.unread(GetUnread(ANN, 3, sent={HALL: [(1, 2)], ROOM: [(3, 3)]}))
    assert (rest.total, chat_indexes(rest), rest.pairs) == (2, chat_indexes(whole)[3:], {LOFT: (ANN, CEM)})


async def test_unread_messages_can_be_counted_only(harness: QueryHarness) -> None:
    await harness.post(ROOM, "21221")
    harness.entries = [ChatEntry(ROOM, 1, 1, (ANN, BOB))]
    for count in (0, -1):
        assert await harness.queries.unread(GetUnread(ANN, count)) == Unread(3, [])


async def test_unread_messages_of_the_same_time_keep_the_order_of_their_ids(harness: QueryHarness) -> None:
    for chat in (HALL, ROOM):
        await harness.post(chat, "2")
        harness.now -= 10
    harness.entries = [ChatEntry(ROOM, 1, 1), ChatEntry(HALL, 1, 1)]
    assert chat_indexes(await harness.queries.unread(GetUnread(ANN, 9))) == [(HALL, 1), (ROOM, 1)]


async def test_unread_messages_are_those_of_a_sync(small_replies: QueryHarness) -> None:
    """This also holds for an account that joined late, has read some messages, or has more unread messages than the
    limit.
    """
    await small_replies.post(ROOM, "2" * 9)
    await small_replies.post(HALL, "2122212")
    await small_replies.post(LOFT, "2222")
    await small_replies.deliver(ANN, ROOM, (1, 1), (7, 7))
    await small_replies.deliver(ANN, LOFT, (1, 4))
    small_replies.entries = [ChatEntry(ROOM, 1, 1), ChatEntry(HALL, 4, 5), ChatEntry(LOFT, 1, 1)]
    (page,) = await small_replies.sync_pages(ANN)
    synced = [(entry.chat, message.index) for entry in page.chats for message in entry.messages]
    counted = await small_replies.queries.unread(GetUnread(ANN, 0))
    unread = await small_replies.queries.unread(GetUnread(ANN, 99))
    assert (counted.total, sorted(chat_indexes(unread)), unread.left_out) == (6, synced, {ROOM: (4, 3)})


async def test_unread_messages_of_chats_on_several_pages_of_the_chat_list(harness: QueryHarness) -> None:
    for chat in (LOFT, HALL, ROOM):
        await harness.post(chat, "2")
    harness.entries, harness.page_entries = [ChatEntry(chat, 1, 1) for chat in (ROOM, HALL, LOFT)], 1
    assert chat_indexes(await harness.queries.unread(GetUnread(ANN, 9))) == [(LOFT, 1), (HALL, 1), (ROOM, 1)]


async def test_unread_messages_are_sent_as_far_as_they_fit(small_replies: QueryHarness) -> None:
    await small_replies.post(ROOM, "222", size=200)
    await small_replies.post(HALL, "2", size=5000)
    small_replies.entries = [ChatEntry(HALL, 1, 1), ChatEntry(ROOM, 1, 1)]
    first = await small_replies.queries.unread(GetUnread(ANN, 9))
    assert (first.total, chat_indexes(first)) == (4, [(ROOM, 1), (ROOM, 2)])
    await small_replies.deliver(ANN, ROOM, (1, 3))
    rest = await small_replies.queries.unread(GetUnread(ANN, 9))
    assert (rest.total, chat_indexes(rest)) == (1, [(HALL, 1)])


async def test_nothing_is_unread_without_chats_or_messages(harness: QueryHarness) -> None:
    assert await harness.queries.unread(GetUnread(ANN, 9)) == Unread(0, [])
    harness.entries = [ChatEntry(ROOM, 1, 1)]
    assert await harness.queries.unread(GetUnread(ANN, 9)) == Unread(0, [])


async def test_unread_messages_cost_the_same_statements_for_any_number_of_chats(
    harness: QueryHarness, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    costs = []
    for chats in (1, 30):
        for chat in range(1, chats + 1):
            await harness.post(ChatId(chat), "2")
        harness.entries, harness.page_entries = [ChatEntry(ChatId(chat), 1, 1) for chat in range(1, chats + 1)], 99
        with executed() as statements:
            await harness.queries.unread(GetUnread(ANN, 99))
        costs.append(len(statements))
    assert 0 < costs[0] == costs[1]


# History


async def test_history_starts_at_the_first_index_of_the_member(harness: QueryHarness) -> None:
    await harness.post(ROOM, "121212")
    ann = await harness.queries.history(GetHistory(ROOM, -1, 4, actor=ANN))
    assert (indexes(ann.messages), ann.head, ann.more) == ([6, 5, 4, 3], 6, False)
    bob = await harness.queries.history(GetHistory(ROOM, 5, 200, actor=BOB))
    assert indexes(bob.messages) == [5, 4, 3]
    newer = await harness.queries.history(GetHistory(ROOM, 2, 2, older=False, actor=ANN))
    assert indexes(newer.messages) == [2, 3]
    nothing = await harness.queries.history(GetHistory(ROOM, 0, 2, actor=ANN))
    assert nothing == History([], 6)


async def test_history_around_an_index_or_a_time_has_both_sides(harness: QueryHarness) -> None:
    """Bob sees the messages from the third one on."""
    await harness.post(ROOM, "121212121")
    times = [one.time for one in (await harness.queries.history(GetHistory(ROOM, 1, 9, False, ANN))).messages]
    assert times == sorted(set(times))

    async def around(actor: AccountId, count: int, around: int = 0, at: int = 0) -> tuple[list[int], bool, bool]:
        request = GetHistory(ROOM, 1, count, False, actor, around=around, at=at)
        page = await harness.queries.history(request)
        return indexes(page.messages), page.older, page.newer

    assert await around(ANN, 4, around=5) == ([3, 4, 5, 6], True, True)
    assert await around(BOB, 4, around=1) == ([3, 4, 5, 6], False, True)
    assert await around(BOB, 4, around=99) == ([6, 7, 8, 9], True, False)
    assert await around(BOB, 50, around=4) == ([3, 4, 5, 6, 7, 8, 9], False, False)
    for at, index in ((times[4], 5), (times[3] + 1, 5), (times[0] - 1, 1), (times[8] + 1, 9)):
        assert await around(ANN, 1, at=at) == ([index], index > 1, index < 9)
    assert await harness.queries.history(GetHistory(LOFT, 1, 1, all=True, at=5)) == History([], 0)


async def test_a_page_around_an_index_has_the_nearest_that_fit(harness: QueryHarness) -> None:
    await harness.post(ROOM, "121212121")
    (one,) = (await harness.queries.history(GetHistory(ROOM, 1, 1, False, ANN))).messages
    settings = MessageSettings().model_copy(update={"reply_bytes": 3 * message_size(one)})
    page = await replace(harness.queries, _settings=settings).history(GetHistory(ROOM, 1, 9, False, ANN, around=5))
    assert (indexes(page.messages), page.older, page.newer) == ([4, 5, 6], True, True)


async def test_own_history_has_own_messages_alone_also_of_a_former_membership(
    harness: QueryHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ranges that are read are bounded."""
    monkeypatch.setattr(queries, "_OWN_RANGE", 3)
    await harness.post(ROOM, "12112")
    harness.members[0] = Member(ANN, Role.LEFT, 1, 3, 1)
    bob = await harness.queries.history(GetHistory(ROOM, 1, 9, older=False, actor=BOB, own=True))
    assert ([one.index for one in bob.messages], bob.upto, bob.head) == ([2], 3, 5)
    left = GetHistory(ROOM, 4, 9, older=False, actor=ANN, own=True, left=True)
    ann = await harness.queries.history(left)
    assert ([one.index for one in ann.messages], ann.upto) == ([4], 5)
    with pytest.raises(RequestError) as rejected:
        await harness.queries.history(GetHistory(ROOM, 1, 9, older=False, actor=CEM, own=True))
    assert rejected.value.failure.code == ErrorCode.FORBIDDEN


async def test_history_is_rejected_for_accounts_that_are_not_members(
    harness: QueryHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An operator may read any history, and this is logged."""
    monkeypatch.setattr(queries, "_log", structlog.get_logger())  # the module's own logger may be cached
    await harness.post(ROOM, "12")
    for chat, code in ((ROOM, ErrorCode.FORBIDDEN), (LOFT, ErrorCode.NOT_FOUND)):
        with pytest.raises(RequestError) as rejected:
            await harness.queries.history(GetHistory(chat, 1, 1, actor=CEM))
        assert rejected.value.failure.code is code
    with structlog.testing.capture_logs() as entries:
        operator = await harness.queries.history(GetHistory(ROOM, 1, 9, older=False, all=True))
    assert [(entry["act"], entry["chat"]) for entry in entries if "act" in entry] == [("read history", ROOM)]
    assert indexes(operator.messages) == [1, 2]


async def test_a_full_history_page_has_the_flag_more(small_replies: QueryHarness) -> None:
    await small_replies.post(ROOM, "1" * 12, size=36)
    page = await small_replies.queries.history(GetHistory(ROOM, -1, 12, actor=ANN))
    assert (indexes(page.messages), page.more) == ([12, 11, 10, 9, 8, 7, 6], True)
    rest = await small_replies.queries.history(GetHistory(ROOM, 5, 5, actor=ANN))
    assert (indexes(rest.messages), rest.more) == ([5, 4, 3, 2, 1], False)


async def test_heads_of_all_requested_chats(harness: QueryHarness) -> None:
    await harness.post(ROOM, "12")
    found = await harness.queries.heads(GetHeads([HALL, ROOM]))
    assert (found.heads, found.revs) == ({HALL: 0, ROOM: 2}, {HALL: 0, ROOM: 0})


async def test_account_deletion_erases_the_read_state(harness: QueryHarness) -> None:
    await harness.post(ROOM, "222")
    harness.entries = [ChatEntry(ROOM, 1, 1)]
    await harness.deliver(ANN, ROOM, (1, 3))
    await harness.queries.account_deleted(AccountDeleted(ANN))
    (page,) = await harness.sync_pages(ANN)
    assert page.chats[0].delivered_index == 0
