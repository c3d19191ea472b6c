"""Search on both databases: what is found, by whom, in which order, and how the index follows the messages."""

import asyncio
import resource
import shutil
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from secrets import token_hex

import pytest

from services.message.adapters import housekeeping
from services.message.store.installation import renew_epoch
from services.search.service import following
from shared.contract.body import pack_edited, pack_segments
from shared.contract.errors import ErrorCode
from shared.contract.following import FollowChats
from shared.contract.ids import ChatId, Nonce
from shared.contract.message import Draft, EditText, React, RecallText
from shared.contract.model import File, Image, Media, Text
from shared.contract.search import MAX_HITS, MAX_QUERY, ContentKind
from shared.database import Database
from shared.settings import MessageSettings
from tests.support.waiting import WAIT_SECONDS
from tests.unit.services.search.peers import ANN, BOB, HALL, LOFT, ROOM, Peers


@pytest.fixture
async def peers(database: Database, tmp_path: Path) -> AsyncIterator[Peers]:
    peers = Peers(database, tmp_path / "index")
    yield peers
    await peers.close()


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
    peers.rosters.announce({LOFT: peers.session.version})
    assert await peers.found("word", BOB) == []


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
    assert [one.index for one in (await peers.page("it", context=2)).around] == [2, 3, 5]
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
    assert peers.directory.read is not None
    assert peers.directory.read.documents == 2, "the edited message and the head of its chat"


async def test_expired_messages_leave_the_index(peers: Peers) -> None:
    await peers.post(ROOM, "old words", "new words")
    await peers.index()
    last = (await peers.page("new")).hits[0].time
    await housekeeping.expire_all(peers.store, last, 0)
    assert await peers.found("words") == [(ROOM, 2)]
    index = peers.directory.read
    assert index is not None
    index.expire(last)
    index.commit()
    assert index.documents == 2, "the other message and the head of its chat"


async def test_pages_are_in_the_order_of_time_over_all_chats(peers: Peers) -> None:
    expected: list[tuple[ChatId, int]] = []
    await peers.post(HALL, "word", "word")
    for index in range(1, 12):
        await peers.post(ROOM, f"word {index}")
        await peers.post(HALL, "word")
        expected += [(ROOM, index), (HALL, index + 2)]
    await peers.index()
    found: list[tuple[ChatId, int]] = []
    place: tuple[int, int] | None = None
    while place is not None or not found:
        page = await peers.page("word", count=4, place=place)
        found += [(hit.chat, hit.index) for hit in page.hits]
        place = page.next
    assert found == expected[::-1]


async def test_the_index_states_how_far_it_has_come(peers: Peers) -> None:
    await peers.post(ROOM, "one")
    await peers.index()
    first = (await peers.page("one")).hits[0].time
    now = first + 5_000
    peers.follower._clock = lambda: now
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


async def test_bad_queries_name_their_field(peers: Peers) -> None:
    await peers.index()
    for wrong_query in ("!?", "from:nobody word", "has:nothing word", "before:then word"):
        assert await peers.rejected(wrong_query) == (ErrorCode.INVALID, "query"), wrong_query
    assert await peers.rejected("x" * (MAX_QUERY + 1)) == (ErrorCode.TOO_LARGE, "query")
    for wrong in (0, MAX_HITS + 1):
        assert await peers.rejected("word", count=wrong) == (ErrorCode.INVALID, "count")
    assert await peers.rejected("word", context=4) == (ErrorCode.INVALID, "context")
    assert await peers.found("'\"\\ % _ .* [a word") == []


@pytest.fixture
def full_disk() -> Iterator[Callable[[bool], None]]:
    """No file of this process grows beyond 4 KiB while it is set."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    usual = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    def fill(full: bool) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]) if full else limits)

    yield fill
    fill(False)
    signal.signal(signal.SIGXFSZ, usual)


async def test_on_a_full_disk_the_index_answers_and_catches_up_once_there_is_room(
    peers: Peers, full_disk: Callable[[bool], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "_FIRST_PAUSE_SECONDS", 0.001)
    monkeypatch.setattr(following, "_LONGEST_PAUSE_SECONDS", 0.1)
    await peers.post(ROOM, "old words")
    await peers.index()
    index, failures = peers.directory.read, peers.follower._metrics.failures
    indexed_to = (await peers.page("old")).indexed_to
    await peers.post(ROOM, *(" ".join(token_hex(6) for _ in range(50)) for _ in range(30)), "new words")
    full_disk(True)
    peers.announce()
    running = asyncio.create_task(peers.follower.run())
    async with asyncio.timeout(WAIT_SECONDS):
        while failures._value.get() < following._FAILURES + 2:
            await asyncio.sleep(0.01)
        assert await peers.found("words") == [(ROOM, 1)]
        assert peers.directory.read is index, "the index is kept"
        posted = (await peers.page("old")).indexed_to
        assert posted <= indexed_to + following._LAG_MS
        full_disk(False)
        while await peers.found("words") != [(ROOM, 32), (ROOM, 1)]:
            await asyncio.sleep(0.01)
        while (await peers.page("old")).indexed_to <= posted:
            await asyncio.sleep(0.01)
    running.cancel()
