"""Tests which data a returning client gets, on both databases."""

from collections.abc import Iterator

import pytest

from services.message.domain import ChangePermissions
from services.message.service import resuming
from services.message.store import Snapshot
from services.message.store.installation import renew_epoch
from shared.contract.body import EXPIRED_BODY, pack_segments
from shared.contract.ids import ChatId, MessageId, Nonce
from shared.contract.message import ChangeMessage, Draft, EditText, PinMessage, React, RecallText
from shared.contract.model import Emoji, File, Image, Media, Mention, Message, Segment, Text
from shared.contract.resume import ChatRevision, LastMessage, Resume, Resumed, ResumedChat
from shared.contract.session import ChatEntry
from shared.database import Database
from shared.settings.messages import MessageSettings
from tests.support.statements import executed
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
    harness.entries[0] = ChatEntry(ROOM, 1, 1, (ANN, BOB))
    assert [chat.pair for chat in (await resume(harness)).chats] == [(ANN, BOB), None, None]


async def test_chats_of_which_the_client_has_everything_are_left_out(harness: QueryHarness) -> None:
    await harness.post(ROOM, "2222")
    await harness.post(LOFT, "22222")
    await harness.read(ANN, ROOM, 3)
    resumed = await resume(harness, {ROOM: 3, HALL: 0, LOFT: 5, ChatId(99): 7})
    assert [fields(chat) for chat in resumed.chats] == [(ROOM, 4, 4, [4])]
    assert (resumed.chats[0].read_index, resumed.chats[0].unread) == (3, 1)
    assert resumed.gone == [99]


async def test_a_chat_with_another_state_than_the_known_one_is_listed(harness: QueryHarness) -> None:
    """The client has all messages, but session's part of the state, or the read position, has changed."""
    await harness.post(ROOM, "222")
    harness.entries = [ChatEntry(ROOM, 1, 1, state=7), ChatEntry(HALL, 1, 1, state=8), ChatEntry(LOFT, 3, 5)]
    have = {ROOM: 3, HALL: 0, LOFT: 0}
    known = {chat.chat: chat.state for chat in (await resume(harness)).chats}
    assert (known[ROOM] > 0, known[HALL] > 0, known[LOFT]) == (True, True, 0)

    async def listed(states: dict[ChatId, int]) -> list[tuple[ChatId, int, int, list[int]]]:
        found = await harness.queries.resume(Resume(ANN, have, 30, 2, states=states))
        return [fields(chat) for chat in found.chats]

    assert await listed({}) == await listed(known) == []
    # state 0 equals the state of LOFT, so LOFT is not listed
    assert await listed(dict.fromkeys(have, 0)) == [(ROOM, 3, 4, []), (HALL, 0, 1, [])]
    await harness.read(ANN, ROOM, 1)
    assert await listed(known) == [(ROOM, 3, 4, [])]
    assert await listed({HALL: known[HALL]}) == []
    (room,) = (await harness.queries.resume(Resume(ANN, have, 30, 2, states=known))).chats
    assert (room.read_index, room.unread) == (1, 2)
    await harness.deliver(ANN, ROOM, (2, 3))
    assert await listed(known | {ROOM: room.state}) == []
    harness.entries[1] = ChatEntry(HALL, 1, 1, state=9)
    assert await listed(known | {ROOM: room.state}) == [(HALL, 0, 1, [])]


async def test_a_state_may_be_known_by_its_lower_half(harness: QueryHarness) -> None:
    harness.entries = [ChatEntry(ROOM, 1, 1, state=7)]
    (room,) = (await resume(harness)).chats

    async def listed(state: int) -> bool:
        return bool((await harness.queries.resume(Resume(ANN, {ROOM: 0}, 30, 2, states={ROOM: state}))).chats)

    assert not await listed(room.state % 2**32)
    assert [await listed(state) for state in ((room.state + 1) % 2**32, 0)] == [True, True]


async def test_chats_outside_of_the_range_are_left_out(harness: QueryHarness) -> None:
    for chat in (ROOM, HALL, LOFT):
        await harness.post(chat, "2222222")
    low, middle, high = sorted((ROOM, HALL, LOFT))
    have = {low: 9, ChatId(middle + 10**6): 1}
    found = await harness.queries.resume(Resume(ANN, have, 30, 2, among=(middle, high)))
    assert {chat.chat for chat in found.chats} == {middle, high}
    assert (found.rewound, found.gone) == (False, [])
    assert (await harness.queries.resume(Resume(ANN, have, 30, 2, among=(middle, 2**53)))).gone == [middle + 10**6]


async def test_the_last_message_comes_whatever_the_client_has(harness: QueryHarness) -> None:
    """The last message is not sent if the account could not see the chat at its time, or if it is recalled."""
    segments = Text("caption, "), Mention(ANN, "@Ann"), Image(Media("a" * 32, "a.png", 1, "", ""))
    body = pack_segments(segments)
    drafts = [Draft(BOB, ROOM, Nonce(7), 2**62, body), Draft(BOB, LOFT, Nonce(8), 2**62, body)]
    for draft in drafts:
        await harness.store.post([draft])
    for have, timeline in (({}, 2), ({}, 0), ({ROOM: 0}, 2)):
        shown = {chat.chat: chat.last for chat in (await resume(harness, have, timeline=timeline)).chats}
        assert shown == {ROOM: LastMessage(1, BOB, "caption, @Ann", "image"), LOFT: None, HALL: None}
    await harness.store.change(
        ChangeMessage(ROOM, 1, RecallText(), BOB), ChangePermissions(1, 0, 0, leads=True, pins=True)
    )
    shown = {chat.chat: chat.last for chat in (await resume(harness)).chats}
    assert shown[ROOM] == LastMessage(1, BOB, "", "recalled")


def test_what_is_shown_of_a_last_message() -> None:
    shown: list[tuple[Segment, str, str]] = [
        (Text("a" * 121), "a" * 120, "text"),
        (Emoji(7), "", "emoji"),
        (File(Media("a" * 32, "plan.pdf", 1, "", "")), "plan.pdf", "file"),
        (Text("[消息已过期]"), "[消息已过期]", "text"),
    ]
    for segment, text, kind in shown:
        message = Message(ROOM, 3, MessageId(1), BOB, 5, pack_segments((segment,)), Nonce(1))
        assert resuming.last_message(message) == LastMessage(3, BOB, text, kind)
    expired = Message(ROOM, 3, MessageId(1), BOB, 5, EXPIRED_BODY, Nonce(1))
    assert resuming.last_message(expired) == LastMessage(3, BOB, "", "expired")


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


async def test_only_messages_that_fit_are_read(harness: QueryHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise, many chats with many long messages would fill the memory."""
    chats = [ChatId(100 + number) for number in range(5)]
    harness.entries = [ChatEntry(chat, 1, 1) for chat in chats]
    for chat in chats:
        await harness.post(chat, "2" * 6, size=1000)
    await harness.post(chats[0], "2", size=1000)
    read, messages = list[Message](), Snapshot.messages

    def counted(snapshot: Snapshot, ranges: list[tuple[ChatId, int, int]]) -> Iterator[Message]:
        found = [*messages(snapshot, ranges)]
        read.extend(found)
        return iter(found)

    monkeypatch.setattr(Snapshot, "messages", counted)
    monkeypatch.setattr(resuming, "RESUME_BYTES", 9 * (1000 + 64))
    resumed = await resume(harness, timeline=7)
    assert [len(chat.messages) for chat in resumed.chats] == [7, 2, 0, 0, 0]
    assert len(read) == 9 + 3, "and the last one of each other chat"


async def test_messages_that_only_the_client_has_show_a_restored_database(harness: QueryHarness) -> None:
    await harness.post(ROOM, "2")
    assert (await resume(harness, {ROOM: 2})).rewound
    assert not (await resume(harness, {ROOM: 1})).rewound


async def change(harness: QueryHarness, index: int, made: EditText | React | PinMessage) -> None:
    permissions = ChangePermissions(1, 0, 0, leads=True, pins=True)
    await harness.store.change(ChangeMessage(ROOM, index, made, BOB), permissions)


async def revision(harness: QueryHarness, rev: int, index: int = 3) -> ChatRevision | None:
    """Returns the changes that a client with these positions does not have."""
    resumed = await harness.queries.resume(Resume(ANN, {ROOM: index}, 30, 2, revs={ROOM: rev}))
    rooms = [chat.revision for chat in resumed.chats if chat.chat == ROOM]
    return rooms[0] if rooms else None


async def test_changes_that_the_client_lacks(harness: QueryHarness) -> None:
    """If there are several changes of one kind, only the last one is sent.

    Changes of messages that the client does not have are part of the messages.
    """
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


async def test_changes_far_behind_are_named_up_to_where_they_were_looked_for(
    harness: QueryHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of several changes of one kind of a message, only the last one is stored.

    So a range of revs may contain no change.
    """
    monkeypatch.setattr(resuming, "_REVS", 2)
    await harness.post(ROOM, "222")
    for number in range(3):
        await change(harness, 1, EditText(b"%d" % number, Nonce(90 + number)))
    lacking = await revision(harness, 0)
    assert lacking is not None
    assert (lacking.rev, lacking.changes, lacking.sent_up_to) == (3, [], 2)
    rest = await revision(harness, 2)
    assert rest is not None
    assert ([one.rev for one in rest.changes], rest.sent_up_to) == ([3], None)


async def test_the_number_of_statements_does_not_depend_on_that_of_chats(harness: QueryHarness) -> None:
    chats = [ChatId(100 + number) for number in range(12)]
    harness.entries = [ChatEntry(chat, 1, 1) for chat in chats]
    harness.page_entries = len(chats)
    for number, chat in enumerate(chats):
        await harness.post(chat, "22")
        made = ChangeMessage(chat, 1, EditText(b"2", Nonce(900 + number)), BOB)
        await harness.store.change(made, ChangePermissions(1, 0, 0, leads=True, pins=True))
    counts = []
    for window in (1, 12):
        request = Resume(ANN, dict.fromkeys(chats, 1), window, 1, revs=dict.fromkeys(chats, 0))
        with executed() as statements:
            resumed = await harness.queries.resume(request)
        assert [len(chat.revision.changes) for chat in resumed.chats if chat.revision] == [1] * window
        counts.append(len(statements))
    assert counts[0] == counts[1]


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
