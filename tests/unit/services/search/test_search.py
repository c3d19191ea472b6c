"""Tests search: which messages are found, by whom, in which order, and how the index follows the messages."""

import asyncio
import math
import shutil
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from services.message.app import expire_all
from services.message.store.installation import renew_epoch
from services.search.index import directory as index_directory
from services.search.index import message_index
from services.search.index.message_index import FoundPlace, MessageIndex, Wanted
from services.search.service import answering, following
from services.search.text.matches import Mark, marks, required
from services.search.text.query import SearchQuery, parse
from shared.contract.body import pack_edited, pack_segments
from shared.contract.errors import ErrorCode
from shared.contract.following import ChatNews, FollowChats, HeadPosition, MovedChats, News, ReadVisible, Visible
from shared.contract.ids import ChatId, MessageId, Nonce
from shared.contract.message import Draft, EditText, React, RecallText
from shared.contract.model import File, Image, Media, Message, Text
from shared.contract.search import MAX_HITS, MAX_QUERY, ContentKind
from shared.database import Database
from shared.settings.messages import MessageSettings
from tests.support.waiting import WAIT_SECONDS
from tests.unit.services.search.peers import ANN, BOB, HALL, LOFT, ROOM, Peers


async def test_words_phrases_beginnings_and_chinese_characters_are_found(peers: Peers) -> None:
    await peers.post(ROOM, "今天我们去公园吧", "Deploy v2 到生产环境", "nothing here", "公平")
    await peers.index()
    for query, indexes in [
        ("园", [1]), ("公", [4, 1]), ("公园", [1]), ("去公园", [1]), ("园公", []), ("deploy 生产", [2]), ("V2", [2]),
        ("ＤＥＰＬＯＹ", [2]), ("环境", [2]), ("plo", []), ("nothing deploy", []), ("noth", [3]), ("nothing he", [3]),
        ('"nothing here"', [3]), ('"here nothing"', []), ("nothing -here", []), ("公 -园", [4]),
    ]:  # fmt: skip
        assert await peers.found(query) == [(ROOM, index) for index in indexes], query
    (hit,) = (await peers.page("公园")).hits
    assert hit.sender == ANN
    assert (hit.snippet, hit.marks) == ("今天我们去公园吧", [(5, 2)])


async def test_only_what_a_member_may_see_is_found_and_only_that_takes_a_place_on_a_page(peers: Peers) -> None:
    await peers.post(ROOM, "word")
    await peers.post(HALL, "word", "word", "word")
    await peers.post(LOFT, "word")
    await peers.index()
    assert await peers.found("word") == [(HALL, 3), (ROOM, 1)] == await peers.found("word", count=2)
    assert await peers.found("word", chat=HALL) == [(HALL, 3)]
    assert await peers.rejected("word", chat=LOFT) == (ErrorCode.FORBIDDEN, "chat")
    for forbidden in ("word in:3", "word in:loft", "word in:9", "word in:nowhere"):
        assert await peers.rejected(forbidden) == (ErrorCode.INVALID, "query")


async def test_a_kept_list_of_chats_follows_the_members(peers: Peers) -> None:
    await peers.post(HALL, "word", "word", "word")
    await peers.post(LOFT, "word")
    await peers.index()
    assert await peers.found("word", BOB) == [(LOFT, 1)]
    peers.join(BOB, HALL, 2)
    assert await peers.found("word", BOB) == [(LOFT, 1), (HALL, 3), (HALL, 2)]
    peers.join(BOB, LOFT, 0)
    assert await peers.found("word", BOB) == [(HALL, 3), (HALL, 2)]
    assert peers.session.lists == 1
    peers.chats.lost()
    assert await peers.found("word", BOB) == [(HALL, 3), (HALL, 2)]
    assert peers.session.lists == 2


async def test_a_list_that_is_late_shows_nothing_that_is_forbidden(peers: Peers) -> None:
    await peers.post(LOFT, "word")
    await peers.index()
    assert await peers.found("word", BOB) == [(LOFT, 1)]
    peers.session.first[BOB] = {}
    peers.session.version += 1
    peers.member_lists.announce({LOFT: peers.session.version})
    assert await peers.found("word", BOB) == []


@pytest.mark.parametrize("oldest_first", [False, True])
async def test_what_is_forbidden_costs_as_much_as_what_is_absent(
    peers: Peers, monkeypatch: pytest.MonkeyPatch, oldest_first: bool
) -> None:
    """Counts the searches of the index, the hits that are requested from it, and the requests to message."""
    await peers.post(HALL, *["secret"] * 30, "open")
    await peers.post(LOFT, "secret")
    await peers.index()
    peers.join(ANN, HALL, 31)
    costs: list[int] = []
    first, visible = message_index._first, peers.searching._read_visible

    def counted(searcher: Any, wanted: Any, chats: Any, late: Any, count: int) -> list[Any]:
        costs.append(count)
        return first(searcher, wanted, chats, late, count)

    async def read(request: ReadVisible) -> Visible:
        costs.append(len(request.ranges))
        return await visible(request)

    monkeypatch.setattr(message_index, "_first", counted)
    monkeypatch.setattr(peers.searching, "_read_visible", read)
    assert await peers.found("open", oldest_first=oldest_first) == [(HALL, 31)]
    costs.clear()
    pages = [await peers.page(word, oldest_first=oldest_first) for word in ("absent", "secret")]
    assert [(page.hits, page.next, page.around) for page in pages] == [([], None, [])] * 2
    assert costs == [message_index._CANDIDATES] * 2
    assert peers.searching._metrics.stale._value.get() == 0


async def test_matching_long_messages_leaves_turns_to_others(peers: Peers, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page of long messages takes seconds."""
    await peers.post(ROOM, "word")
    await peers.index()
    loop, matching, others = asyncio.get_running_loop(), asyncio.Event(), threading.Event()

    def marked(text: str, query: SearchQuery) -> list[Mark] | None:
        loop.call_soon_threadsafe(matching.set)
        return marks(text, query) if others.wait(WAIT_SECONDS) else None

    monkeypatch.setattr(answering, "marks", marked)
    found = asyncio.create_task(peers.found("word"))
    await matching.wait()
    others.set()
    assert await found == [(ROOM, 1)]


async def test_filters_and_the_messages_around(peers: Peers) -> None:
    picture = Media("ab", "cat.png", 1, "", "image/png")
    await peers.post(ROOM, "see report", "see https://example.org", File(Media("cd", "see report.pdf", 1, "", "")))
    await peers.post(ROOM, "see it", sender=BOB)
    body = pack_segments((Text("see"), Image(picture)))
    await peers.store.post([Draft(BOB, ROOM, Nonce(900), 2**62, body)])
    await peers.post(HALL, "", "", "see")
    await peers.index()
    times = {(hit.chat, hit.index): hit.time for hit in (await peers.page("see")).hits}
    assert list(times) == [(HALL, 3), (ROOM, 5), (ROOM, 4), (ROOM, 3), (ROOM, 2), (ROOM, 1)]
    assert await peers.found("see", chat=ROOM, sender=BOB) == await peers.found("in:1 from:2") == [(ROOM, 5), (ROOM, 4)]
    assert await peers.found("in:room from:bob") == await peers.found("from:bob", chat=ROOM) == [(ROOM, 5), (ROOM, 4)]
    assert await peers.found("in:room from:bob", chat=HALL) == []
    assert await peers.found("see", has=ContentKind.LINK) == [(ROOM, 2)]
    assert await peers.found("see", has=ContentKind.IMAGE) == await peers.found("in:1 has:image") == [(ROOM, 5)]
    assert await peers.found("report", has=ContentKind.FILE) == [(ROOM, 3)]
    assert await peers.found("see", before=times[ROOM, 2]) == [(ROOM, 1)]
    assert await peers.found("see", after=times[ROOM, 5]) == [(HALL, 3)]
    assert await peers.found("see before:1970") == await peers.found("before:1970") == []
    assert [one.index for one in (await peers.page("it", context=2)).around] == [2, 3, 5]
    whole = await peers.page("it", context=1, with_hits=True)
    assert [(one.chat, one.index) for one in whole.around] == [(ROOM, 3), (ROOM, 4), (ROOM, 5)]
    page = await peers.page("in:2 see", context=3)
    assert (len(page.hits), page.around) == (1, []), "what is before the membership is not shown"


async def test_an_edit_is_found_by_its_new_words_and_a_recall_by_none(peers: Peers) -> None:
    await peers.post(ROOM, "old words", "secret plan")
    await peers.index()
    await peers.change(ROOM, 1, EditText(pack_edited((Text("new words"),)), Nonce(77)))
    await peers.change(ROOM, 2, RecallText())
    assert await peers.found("secret") == await peers.found("old") == [], "nor before the index knows"
    await peers.change(ROOM, 1, React("👍", on=True))
    await peers.index()
    assert await peers.found("new") == [(ROOM, 1)]
    assert await peers.found("old") == await peers.found("secret") == await peers.found("撤回") == []
    await peers.follower._commit()
    assert peers.directory.read is not None
    assert peers.directory.read.documents == 2, "the edited message and the head of its chat"


async def test_a_message_is_found_once_before_it_is_on_disk_and_after_a_kill(peers: Peers) -> None:
    await peers.post(ROOM, "word one", "word two", "word three")
    await peers.index()
    await peers.change(ROOM, 2, EditText(pack_edited((Text("word two again"),)), Nonce(77)))
    await peers.post(ROOM, "word four")
    await peers.index()
    index = peers.directory.read
    assert index is not None
    assert (index.written, index.documents) == (2, 4), "the first three and the head of the chat are on disk"
    for _ in range(2):
        assert await peers.found("word") == [(ROOM, at) for at in (4, 3, 2, 1)]
        page = await peers.page("word", count=2)
        assert [hit.index for hit in page.hits] == [4, 3]
        assert await peers.found("word", place=page.next) == [(ROOM, 2), (ROOM, 1)]
        assert await peers.found("again") == [(ROOM, 2)]
        index.give_up()
        peers.follower.doubt(0)
        await peers.follower.catch_up()


async def test_expired_messages_leave_the_index(peers: Peers, monkeypatch: pytest.MonkeyPatch) -> None:
    await peers.post(ROOM, "old words", "new words")
    await peers.index()
    last = (await peers.page("new")).hits[0].time
    await expire_all(peers.store, last, 0)
    assert await peers.found("words") == [(ROOM, 2)]
    await peers.close()
    peers.retention_days, peers.clock = 1.0, lambda: last + 86_400_000
    monkeypatch.setattr(following, "_EXPIRE_SECONDS", 0)
    peers.start()
    await peers.index()
    index = peers.directory.read
    assert index is not None
    assert index.documents == 2, "the other message and the head of its chat"
    assert await peers.found("words") == [(ROOM, 2)]


async def test_pages_are_in_the_order_of_time_over_all_chats(peers: Peers) -> None:
    expected: list[tuple[ChatId, int]] = []
    await peers.post(HALL, "word", "word")
    for index in range(1, 12):
        await peers.post(ROOM, f"word {index}")
        await peers.post(HALL, "word")
        expected += [(ROOM, index), (HALL, index + 2)]
    await peers.index()
    for oldest_first, wanted in ((True, expected), (False, expected[::-1])):
        found: list[tuple[ChatId, int]] = []
        place: tuple[int, int] | None = None
        while place is not None or not found:
            page = await peers.page("word", count=4, place=place, oldest_first=oldest_first)
            found += [(hit.chat, hit.index) for hit in page.hits]
            place = page.next
        assert found == wanted


@pytest.mark.parametrize("first", [1, 2])
@pytest.mark.parametrize("oldest_first", [False, True])
def test_no_hit_is_left_out_among_many_of_one_millisecond(tmp_path: Path, first: int, oldest_first: bool) -> None:
    """Each of 300 chats has a message of the same time. The other messages are a millisecond apart."""
    index, chats = MessageIndex(tmp_path / "index", 16 * 2**20), [ChatId(number) for number in range(1, 301)]
    for chat in chats:
        times = (1_000, 1_001 + chat, 5_000)
        messages = [
            Message(chat, at, MessageId(chat * 3 + at), BOB, time, pack_segments((Text("word"),)), Nonce(0))
            for at, time in enumerate(times, 1)
        ]
        index.write([ChatNews(HeadPosition(chat, len(times)), messages, [], more=False)])
    index.commit()
    found, wanted = list[FoundPlace](), Wanted(required(parse("word")), oldest_first=oldest_first)
    while page := index.find(wanted, dict.fromkeys(chats, first), 20):
        found += page
        wanted = wanted._replace(place=page[-1][:2])
    assert len({*found}) == len(found) == 300 * (4 - first)
    assert found == sorted(found, reverse=not oldest_first)


async def test_the_index_states_how_far_it_has_come(peers: Peers) -> None:
    await peers.post(ROOM, "one")
    await peers.index()
    first = (await peers.page("one")).hits[0].time
    now = first + 5_000
    peers.clock = lambda: now
    assert (await peers.page("one")).indexed_to > first
    await peers.post(ROOM, "two")
    peers.announce()
    page = await peers.page("two")
    assert page.hits == []
    assert page.indexed_to == now - following._LAG_MS
    now += 60_000
    assert (await peers.page("two")).indexed_to == page.indexed_to, "the message waits"
    await peers.index()
    assert (await peers.page("two")).indexed_to == now - following._LAG_MS


async def test_a_lost_announcement_is_made_good(peers: Peers) -> None:
    await peers.post(ROOM, "one")
    await peers.index()
    await peers.post(ROOM, "two")
    peers.store.take_moved()
    peers._announced += 1
    await peers.post(HALL, "", "", "three")
    await peers.index()
    assert await peers.found("two") == [(ROOM, 2)]
    assert await peers.found("three") == [(HALL, 3)]


async def test_following_costs_nothing_while_nothing_moves(peers: Peers) -> None:
    await peers.post(ROOM, "one")
    await peers.index()
    requests = peers.requests
    for _ in range(3):
        await peers.index()
    assert peers.requests == requests


async def test_a_new_process_goes_on_where_the_last_commit_was(peers: Peers) -> None:
    await peers.post(ROOM, *[f"word {number}" for number in range(7)])
    await peers.index()
    await peers.post(ROOM, "word 7")
    index = peers.directory.written
    assert index is not None
    index.write((await peers.feed.follow(FollowChats(index.positions([ROOM])))).chats)
    index.give_up()
    await peers.close()
    del index
    peers.start()
    await peers.index()
    assert len(await peers.found("word")) == 8


@pytest.mark.parametrize("damage", ["deleted", "damaged", "restored"])
async def test_an_index_that_is_gone_is_made_again(peers: Peers, database: Database, damage: str) -> None:
    await peers.post(ROOM, "one")
    await peers.index()
    (path,) = peers.path.iterdir()
    if damage == "deleted":
        shutil.rmtree(path)
    elif damage == "damaged":
        (path / "meta.json").write_text("{")
        await peers.close()
        peers.start()
    else:
        renew_epoch(database.url.render_as_string(hide_password=False))
    await peers.post(ROOM, "two")
    peers.announce()
    peers.follower.doubt(0)
    with_failures = 3
    for _ in range(with_failures):
        try:
            await peers.follower.catch_up()
        except following._OtherDatabase:
            await peers.follower._rebuild("test")
        else:
            break
    assert await peers.found("one") == [(ROOM, 1)]
    assert await peers.found("two") == [(ROOM, 2)]
    (again,) = peers.path.iterdir()
    assert (again == path) == (damage != "restored")


async def test_an_index_of_another_format_answers_if_no_other_process_does_until_the_new_one_has_all(
    peers: Peers, monkeypatch: pytest.MonkeyPatch
) -> None:
    await peers.post(ROOM, "one")
    await peers.index()
    await peers.post(ROOM, "two")
    await peers.close()
    monkeypatch.setattr(index_directory, "FORMAT", "another")
    peers.start()
    with peers.without_news():
        await peers.index()
    assert not peers.answers
    assert await peers.found("one") == [(ROOM, 1)]
    assert (await peers.page("two")).indexed_to == 0
    assert len([*peers.path.iterdir()]) == 2
    await peers.index()
    assert await peers.found("one") == [(ROOM, 1)]
    assert await peers.found("two") == [(ROOM, 2)]
    assert len([*peers.path.iterdir()]) == 1


async def test_a_process_answers_once_its_index_has_had_all_messages(peers: Peers) -> None:
    """Other replicas find more while the index of this process is incomplete.

    So until then, the process does not reply.
    """
    await peers.post(ROOM, "one")
    with peers.without_news():
        await peers.index()
    assert not peers.answers
    await peers.index()
    assert peers.answers


async def test_an_index_that_another_process_writes_is_kept(
    peers: Peers, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "_FIRST_PAUSE_SECONDS", 0.001)
    monkeypatch.setattr(following, "_LONGEST_PAUSE_SECONDS", 0.01)
    await peers.post(ROOM, "one")
    await peers.index()
    await peers.post(ROOM, "two")
    other = Peers(database, peers.path)
    running = asyncio.create_task(other.follower.run())
    async with asyncio.timeout(WAIT_SECONDS):
        while other.requests < 3 * following._FAILURES:
            await asyncio.sleep(0.01)
    running.cancel()
    await asyncio.wait([running])
    if other.directory.written is not None:
        other.directory.written.show()
        assert other.directory.written._view.memory.num_docs == 0, "attempts fill no memory"
    await other.close()
    await peers.index()
    assert await peers.found("two") == [(ROOM, 2)]
    assert peers.directory.written is peers.directory.read


async def test_replies_of_message_are_small_and_all_is_indexed(database: Database, tmp_path: Path) -> None:
    peers = Peers(database, tmp_path / "index", MessageSettings(reply_bytes=900))
    for number in range(30):
        await peers.post(ROOM, f"word {number}")
        await peers.post(HALL, f"word {number}")
    await peers.index()
    for number in range(1, 9):
        await peers.change(
            ROOM, number, EditText(pack_edited((Text(f"changed {'x' * 99} {number}"),)), Nonce(900 + number))
        )
    await peers.index()
    assert len(await peers.found("word", count=50)) == 50
    assert len(await peers.found("changed", context=1)) == 8
    assert peers.requests > 10
    await peers.close()


@pytest.mark.parametrize(("is_built", "are_sent"), [(False, False), (False, True), (True, True)])
async def test_old_messages_wait_longer_while_new_ones_are_sent(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_built: bool, are_sent: bool
) -> None:
    """Messages that a comparison finds later do not count as old, because their announcement was lost."""
    peers = Peers(database, tmp_path / "index", MessageSettings(reply_bytes=900))
    rests, sleep = list[float](), asyncio.sleep
    if is_built:
        await peers.index()
    await peers.post(ROOM, *["word"] * 30)
    peers.store.take_moved()
    peers.follower.doubt(0)
    if are_sent:
        await peers.post(HALL, "word")
        peers.announce()

    async def rest(seconds: float) -> None:
        rests.append(seconds)
        await sleep(0)

    monkeypatch.setattr(following, "_BUSY", math.inf)  # a slow machine must not count as busy
    monkeypatch.setattr(following, "_SMALL_PAUSE_RATIO", 1e9)
    monkeypatch.setattr(asyncio, "sleep", rest)
    monkeypatch.setattr(peers.follower, "_rest", rest)
    await peers.follower.catch_up()
    await peers.close()
    assert (following._LONGEST_REST_SECONDS in rests) is (are_sent and not is_built)


async def test_a_large_index_grows_more_slowly_than_a_small_one_while_users_send(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "_BUSY", math.inf)  # a slow machine must not count as busy
    monkeypatch.setattr(following, "_FEW", 1)
    monkeypatch.setattr(following, "_SMALL_INDEX", 3)
    monkeypatch.setattr(following, "_SMALL_PAUSE_RATIO", 0.0)
    monkeypatch.setattr(following, "_OLD_PAUSE_RATIO", 1e9)
    peers, rests = Peers(database, tmp_path / "index"), list[float]()

    async def rest(seconds: float) -> None:
        rests.append(seconds)

    monkeypatch.setattr(peers.follower, "_rest", rest)
    peers.follower.receive(MovedChats("message-1", 1, 1, [HALL]))
    await peers.post(ROOM, *["word"] * 5)
    await peers.follower.catch_up()
    await peers.close()
    assert [seconds for seconds in rests if seconds] == [following._LONGEST_REST_SECONDS] * 3
    assert not any(rests[:3])


async def test_new_messages_gather_after_a_commit(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    peers, rests, sleep = Peers(database, tmp_path / "index"), list[float](), asyncio.sleep
    await peers.index()

    async def rest(seconds: float) -> None:
        rests.append(seconds)
        await sleep(0)

    monkeypatch.setattr(following, "_GATHER_SECONDS", 1e6)
    monkeypatch.setattr(asyncio, "sleep", rest)
    await peers.post(ROOM, "word")
    peers.announce()
    await peers.follower.catch_up()
    await peers.close()
    assert any(seconds > 1e5 for seconds in rests)


async def test_the_last_new_messages_are_found_without_a_pause_on_a_busy_machine(
    peers: Peers, monkeypatch: pytest.MonkeyPatch
) -> None:
    await peers.index()
    monkeypatch.setattr(following, "_BUSY", -1e9)  # each write counts as slow
    monkeypatch.setattr(following, "_BUSY_PAUSE_RATIO", 1e12)
    monkeypatch.setattr(following, "_LONGEST_REST_SECONDS", 1e6)
    await peers.post(ROOM, "word")
    peers.announce()
    async with asyncio.timeout(WAIT_SECONDS):
        await peers.follower.catch_up()
    assert await peers.found("word") == [(ROOM, 1)]


async def test_each_message_is_indexed_after_a_pause_while_users_send(
    peers: Peers, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses = list[float]()
    monkeypatch.setattr(time, "sleep", pauses.append)
    await peers.index()
    await peers.post(ROOM, "one", "two")
    peers.announce()
    await peers.follower.catch_up()
    assert pauses == [following._BREATH_SECONDS] * 2


async def test_new_messages_are_found_while_old_ones_wait(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The long history of another chat must not be read at once when there is one new message."""
    monkeypatch.setattr(following, "_SMALL_PAUSE_RATIO", 1e9)
    monkeypatch.setattr(following, "_LONGEST_REST_SECONDS", 2.0)
    peers = Peers(database, tmp_path / "index", MessageSettings(reply_bytes=900))
    await peers.post(ROOM, *["word"] * 30)
    peers.store.take_moved()
    await peers.post(HALL, "", "")
    peers.announce()
    async with asyncio.timeout(WAIT_SECONDS), asyncio.TaskGroup() as tasks:
        building = tasks.create_task(peers.follower.catch_up())
        while peers.requests < 2:
            await asyncio.sleep(0.01)
        await peers.post(ROOM, "late")
        await peers.post(HALL, "new")
        peers.announce()
        while await peers.found("new") != [(HALL, 3)]:
            await asyncio.sleep(0.01)
        assert not building.done()
        assert await peers.found("late") == []
        monkeypatch.setattr(following, "_LONGEST_REST_SECONDS", 0)
    assert await peers.found("late") == [(ROOM, 31)]
    assert len(await peers.found("word", count=50)) == 30
    await peers.close()


async def test_a_message_that_was_announced_before_the_first_index_is_found_while_old_ones_wait(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first reply with old messages would have the new message, too."""
    monkeypatch.setattr(following, "_SMALL_PAUSE_RATIO", 1e9)
    monkeypatch.setattr(following, "_LONGEST_REST_SECONDS", 2 * WAIT_SECONDS)
    peers = Peers(database, tmp_path / "index", MessageSettings(reply_bytes=900))
    await peers.post(HALL, *["word"] * 30)
    peers.store.take_moved()
    await peers.post(ROOM, "new")
    peers.announce()
    async with asyncio.timeout(WAIT_SECONDS), asyncio.TaskGroup() as tasks:
        building = tasks.create_task(peers.follower.catch_up())
        while peers.requests < 2:
            await asyncio.sleep(0.01)
        while await peers.found("new") != [(ROOM, 1)]:
            await asyncio.sleep(0.01)
        assert not building.done()
        building.cancel()
    await peers.close()


async def test_bad_queries_name_their_field(peers: Peers) -> None:
    await peers.index()
    for wrong_query in ("!?", "from:nobody word", "from:0 word", "has:nothing word", "before:then word"):
        assert await peers.rejected(wrong_query) == (ErrorCode.INVALID, "query"), wrong_query
    assert await peers.rejected("x" * (MAX_QUERY + 1)) == (ErrorCode.TOO_LARGE, "query")
    for wrong in (0, MAX_HITS + 1):
        assert await peers.rejected("word", count=wrong) == (ErrorCode.INVALID, "count")
    assert await peers.rejected("word", context=4) == (ErrorCode.INVALID, "context")
    assert await peers.found("'\"\\ % _ .* [a word") == []


async def test_new_messages_are_found_while_others_of_the_same_reply_are_indexed(
    peers: Peers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Users may send faster than messages are indexed.

    The settings make the follower believe that they do, but a slow machine must not count as busy.
    """
    monkeypatch.setattr(following, "_FEW", 1)
    monkeypatch.setattr(following, "_SHOW_SECONDS", 0.0)
    monkeypatch.setattr(following, "_LAG_MS", 60_000)
    await peers.index()
    found, news = list[int](), peers.news

    async def watched(request: FollowChats) -> News:
        found.append(len(await peers.found("word")))
        return await news(request)

    monkeypatch.setattr(peers, "news", watched)
    await peers.post(ROOM, "word one", "word two", "word three")
    peers.announce()
    await peers.follower.catch_up()
    assert found[:3] == [0, 1, 2]


async def test_an_edit_is_found_while_old_messages_wait_for_a_commit(peers: Peers) -> None:
    await peers.post(ROOM, "word one")
    await peers.index()
    index = peers.directory.read
    assert index is not None
    await peers.change(ROOM, 1, EditText(pack_edited((Text("word two"),)), Nonce(77)))
    news = await peers.news(FollowChats(index.positions([ROOM])))
    index.write(news.chats, are_old=True)
    index.show()
    assert await peers.found("word") == [(ROOM, 1)]
