"""What a client that comes back lacks, on both databases."""

import pytest

from services.message.domain import Rights
from services.message.service import resuming
from services.message.store.installation import renew_epoch
from shared.contract.ids import ChatId, Nonce
from shared.contract.message import ChangeMessage, EditText, PinMessage, React
from shared.contract.resume import ChatRevision, Resume, Resumed, ResumedChat
from shared.contract.session import ChatEntry
from shared.database import Database
from shared.settings import MessageSettings
from tests.unit.services.message.service.test_queries import ANN, BOB, HALL, LOFT, ROOM, QueryHarness


@pytest.fixture
def harness(database: Database) -> QueryHarness:
    made = QueryHarness(database, MessageSettings())
    made.entries = [ChatEntry(ROOM, 1, 1), ChatEntry(HALL, 1, 1), ChatEntry(LOFT, 3, 5)]
    return made


async def resume(harness: QueryHarness, have: dict[ChatId, int] | None = None, **options: int) -> Resumed:
    window, timeline = options.get("window", 30), options.get("timeline", 2)
    return await harness.queries.resume(Resume(ANN, have or {}, window, timeline))


def fields(chat: ResumedChat) -> tuple[ChatId, int, int, list[int]]:
    return chat.chat, chat.head, chat.lacks_from, [message.index for message in chat.messages]


async def test_the_last_active_chats_come_first_with_their_newest_messages(harness: QueryHarness) -> None:
    await harness.post(LOFT, "22222")
    await harness.post(ROOM, "2222")
    resumed = await resume(harness)
    assert [fields(chat) for chat in resumed.chats] == [
        (ROOM, 4, 1, [3, 4]), (LOFT, 5, 3, [4, 5]), (HALL, 0, 1, []),
    ]  # fmt: skip
    assert [chat.unread for chat in resumed.chats] == [4, 1, 0]
    assert (resumed.more, resumed.gone, resumed.rewound) == (False, [], False)


async def test_chats_of_which_the_client_has_everything_are_left_out(harness: QueryHarness) -> None:
    await harness.post(ROOM, "2222")
    await harness.post(LOFT, "22222")
    await harness.read(ANN, ROOM, 3)
    resumed = await resume(harness, {ROOM: 3, HALL: 0, LOFT: 5, ChatId(99): 7})
    assert [fields(chat) for chat in resumed.chats] == [(ROOM, 4, 4, [4])]
    assert (resumed.chats[0].read_index, resumed.chats[0].unread) == (3, 1)
    assert resumed.gone == [99]


async def test_a_chat_with_another_state_than_the_known_one_is_listed(harness: QueryHarness) -> None:
    """Without messages that the client has; session's part, or the read position, has changed."""
    await harness.post(ROOM, "222")
    harness.entries = [ChatEntry(ROOM, 1, 1, state=7), ChatEntry(HALL, 1, 1, state=8), ChatEntry(LOFT, 3, 5)]
    have = {ROOM: 3, HALL: 0, LOFT: 0}
    known = {chat.chat: chat.state for chat in (await resume(harness)).chats}
    assert (known[ROOM] > 0, known[HALL] > 0, known[LOFT]) == (True, True, 0)

    async def listed(states: dict[ChatId, int]) -> list[tuple[ChatId, int, int, list[int]]]:
        found = await harness.queries.resume(Resume(ANN, have, 30, 2, states=states))
        return [fields(chat) for chat in found.chats]

    assert await listed({}) == await listed(known) == []
    assert await listed(dict.fromkeys(have, 0)) == [(ROOM, 3, 4, []), (HALL, 0, 1, [])]  # LOFT's is not known now
    await harness.read(ANN, ROOM, 1)
    assert await listed(known) == [(ROOM, 3, 4, [])]
    assert await listed({HALL: known[HALL]}) == []
    (room,) = (await harness.queries.resume(Resume(ANN, have, 30, 2, states=known))).chats
    assert (room.read_index, room.unread) == (1, 2)
    await harness.deliver(ANN, ROOM, (2, 3))
    assert await listed(known | {ROOM: room.state}) == []
    harness.entries[1] = ChatEntry(HALL, 1, 1, state=9)
    assert await listed(known | {ROOM: room.state}) == [(HALL, 0, 1, [])]


async def test_chats_with_other_states_are_paged_with_the_others(harness: QueryHarness) -> None:
    for chat in (HALL, ROOM, LOFT):
        await harness.post(chat, "22")
    harness.entries = [ChatEntry(chat, 1, 1, state=7) for chat in (HALL, ROOM, LOFT)]
    have, states = {HALL: 2, ROOM: 1, LOFT: 2}, {HALL: 1, ROOM: 1, LOFT: 1}
    first = await harness.queries.resume(Resume(ANN, have, 2, 1, states=states))
    last = first.chats[-1]
    second = await harness.queries.resume(Resume(ANN, have, 2, 1, (last.time, last.chat), states=states))
    assert [fields(chat) for chat in (*first.chats, *second.chats)] == [
        (LOFT, 2, 3, []), (ROOM, 2, 2, [2]), (HALL, 2, 3, []),
    ]  # fmt: skip


async def test_pages_hold_every_chat_once(harness: QueryHarness) -> None:
    for chat, senders in ((HALL, "2"), (ROOM, "22"), (LOFT, "222")):
        await harness.post(chat, senders)
    first = await harness.queries.resume(Resume(ANN, {}, 2, 1))
    last = first.chats[-1]
    second = await harness.queries.resume(Resume(ANN, {}, 2, 1, (last.time, last.chat)))
    assert [chat.chat for chat in (*first.chats, *second.chats)] == [LOFT, ROOM, HALL]
    assert (first.more, second.more) == (True, False)


async def test_messages_that_do_not_fit_are_left_out_from_the_oldest(
    harness: QueryHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    await harness.post(HALL, "22", size=100)
    await harness.post(ROOM, "222", size=100)
    monkeypatch.setattr(resuming, "RESUME_BYTES", 4 * (100 + 64))
    resumed = await resume(harness, timeline=9)
    assert [fields(chat) for chat in resumed.chats][:2] == [(ROOM, 3, 1, [1, 2, 3]), (HALL, 2, 1, [2])]


async def test_messages_that_only_the_client_has_show_a_restored_database(harness: QueryHarness) -> None:
    await harness.post(ROOM, "2")
    assert (await resume(harness, {ROOM: 2})).rewound
    assert not (await resume(harness, {ROOM: 1})).rewound


async def change(harness: QueryHarness, index: int, made: EditText | React | PinMessage) -> None:
    rights = Rights(1, 0, 0, leads=True, pins=True)
    await harness.store.change(ChangeMessage(ROOM, index, made, BOB), rights)


async def revision(harness: QueryHarness, rev: int, index: int = 3) -> ChatRevision | None:
    """What a client lacks that has these."""
    resumed = await harness.queries.resume(Resume(ANN, {ROOM: index}, 30, 2, revs={ROOM: rev}))
    rooms = [chat.revision for chat in resumed.chats if chat.chat == ROOM]
    return rooms[0] if rooms else None


async def test_changes_that_the_client_lacks(harness: QueryHarness) -> None:
    """Of several of one kind the last; those of messages that it lacks come with the messages."""
    await harness.post(ROOM, "222")
    for number in (1, 2):
        await change(harness, 1, EditText(b"%d" % number, Nonce(90 + number)))
    await change(harness, 3, React("👍", on=True))
    await change(harness, 2, PinMessage(on=True))
    lacking = await revision(harness, 1)
    assert lacking is not None
    assert [(one.rev, one.index, one.body) for one in lacking.changes] == [(2, 1, b"2"), (3, 3, b""), (4, 2, b"")]
    assert (lacking.rev, lacking.pins, lacking.sent_up_to) == (4, [2], None)
    assert await revision(harness, 4) is None
    with_messages = await revision(harness, 0, index=2)
    assert with_messages is not None
    assert [one.index for one in with_messages.changes] == [1, 2]
    assert [*with_messages.reactions] == [3]
    assert [chat.revision for chat in (await resume(harness, {ROOM: 3})).chats if chat.chat == ROOM] == []
    (new,) = [chat.revision for chat in (await resume(harness)).chats if chat.chat == ROOM]
    assert new is not None
    assert (new.rev, new.changes, new.pins, [*new.reactions]) == (4, [], [2], [3])


async def test_changes_that_are_not_sent_are_named(harness: QueryHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resuming, "_CHANGES", 2)
    await harness.post(ROOM, "222")
    for index in (1, 2, 3):
        await change(harness, index, React("👍", on=True))
    lacking = await revision(harness, 0)
    assert lacking is not None
    assert ([one.rev for one in lacking.changes], lacking.sent_up_to) == ([1, 2], 2)
    monkeypatch.setattr(resuming, "_CHANGES", 9)
    monkeypatch.setattr(resuming, "CHANGES_BYTES", 2 * (100 + 80) - 1)
    for index in (1, 2, 3):
        await change(harness, index, EditText(b"x" * 100, Nonce(90 + index)))
    lacking = await revision(harness, 3)
    assert lacking is not None
    assert ([one.rev for one in lacking.changes], lacking.sent_up_to) == ([4], 4)


async def test_reactions_count_for_the_size_of_a_reply(harness: QueryHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    await harness.post(ROOM, "222", size=100)
    for emoji in "abcdefghij":
        await change(harness, 2, React(emoji, on=True))
    monkeypatch.setattr(resuming, "RESUME_BYTES", 3 * (100 + 64))
    (room,) = [chat for chat in (await resume(harness, timeline=9)).chats if chat.chat == ROOM]
    assert [message.index for message in room.messages] == [3]
    assert room.revision is not None
    assert room.revision.reactions == {}


async def test_changes_that_only_the_client_has_show_a_restored_database(harness: QueryHarness) -> None:
    await harness.post(ROOM, "2")
    resumed = await harness.queries.resume(Resume(ANN, {ROOM: 1}, 30, 2, revs={ROOM: 1}))
    assert resumed.rewound


async def test_a_restored_database_has_another_epoch(sqlite_url: str) -> None:
    database = Database(sqlite_url)
    harness = QueryHarness(database, MessageSettings())
    before = (await resume(harness)).epoch
    assert before
    assert (await resume(harness)).epoch == before
    renew_epoch(sqlite_url)
    assert (await resume(harness)).epoch not in ("", before)
    await database.close()
