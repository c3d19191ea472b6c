"""A search leaves out the chats whose signatures lack its words, and no other; on both databases."""

import pytest
import sqlalchemy as sa

from services.message.service import text_search
from services.message.store import search_index
from services.message.store.snapshot import Snapshot
from shared.contract.body import pack_edited
from shared.contract.ids import ChatId, Nonce
from shared.contract.message import EditText, RecallText
from shared.contract.model import Text
from shared.contract.session import ChatEntry
from shared.database import Database
from tests.unit.services.message.service.test_text_search import ANN, HALL, LOFT, ROOM, Peers


@pytest.fixture
def peers(database: Database) -> Peers:
    return Peers(database)


async def looked_at(peers: Peers, *terms: str) -> list[ChatId]:
    """The chats whose entries a search for these terms reads."""
    chats = [one.chat for one in peers.entries[ANN]]
    survey = await peers.store.read(lambda snapshot: snapshot.survey_chats(chats, terms, 0, 100))
    assert survey.number == len(survey.active)
    return [chat for _, chat in survey.active]


async def execute(peers: Peers, statement: str) -> None:
    await peers.database.write(lambda connection: connection.execute(sa.text(statement)))


async def test_only_chats_that_may_have_all_terms_are_looked_at(peers: Peers) -> None:
    await peers.post(ROOM, "common rare")
    await peers.post(HALL, "common", "other", "公园")
    await peers.indexer.tick()
    assert await looked_at(peers, "common") == [HALL, ROOM]
    assert await looked_at(peers, "common", "rare") == [ROOM]
    assert await looked_at(peers, "公园") == [HALL]
    assert await looked_at(peers, "nowhere") == []


async def test_chats_are_in_the_order_of_what_the_index_has(peers: Peers) -> None:
    """The messages that it lacks are not found: a chat with one of them is not looked at sooner."""
    await peers.post(ROOM, "common")
    await peers.post(HALL, "common")
    await peers.indexer.tick()
    await peers.post(ROOM, "common")
    await peers.post(LOFT, "common")
    peers.entries[ANN].append(ChatEntry(LOFT, 1, 1))
    assert await looked_at(peers, "common") == [HALL, ROOM]
    await peers.indexer.tick()
    assert await looked_at(peers, "common") == [LOFT, ROOM, HALL]


async def test_a_signature_follows_messages_edits_and_recalls(peers: Peers) -> None:
    await peers.post(ROOM, "first", "secret")
    await peers.indexer.tick()
    await peers.post(ROOM, "second")
    await peers.indexer.tick()
    await peers.change(ROOM, 1, EditText(pack_edited((Text("edited"),)), Nonce(77)))
    await peers.change(ROOM, 2, RecallText())
    await peers.indexer.tick()
    assert await looked_at(peers, "edited") == await looked_at(peers, "second") == [ROOM]
    assert await looked_at(peers, "first") == await looked_at(peers, "secret") == [], "the words are gone"


async def test_a_signature_grows_with_its_chat(peers: Peers) -> None:
    for start in (0, 40, 80):
        await peers.post(ROOM, *[f"word{number}" for number in range(start, start + 40)])
        await peers.indexer.tick()
    for number in range(120):
        assert await looked_at(peers, f"word{number}") == [ROOM]
    assert await looked_at(peers, "nowhere") == []


async def test_a_long_chat_has_no_signature_and_is_looked_at(peers: Peers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search_index, "SIGNED_MESSAGES", 3)
    await peers.post(ROOM, "one", "two")
    await peers.indexer.tick()
    assert await looked_at(peers, "nowhere") == []
    await peers.post(ROOM, "three", "four")
    await peers.indexer.tick()
    assert await looked_at(peers, "nowhere") == [ROOM]
    assert await peers.found("four") == [(ROOM, 4)]


async def test_what_the_version_before_indexes_is_found_and_signed_later(peers: Peers) -> None:
    await peers.post(ROOM, "old", "new")
    await peers.indexer.tick()
    await execute(peers, "UPDATE search_heads SET signed = 1")
    await execute(peers, "DELETE FROM search_signatures")
    assert await peers.found("new") == [(ROOM, 2)]
    assert await looked_at(peers, "nowhere") == [ROOM]
    await peers.indexer.tick()
    assert await looked_at(peers, "nowhere") == []
    assert await peers.found("new") == [(ROOM, 2)]


async def test_chats_beyond_the_first_ones_are_searched(peers: Peers, monkeypatch: pytest.MonkeyPatch) -> None:
    """With pages, in the order of time, although one survey tells of two chats."""
    monkeypatch.setattr(text_search, "_MOST_ACTIVE", 2)
    chats = [ChatId(number) for number in range(10, 100)]
    peers.entries[ANN] = [ChatEntry(chat, 1, 1) for chat in chats]
    for chat in chats:
        await peers.post(chat, "word")
    await peers.indexer.tick()
    place: tuple[int, int] | None = None
    found: list[ChatId] = []
    while place is not None or not found:
        page = await peers.page("word", count=20, place=place)
        found += [hit.chat for hit in page.hits]
        place = page.next
    assert found == chats[::-1]


async def test_the_signature_of_a_chat_that_is_gone_is_deleted(peers: Peers) -> None:
    await peers.post(ROOM, "word")
    await peers.indexer.tick()
    for table in ("messages", "heads"):
        await execute(peers, f"DELETE FROM {table}")
    await peers.indexer.tick()

    def count(snapshot: Snapshot) -> int:
        return snapshot._connection.scalar(sa.text("SELECT count(*) FROM search_signatures")) or 0

    assert await peers.store.read(count) == 0
