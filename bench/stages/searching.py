"""`python -m bench.stages.searching`: how long a search takes, how long indexing, and what posts take beside it.

Each database gets messages of Chinese words with the frequencies of a language, in chats of which a tenth hold most of
them. The account is a member of the chats of the largest size and of others.
"""

import argparse
import asyncio
import random
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from itertools import count
from pathlib import Path
from unittest.mock import patch

import sqlalchemy as sa
from prometheus_client import CollectorRegistry

from bench.measurement.run import machine
from services.cli.process_group import ProcessGroup
from services.message.adapters import indexing
from services.message.metrics import MessageMetrics
from services.message.service.text_search import TextSearch
from services.message.store import MessageStore
from shared.contract.ids import AccountId, ChatId, Nonce
from shared.contract.message import Draft
from shared.contract.model import Text, pack_segments
from shared.contract.search import SearchMessages
from shared.contract.session import ChatEntry, ChatList, ListChats
from shared.database import Database
from shared.migrate import upgrade
from shared.settings import MessageSettings
from tests.support.servers import PostgresServer

ANN = AccountId(1)
_WORDS = 20_000
_WORDS_OF_MESSAGE = 6
_POSTED = 512
_MESSAGES_OF_CHAT = 100
_TABLES = ("messages", "search_entries", "search_documents")


class Writer:
    """Makes messages; the same ones at each run."""

    def __init__(self, messages: int) -> None:
        self._random = random.Random(7)  # noqa: S311 (no secret)
        characters = [chr(self._random.randrange(0x4E00, 0x9000)) for _ in range(2_500)]
        self.words = ["".join(self._random.choices(characters, k=2)) for _ in range(_WORDS)]
        self._frequencies = [1 / rank for rank in range(1, _WORDS + 1)]
        self.chats = [ChatId(number) for number in range(1, max(messages // _MESSAGES_OF_CHAT, 20) + 1)]
        self._activity = [1 / rank for rank in range(1, len(self.chats) + 1)]
        self._nonces = count(1)

    def some_chats(self, number: int) -> list[ChatId]:
        """The ten largest, and others."""
        others = self.chats[10:]
        return self.chats[:10] + self._random.sample(others, min(number, len(others)))

    def drafts(self, number: int) -> list[Draft]:
        chats = self._random.choices(self.chats, self._activity, k=number)
        return [Draft(ANN, chat, Nonce(next(self._nonces)), 2**62, self._body()) for chat in chats]

    def _body(self) -> bytes:
        return pack_segments((Text("".join(self._random.choices(self.words, self._frequencies, k=_WORDS_OF_MESSAGE))),))

    def queries(self) -> dict[str, Iterator[str]]:
        """Of each kind, without end."""

        def made(*ranks: range) -> Iterator[str]:
            while True:
                yield " ".join(self.words[self._random.choice(rank)] for rank in ranks)

        frequent, rare = range(20), range(5_000, _WORDS)
        return {
            "a frequent word": made(frequent),
            "a rare word": made(rare),
            "two frequent words": made(frequent, frequent),
            "a frequent and a rare word": made(frequent, rare),
            "one character": (query[0] for query in made(range(200))),
        }


async def measure(url: str, messages: int, searches: int) -> list[str]:
    upgrade("message", url)
    database, writer = Database(url), Writer(messages)
    try:
        store = MessageStore(database)
        for start in range(0, messages, _POSTED):
            await store.post(writer.drafts(min(_POSTED, messages - start)))
        lines = [await _index(store, messages), await database.read(_sizes)]
        for members in (20, 200, len(writer.chats)):
            lines += await _search(store, writer, writer.some_chats(members), searches)
        return [*lines, *await _post_beside(store, writer)]
    finally:
        await database.close()


async def _index(store: MessageStore, messages: int) -> str:
    """Without pauses."""
    began = time.perf_counter()
    with patch.object(indexing, "_PAUSE_RATIO", 0.0):
        await _indexer(store).tick()
    seconds = time.perf_counter() - began
    return f"indexing {messages} messages without pauses: {seconds:.1f} s, {messages / seconds:.0f} a second"


def _indexer(store: MessageStore) -> indexing.SearchIndexer:
    return indexing.SearchIndexer(store, MessageMetrics(CollectorRegistry()))


def _sizes(connection: sa.Connection) -> str:
    """Of the tables with their indexes, MiB."""
    if connection.dialect.name == "sqlite":
        size = "SELECT sum(pgsize) FROM dbstat WHERE name IN (SELECT name FROM sqlite_master WHERE tbl_name = :table)"
    else:
        size = "SELECT pg_total_relation_size(CAST(:table AS text)::regclass)"
    found = {table: connection.execute(sa.text(size), {"table": table}).scalar_one() for table in _TABLES}
    return "MiB: " + ", ".join(f"{table} {int(size) / 2**20:.0f}" for table, size in found.items())


async def _search(store: MessageStore, writer: Writer, chats: Sequence[ChatId], searches: int) -> list[str]:
    async def list_chats(_: ListChats) -> ChatList:
        return ChatList([ChatEntry(chat, 1, 1) for chat in chats])

    searching = TextSearch(store, list_chats, MessageSettings())
    lines = []
    for name, queries in writer.queries().items():
        requests = (SearchMessages(query, actor=ANN) for query in queries)
        times = await _times(lambda requests=requests: searching.search(next(requests)), searches)  # type: ignore[misc]
        lines.append(f"search in {len(chats)} chats, {name}: {_percentiles(times)}")
    return lines


async def _post_beside(store: MessageStore, writer: Writer) -> list[str]:
    """In turns, with the indexer and without."""
    times: dict[str, list[float]] = {"no indexer": [], "beside the indexer": []}
    for turn in range(8):
        name = "beside the indexer" if turn % 2 else "no indexer"
        task = asyncio.create_task(indexing.run(_indexer(store).tick, lambda: True)) if turn % 2 else None
        times[name] += await _times(lambda: store.post(writer.drafts(4)), 500)
        if task is not None:
            task.cancel()
    return [f"posting 4 messages, {name}: {_percentiles(found)}" for name, found in times.items()]


async def _times(work: Callable[[], Awaitable[object]], repetitions: int) -> list[float]:
    """Milliseconds of each, sorted."""
    times = []
    for _ in range(repetitions):
        began = time.perf_counter()
        await work()
        times.append((time.perf_counter() - began) * 1000)
    return sorted(times)


def _percentiles(times: Sequence[float]) -> str:
    mean = sum(times) / len(times)
    return f"mean {mean:.2f} ms, p50 {times[len(times) // 2]:.2f}, p99 {times[len(times) * 99 // 100]:.2f}"


async def measure_both(place: Path, messages: int, searches: int) -> None:
    with ProcessGroup() as process_group:
        lines = await measure(f"sqlite:///{place}/message.db", messages, searches)
        _show([machine(), "SQLite", *lines])
        server = PostgresServer(place / "postgresql", process_group)
        server.start()
        try:
            with server.database() as url:
                _show(["PostgreSQL", *await measure(url, messages, searches)])
        finally:
            server.stop()


def _show(lines: Sequence[str]) -> None:
    sys.stdout.write("\n".join(lines) + "\n")
    sys.stdout.flush()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.stages.searching", description=__doc__)
    parser.add_argument("--messages", type=int, default=1_000_000, help="in the database (default 1000000)")
    parser.add_argument("--searches", type=int, default=300, help="of each kind (default 300)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="dragoman-search-") as place:
        Path(place).chmod(0o755)  # PostgreSQL runs as another user
        asyncio.run(measure_both(Path(place), arguments.messages, arguments.searches))


if __name__ == "__main__":
    main()
