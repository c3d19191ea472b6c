"""Search on both databases: what is found, by whom, in which order, and how the index follows the messages."""

import asyncio
from itertools import count

import pytest
import sqlalchemy as sa
from prometheus_client import CollectorRegistry

from services.message.adapters import housekeeping, indexing
from services.message.adapters.indexing import SearchIndexer
from services.message.domain import Rights
from services.message.metrics import MessageMetrics
from services.message.service.text_search import TextSearch
from services.message.store import MessageStore
from services.message.store import search as store_search
from shared.clock import now_ms
from shared.contract.body import pack_edited, pack_segments
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.ids import AccountId, ChatId, Nonce
from shared.contract.message import ChangeMessage, Draft, EditText, React, RecallText
from shared.contract.model import File, Image, Media, Segment, Text
from shared.contract.search import MAX_HITS, MAX_QUERY, ContentKind, SearchMessages, SearchPage
from shared.contract.session import ChatEntry, ChatList, ListChats
from shared.database import Database
from shared.settings import MessageSettings

ANN, BOB = AccountId(1), AccountId(2)
ROOM, HALL, LOFT = ChatId(1), ChatId(2), ChatId(3)
ALL = Rights(1, 0, 0, leads=True, pins=True)
INDEX_TABLES = ("search_heads", "search_documents", "search_entries")


class Peers:
    """A database and its index. ANN is a member of ROOM and HALL, of HALL from its third message on."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.store = MessageStore(database, count(now_ms()).__next__)  # no two messages in one millisecond
        self.entries = {ANN: [ChatEntry(ROOM, 1, 1), ChatEntry(HALL, 3, 3)], BOB: [ChatEntry(LOFT, 1, 1)]}
        self.searching = TextSearch(self.store, self._list_chats, MessageSettings())
        self.indexer = SearchIndexer(self.store, MessageMetrics(CollectorRegistry()))
        self._nonce = 0

    async def _list_chats(self, request: ListChats) -> ChatList:
        return ChatList([one for one in self.entries[request.account] if one.chat > request.after])

    async def post(self, chat: ChatId, *texts: str | Segment, sender: AccountId = ANN) -> None:
        for text in texts:
            self._nonce += 1
            segment = Text(text) if isinstance(text, str) else text
            body = pack_segments((segment,))
            await self.store.post([Draft(sender, chat, Nonce(self._nonce), 2**62, body)])

    async def change(self, chat: ChatId, index: int, made: EditText | RecallText | React) -> None:
        await self.store.change(ChangeMessage(chat, index, made, ANN), ALL)

    async def page(self, query: str, **others: object) -> SearchPage:
        return await self.searching.search(SearchMessages(query, actor=ANN, **others))  # type: ignore[arg-type]

    async def found(self, query: str, **others: object) -> list[tuple[ChatId, int]]:
        return [(hit.chat, hit.index) for hit in (await self.page(query, **others)).hits]

    async def rejected(self, query: str, **others: object) -> tuple[ErrorCode, str]:
        with pytest.raises(RequestError) as caught:
            await self.page(query, **others)
        return caught.value.failure.code, caught.value.failure.field

    async def rows(self) -> list[int]:
        def read(connection: sa.Connection) -> list[int]:
            return [connection.scalar(sa.text(f"SELECT count(*) FROM {table}")) or 0 for table in INDEX_TABLES]

        return await self.database.read(read)

    async def terms(self) -> set[str]:
        def read(connection: sa.Connection) -> set[str]:
            return set(connection.scalars(sa.text("SELECT term FROM search_entries")))

        return await self.database.read(read)


@pytest.fixture
def peers(database: Database) -> Peers:
    return Peers(database)


async def test_words_and_one_two_or_three_chinese_characters_are_found(peers: Peers) -> None:
    await peers.post(ROOM, "今天我们去公园吧", "Deploy v2 到生产环境", "nothing here", "公平")
    await peers.indexer.tick()
    for query, indexes in [
        ("园", [1]), ("公", [4, 1]), ("公园", [1]), ("去公园", [1]), ("园公", []), ("deploy 生产", [2]), ("V2", [2]),
        ("ＤＥＰＬＯＹ", [2]), ("环境", [2]), ("plo", []), ("nothing deploy", []),
    ]:  # fmt: skip
        assert await peers.found(query) == [(ROOM, index) for index in indexes], query
    (hit,) = (await peers.page("公园")).hits
    assert hit.sender == ANN
    assert (hit.snippet, hit.marks) == ("今天我们去公园吧", [(5, 2)])


async def test_only_what_a_member_may_see_is_found(peers: Peers) -> None:
    await peers.post(HALL, "word", "word", "word")
    await peers.post(LOFT, "word")
    await peers.indexer.tick()
    assert await peers.found("word") == [(HALL, 3)]
    assert await peers.found("word", chat=HALL) == [(HALL, 3)]
    assert await peers.rejected("word", chat=LOFT) == (ErrorCode.FORBIDDEN, "chat")
    peers.entries[ANN] = [ChatEntry(HALL, 4, 4)]
    assert await peers.found("word") == await peers.found("word", count=1) == [], "who has just joined sees nothing yet"


async def test_what_a_member_may_not_see_takes_no_place_on_a_page(peers: Peers) -> None:
    await peers.post(ROOM, "one word", "one word")
    await peers.post(HALL, "one word", "one word")
    await peers.indexer.tick()
    for query in ("word", "one word"):
        assert await peers.found(query, count=2) == [(ROOM, 2), (ROOM, 1)]


async def test_filters(peers: Peers) -> None:
    picture = Media("ab", "cat.png", 1, "", "image/png")
    await peers.post(ROOM, "see report", "see https://example.org", File(Media("cd", "see report.pdf", 1, "", "")))
    await peers.post(ROOM, "see it", sender=BOB)
    body = pack_segments((Text("see"), Image(picture)))
    await peers.store.post([Draft(BOB, ROOM, Nonce(900), 2**62, body)])
    await peers.post(HALL, "", "", "see")
    await peers.indexer.tick()
    times = {(hit.chat, hit.index): hit.time for hit in (await peers.page("see")).hits}
    assert list(times) == [(HALL, 3), (ROOM, 5), (ROOM, 4), (ROOM, 3), (ROOM, 2), (ROOM, 1)]
    assert await peers.found("see", chat=ROOM, sender=BOB) == [(ROOM, 5), (ROOM, 4)]
    assert await peers.found("see", has=ContentKind.LINK) == [(ROOM, 2)]
    assert await peers.found("see", has=ContentKind.IMAGE) == [(ROOM, 5)]
    assert await peers.found("report", has=ContentKind.FILE) == [(ROOM, 3)]
    assert await peers.found("see", before=times[ROOM, 2]) == [(ROOM, 1)]
    assert await peers.found("see", after=times[ROOM, 5]) == [(HALL, 3)]


async def test_an_edit_is_found_by_its_new_words_and_a_recall_by_none(peers: Peers) -> None:
    await peers.post(ROOM, "old words", "secret plan")
    await peers.indexer.tick()
    await peers.change(ROOM, 1, EditText(pack_edited((Text("new words"),)), Nonce(77)))
    await peers.change(ROOM, 2, RecallText())
    assert await peers.found("secret") == await peers.found("old") == [], "nor before the index knows"
    await peers.change(ROOM, 1, React("👍", on=True))
    await peers.indexer.tick()
    assert await peers.found("new") == [(ROOM, 1)]
    assert await peers.found("old") == await peers.found("secret") == await peers.found("撤回") == []
    assert {"old", "secret", "plan", "撤"}.isdisjoint(await peers.terms())
    assert await peers.rows() == [1, 1, 3], "the two words and the sender"


async def test_expired_messages_leave_the_index(peers: Peers) -> None:
    await peers.post(ROOM, "old words", "new words")
    await peers.indexer.tick()
    last = (await peers.page("new")).hits[0].time
    await housekeeping.expire_all(peers.store, last, 0)
    assert await peers.found("words") == [(ROOM, 2)]
    assert await peers.found("过期") == []
    assert "old" not in await peers.terms()


async def test_pages_are_in_the_order_of_time_over_all_chats(peers: Peers) -> None:
    expected: list[tuple[ChatId, int]] = []
    await peers.post(HALL, "word", "word")
    for index in range(1, 12):
        await peers.post(ROOM, f"word {index}")
        await peers.post(HALL, "word")
        expected += [(ROOM, index), (HALL, index + 2)]
    await peers.indexer.tick()
    found: list[tuple[ChatId, int]] = []
    place: tuple[int, int] | None = None
    pages = 0
    while place is not None or not pages:
        page = await peers.page("word", count=4, place=place)
        found += [(hit.chat, hit.index) for hit in page.hits]
        place, pages = page.next, pages + 1
    assert sorted(found) == sorted(expected)
    assert [index for chat, index in found if chat == ROOM] == list(range(11, 0, -1))
    assert pages in (6, 7)


async def test_a_search_looks_at_a_bounded_number_of_entries(peers: Peers, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages may be empty, and lead on to what is older."""
    monkeypatch.setattr(store_search, "SCANNED_ENTRIES", 4)
    await peers.post(ROOM, "common rare", *["common"] * 9, *["rare"] * 9)
    await peers.indexer.tick()
    place: tuple[int, int] | None = None
    found: list[int] = []
    pages = 0
    while place is not None or not pages:
        page = await peers.page("common rare", count=2, place=place)
        assert place is None or page.next is None or page.next < place
        found += [hit.index for hit in page.hits]
        place, pages = page.next, pages + 1
    assert found == [1]
    assert pages > 2


async def test_many_chats_are_searched_by_their_last_activity(peers: Peers) -> None:
    chats = [ChatId(number) for number in range(10, 210)]
    peers.entries[ANN] = [ChatEntry(chat, 1, 1) for chat in chats]
    for chat in chats:
        await peers.post(chat, "word")
    await peers.post(chats[0], "other")
    await peers.indexer.tick()
    assert await peers.found("word", count=3) == [(chat, 1) for chat in (209, 208, 207)]
    assert len(await peers.found("word", count=50)) == 50
    assert await peers.found("other") == [(chats[0], 2)]


async def test_the_index_states_how_far_it_has_come(peers: Peers) -> None:
    await peers.post(ROOM, "one")
    await peers.indexer.tick()
    first = (await peers.page("one")).hits[0].time
    assert (await peers.page("one")).indexed_to > first
    await peers.post(ROOM, "two", "three")
    page = await peers.page("two")
    assert page.hits == []
    assert first <= page.indexed_to
    await peers.indexer.tick()
    (hit,) = (await peers.page("two")).hits
    assert page.indexed_to == hit.time - 1


async def test_an_interrupted_indexer_is_continued_and_two_do_no_harm(
    peers: Peers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.message.store._INDEX_ROWS", 2)
    await peers.post(ROOM, *[f"word {number}" for number in range(7)])
    behind = (await peers.store.find_unindexed(0)).behind
    stale = await peers.store.read_unindexed(behind)
    assert await peers.store.write_index(await peers.store.read_unindexed(behind)) == 2
    assert len(await peers.found("word")) == 2, "an interrupted one leaves what it has written"
    assert await peers.store.write_index(stale) == 0, "another one has written it meanwhile"
    other = SearchIndexer(peers.store, MessageMetrics(CollectorRegistry()))
    await asyncio.gather(peers.indexer.tick(), other.tick())
    assert len(await peers.found("word")) == 7
    assert (await peers.rows())[:2] == [1, 7]


async def test_what_was_read_before_a_recall_does_not_replace_it(peers: Peers) -> None:
    await peers.post(ROOM, "secret")
    slow = await peers.store.read_unindexed((await peers.store.find_unindexed(0)).behind)
    await peers.change(ROOM, 1, RecallText())
    await peers.indexer.tick()
    assert await peers.store.write_index(slow) == 0
    assert await peers.terms() == set()


async def test_chats_that_are_gone_leave_the_index(peers: Peers) -> None:
    await peers.post(ROOM, *["word"] * 150)
    await peers.post(HALL, "word", "word", "word")
    await peers.indexer.tick()

    def move_away(connection: sa.Connection) -> None:
        for table in ("messages", "heads"):
            connection.execute(sa.text(f"DELETE FROM {table} WHERE chat_id = :chat"), {"chat": ROOM})

    await peers.database.write(move_away)
    assert await peers.found("word") == [(HALL, 3)]
    await peers.indexer.tick()
    assert (await peers.rows())[:2] == [1, 3]


async def test_the_index_is_deleted_where_search_is_off(peers: Peers) -> None:
    await peers.post(ROOM, "word")
    await peers.indexer.tick()
    await indexing.clear(peers.store)
    assert await peers.rows() == [0, 0, 0]
    peers.searching = TextSearch(peers.store, peers._list_chats, MessageSettings(search=False))
    assert await peers.rejected("word") == (ErrorCode.FORBIDDEN, "")


async def test_bad_queries_name_their_field(peers: Peers) -> None:
    assert await peers.rejected("!?") == (ErrorCode.INVALID, "query")
    assert await peers.rejected("x" * (MAX_QUERY + 1)) == (ErrorCode.TOO_LARGE, "query")
    for wrong in (0, MAX_HITS + 1):
        assert await peers.rejected("word", count=wrong) == (ErrorCode.INVALID, "count")
    assert await peers.found("'\"\\ % _ word") == []


async def test_only_the_elected_replica_writes_the_index(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(indexing, "INTERVAL_SECONDS", 0.0)
    ticks: list[int] = []
    elections = iter([False, True, True])

    async def tick() -> None:
        ticks.append(1)
        if len(ticks) == 1:
            raise RequestError(ErrorCode.UNAVAILABLE, "away")
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await indexing.run(tick, lambda: next(elections))
    assert len(ticks) == 2
