"""The pace of indexing beside posts; and indexing a database for the first time: its write-ahead log stays short."""

import random
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from types import SimpleNamespace

import pytest
from prometheus_client import CollectorRegistry

from services.message.adapters import indexing
from services.message.adapters.indexing import IndexPace, SearchIndexer
from services.message.metrics import MessageMetrics
from services.message.store import MessageStore
from services.message.store.search_index import IndexBatch
from shared.contract.body import pack_segments
from shared.contract.ids import AccountId, ChatId, Nonce
from shared.contract.message import Draft
from shared.contract.model import Text
from shared.database import Database

MESSAGES, MESSAGES_OF_BATCH = 8_000, 500
MIB = 2**20


class WatchedStore(MessageStore):
    """Notes how long the log is after each transaction of the index."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self._log = Path(f"{database.url.database}-wal")
        self.longest = 0

    async def write_index(self, batch: IndexBatch) -> int:
        written = await super().write_index(batch)
        self.longest = max(self.longest, self._log.stat().st_size)
        return written


def drafts() -> Iterator[Draft]:
    """Of one chat and words that are all different: 32 messages change many pages of its index."""
    chosen, numbers = random.Random(7), count(1)
    while True:
        number = next(numbers)
        body = pack_segments((Text(" ".join(f"{chosen.getrandbits(40):x}" for _ in range(24))),))
        yield Draft(AccountId(1), ChatId(1), Nonce(number), 2**62, body)


async def test_the_log_stays_short_while_many_messages_are_indexed(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for ratio in ("_PAUSE_RATIO", "_RATIO_PER_POST"):
        monkeypatch.setattr(indexing, ratio, 0.0)
    for module in ("shared.database", "shared.write_ahead_log"):
        monkeypatch.setattr(f"{module}.LOG_BYTES", 16 * MIB)
    database = Database(sqlite_url)
    store, made = WatchedStore(database), drafts()
    for _ in range(MESSAGES // MESSAGES_OF_BATCH):
        await store.post([next(made) for _ in range(MESSAGES_OF_BATCH)])
    await SearchIndexer(store, MessageMetrics(CollectorRegistry())).tick()
    await database.close()
    assert store.longest < 128 * MIB, "447 MiB if nothing moves it"


async def test_the_index_leaves_posts_more_time_for_a_minute(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(indexing, "time", SimpleNamespace(monotonic=lambda: now[0]))
    database = Database(sqlite_url)
    store, made = MessageStore(database), drafts()
    pace = IndexPace(store)

    async def ratio_after(seconds: float, *posts: int) -> float:
        """Of the pause after a transaction of 5 ms that has indexed 32 messages."""
        for messages in posts:
            await store.post([next(made) for _ in range(messages)])
        now[0] += seconds
        return pace.ratio(now[0], 0.005, 32)

    assert await ratio_after(0.0) == 3.0
    assert await ratio_after(0.5, 50) == 3.0 + 10, "a hundred messages a second"
    assert await ratio_after(0.5) == 3.0
    now[0] += 60.0
    assert await ratio_after(0.5) == 3.0, "nothing is posted: as before"
    assert await ratio_after(0.5, 50) == 3.0 + 50, "one transaction of fifty: the machine is busy"
    assert await ratio_after(0.1, *[1] * 64) == pytest.approx(32 / (640 * 1.25) / 0.005 - 1), "the index keeps up"
    assert await ratio_after(1.0, *[1] * 10) == 3.0 + 1, "it need not, but there is time"
    assert await ratio_after(0.01, *[1] * 20) == 3.0 + 1, "it cannot"
    pace.start()
    assert await ratio_after(1.0, 10) == 3.0 + 1
    await database.close()
