"""The search index of chats that move to another database and back; on SQLite and PostgreSQL."""

import sqlalchemy as sa
from prometheus_client import CollectorRegistry

from services.message.adapters.indexing import SearchIndexer
from services.message.metrics import MessageMetrics
from shared.contract.body import pack_edited
from shared.contract.ids import Nonce
from shared.contract.message import EditText
from shared.contract.model import Text
from shared.database import make_engine
from tests.unit.services.message.store.test_moved_revisions import change
from tests.unit.services.message.store.test_partition_move import MOVED_CHATS, fill, move, stores
from tests.unit.services.message.store.test_placing import A_CHATS, B_CHATS, CHATS


async def index(urls: dict[str, str]) -> None:
    async with stores(urls) as found:
        for store in found.values():
            await SearchIndexer(store, MessageMetrics(CollectorRegistry())).tick()


def indexed(url: str) -> tuple[list[int], ...]:
    """The chats that each table of the index has."""
    engine = make_engine(url)
    with engine.connect() as connection:
        found = tuple(
            list(connection.scalars(sa.text(f"SELECT DISTINCT chat_id FROM {table} ORDER BY chat_id")))
            for table in ("search_heads", "search_documents", "search_entries")
        )
    engine.dispose()
    return found


async def test_the_index_is_in_the_database_of_its_chat(urls: dict[str, str]) -> None:
    await fill(urls)
    async with stores(urls) as found:
        for chat in CHATS:
            await change(found, chat, 1, EditText(pack_edited((Text("word"),)), Nonce(99)))
    await index(urls)
    before = sorted(A_CHATS), sorted(B_CHATS)
    assert tuple(map(indexed, urls.values())) == tuple((chats,) * 3 for chats in before)
    move(urls)
    await index(urls)
    after = sorted({*A_CHATS} - {*MOVED_CHATS}), sorted([*B_CHATS, *MOVED_CHATS])
    assert tuple(map(indexed, urls.values())) == tuple((chats,) * 3 for chats in after)
    move(urls, target="a")
    await index(urls)
    assert tuple(map(indexed, urls.values())) == tuple((chats,) * 3 for chats in before)
