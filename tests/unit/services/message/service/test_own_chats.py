"""Users mark chats as unread and store drafts, on both databases."""

import pytest

from services.message.service.following import OwnChats
from shared.contract.drafts import DraftPreview, GetDraft, SavedDraft, SaveDraft
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.ids import AccountId, ChatId
from shared.contract.message import GetHistory, GetUnread, MarkUnread, UnreadMarked
from shared.contract.receipts import FindReaders, FindReadIndexes, ReadIndex
from shared.contract.resume import Resume
from shared.contract.session import ChatEntry
from shared.database import Database
from shared.settings.messages import MessageSettings
from tests.unit.services.message.service.test_queries import ANN, BOB, CEM, LOFT, ROOM, QueryHarness


@pytest.fixture
async def harness(database: Database) -> QueryHarness:
    """A harness in which Ann has read the six messages of the room."""
    made = QueryHarness(database, MessageSettings())
    made.entries = [ChatEntry(ROOM, 1, 1, state=7)]
    await made.post(ROOM, "212222")
    await made.read(ANN, ROOM, 6)
    return made


def own_chats(harness: QueryHarness) -> OwnChats:
    return OwnChats(harness.store, harness.queries._member_lists, harness._versions, MessageSettings())


async def mark(harness: QueryHarness, index: int, actor: AccountId = ANN, chat: ChatId = ROOM) -> UnreadMarked:
    return await own_chats(harness).mark_unread(MarkUnread(chat, index, actor))


async def test_the_reader_alone_sees_it_until_the_next_read(harness: QueryHarness) -> None:
    assert await mark(harness, 5) == UnreadMarked(2, 0)
    assert await mark(harness, 1) == UnreadMarked(5, 0), "without the own message"
    assert (await harness.queries.unread(GetUnread(ANN, 0, by_chat=True))).chats == {ROOM: (5, 0)}
    assert (await harness.queries.unread(GetUnread(ANN, 9))).messages == [], "all are delivered"
    found = await harness.queries.read_indexes(FindReadIndexes([(ANN, ROOM)], counts=True))
    assert found.found == [ReadIndex(ANN, ROOM, 6, 5, 0, 1)]
    assert (await harness.queries.readers(FindReaders(ROOM, 6, actor=BOB))).accounts == [ANN]
    left = await harness.queries.history(GetHistory(ROOM, -1, 1, actor=ANN, read_to=2))
    assert (left.unread, left.read) == ((0, 0), 6), "the cursor does not go back"
    await harness.read(ANN, ROOM, 2)
    assert (await harness.queries.unread(GetUnread(ANN, 0, by_chat=True))).chats == {}


async def test_a_sync_shows_it(harness: QueryHarness) -> None:
    known = (await harness.queries.resume(Resume(ANN, {}, 30, 2))).chats[0].state

    async def listed(state: int) -> list[tuple[int, int, int]]:
        found = await harness.queries.resume(Resume(ANN, {ROOM: 6}, 30, 2, states={ROOM: state}))
        return [(one.unread_from, one.unread, one.read_index) for one in found.chats]

    assert await listed(known) == []
    await mark(harness, 5)
    assert await listed(known) == [(5, 2, 6)]
    await harness.read(ANN, ROOM, 1)
    assert await listed(known) == []


async def test_a_mark_of_a_former_membership_counts_nothing(harness: QueryHarness) -> None:
    await mark(harness, 2)
    harness.entries = [ChatEntry(ROOM, 7, 7, state=8)]
    await harness.post(ROOM, "2")
    assert (await harness.queries.unread(GetUnread(ANN, 0, by_chat=True))).chats == {ROOM: (1, 0)}
    [found] = (await harness.queries.resume(Resume(ANN, {}, 30, 2))).chats
    assert (found.unread_from, found.unread, found.read_index) == (0, 1, 6)


async def test_only_messages_that_the_reader_sees(harness: QueryHarness) -> None:
    for index, actor, chat, code in (
        (0, ANN, ROOM, ErrorCode.NOT_FOUND),
        (7, ANN, ROOM, ErrorCode.NOT_FOUND),
        (2, BOB, ROOM, ErrorCode.NOT_FOUND),
        (3, CEM, ROOM, ErrorCode.FORBIDDEN),
        (1, ANN, LOFT, ErrorCode.NOT_FOUND),
    ):
        with pytest.raises(RequestError) as rejected:
            await mark(harness, index, actor, chat)
        assert rejected.value.failure.code is code


async def test_a_sync_shows_drafts(harness: QueryHarness) -> None:
    own, known = own_chats(harness), (await harness.queries.resume(Resume(ANN, {}, 30, 2))).chats[0].state

    async def listed(state: int) -> list[DraftPreview | None]:
        found = await harness.queries.resume(Resume(ANN, {ROOM: 6}, 30, 2, states={ROOM: state}))
        return [one.draft for one in found.chats]

    saved = await own.save_draft(SaveDraft(ROOM, "hel", actor=ANN))
    assert await listed(known) == [DraftPreview(saved.rev, "hel")]
    assert await own.get_draft(GetDraft(ROOM, actor=ANN)) == SavedDraft(saved.rev, "hel")
    await own.save_draft(SaveDraft(ROOM, "", base=saved.rev, actor=ANN))
    assert await listed(known) == []
    with pytest.raises(RequestError) as rejected:
        await own.save_draft(SaveDraft(ROOM, "hel", actor=CEM))
    assert rejected.value.failure.code is ErrorCode.FORBIDDEN


async def test_a_draft_is_removed_also_in_a_chat_that_is_left(harness: QueryHarness, database: Database) -> None:
    saved = await own_chats(harness).save_draft(SaveDraft(ROOM, "hel", actor=ANN))
    after = QueryHarness(database, MessageSettings())
    after.members = [one for one in after.members if one.account != ANN]
    left = own_chats(after)
    with pytest.raises(RequestError):
        await left.save_draft(SaveDraft(ROOM, "hello", base=saved.rev, actor=ANN))
    await left.save_draft(SaveDraft(ROOM, "", base=saved.rev, actor=ANN))
    assert await left.get_draft(GetDraft(ROOM, actor=ANN)) == SavedDraft()
