"""`python -m tests.stages.searching`: how long a search takes, how long indexing, and what posts take beside it.

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
from typing import Any
from unittest.mock import patch

import msgspec
import sqlalchemy as sa
from prometheus_client import CollectorRegistry

from bench.measurements.measured import machine
from local.process_group import ProcessGroup
from services.message.adapters import indexing
from services.message.metrics import MessageMetrics
from services.message.service.text_search import TextSearch
from services.message.store import MessageStore
from shared.clock import now_ms
from shared.contract.body import pack_segments
from shared.contract.ids import AccountId, ChatId, Nonce
from shared.contract.message import Draft
from shared.contract.model import Text
from shared.contract.search import MAX_QUERY, ContentKind, SearchMessages
from shared.contract.session import ChatEntry, ChatList, ListChats
from shared.database import Database
from shared.migrate import upgrade
from shared.process import tune_garbage_collection
from shared.settings import MessageSettings
from tests.support.servers import PostgresServer

ANN = AccountId(1)
_WORDS = 20_000
_WORDS_OF_MESSAGE = 6
_POSTED = 512
_MESSAGES_OF_CHAT = 100
_RECENT_MS = 3_600_000
_ANY = sa.text("SELECT id FROM messages LIMIT 1")
_TABLES = ("messages", "search_entries", "search_documents", "search_signatures")
_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(ChatList).decode
Queries = dict[str, Iterator[SearchMessages]]


class MessageMaker:
    """Makes messages; the same ones at each run."""

    def __init__(self, messages: int) -> None:
        self.messages = messages
        self._random = random.Random(7)
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

    def queries(self) -> Queries:
        """Of each kind, without end."""
        since = now_ms() - _RECENT_MS

        def made(*ranks: range, size: int = MAX_QUERY, **filters: Any) -> Iterator[SearchMessages]:
            while True:
                words = " ".join(self.words[self._random.choice(rank)] for rank in ranks)
                yield SearchMessages(words[:size], actor=ANN, **filters)

        def neighbours() -> Iterator[SearchMessages]:
            while True:
                first, second = self._random.choices(self.words, self._frequencies, k=2)
                yield SearchMessages(first + second[0], actor=ANN)

        frequent, rare = range(20), range(5_000, _WORDS)
        return {
            "a frequent word": made(frequent),
            "a word of middling frequency": made(range(200, 2_000)),
            "a rare word": made(rare),
            "two frequent words": made(frequent, frequent),
            "a frequent and a rare word": made(frequent, rare),
            "one character": made(range(200), size=1),
            "three characters": neighbours(),
            "a rare word by the sender": made(rare, sender=ANN),
            "a frequent word by the sender": made(frequent, sender=ANN),
            "a frequent word with a link, of which there is none": made(frequent, has=ContentKind.LINK),
            "a frequent word of the last hour": made(frequent, after=since),
        }


async def measure(url: str, messages: int, searches: int) -> list[str]:
    """A database that has messages already is searched, and nothing is written there."""
    tune_garbage_collection()  # as in a service
    upgrade("message", url)
    database, writer = Database(url), MessageMaker(messages)
    try:
        store = MessageStore(database)
        is_filled = await database.read(lambda connection: connection.scalar(_ANY) is not None)
        lines = [] if is_filled else await _fill(store, writer)
        lines.append(await database.read(_sizes))
        for members in (20, 200, 2_000, len(writer.chats)):
            lines += await _search(store, writer, writer.some_chats(members), searches)
        return lines if is_filled else [*lines, *await _post_beside(store, writer)]
    finally:
        await database.close()


async def _fill(store: MessageStore, writer: MessageMaker) -> list[str]:
    for start in range(0, writer.messages, _POSTED):
        await store.post(writer.drafts(min(_POSTED, writer.messages - start)))
    return [await _index(store, writer.messages)]


async def _index(store: MessageStore, messages: int) -> str:
    """Without pauses."""
    began = time.perf_counter()
    with patch.multiple(indexing, _PAUSE_RATIO=0.0, _RATIO_PER_POST=0.0):
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


async def _search(store: MessageStore, writer: MessageMaker, chats: Sequence[ChatId], searches: int) -> list[str]:
    packed = _pack(ChatList([ChatEntry(chat, 1, 1) for chat in chats]))

    async def list_chats(_: ListChats) -> ChatList:
        return _unpack(packed)

    searching = TextSearch(store, list_chats, MessageSettings())
    lines = []
    for name, requests in writer.queries().items():
        times = await _times(lambda requests=requests: searching.search(next(requests)), searches)  # type: ignore[misc]
        lines.append(f"search in {len(chats)} chats, {name}: {_percentiles(times)}")
    return lines


async def _post_beside(store: MessageStore, writer: MessageMaker) -> list[str]:
    """In turns, with the indexer and without."""
    times: dict[str, list[float]] = {"no indexer": [], "beside the indexer": []}
    for turn in range(8):
        name = "beside the indexer" if turn % 2 else "no indexer"
        task = asyncio.create_task(indexing.run(_indexer(store).tick, lambda: True)) if turn % 2 else None
        times[name] += await _times(lambda: store.post(writer.drafts(4)), 500)
        if task is not None:
            task.cancel()
    lines = [f"posting 4 messages, {name}: {_percentiles(found)}" for name, found in times.items()]
    without, beside = (sorted(found) for found in times.values())
    ratios = [beside[at] / without[at] for at in (len(without) // 2, len(without) * 99 // 100)]
    return [*lines, f"posting 4 messages, beside the indexer / without it: p50 {ratios[0]:.3f}, p99 {ratios[1]:.3f}"]


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
    """Of new databases."""
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
    parser = argparse.ArgumentParser(prog="python -m tests.stages.searching", description=__doc__)
    parser.add_argument("--messages", type=int, default=1_000_000, help="in the database (default 1000000)")
    parser.add_argument("--searches", type=int, default=300, help="of each kind (default 300)")
    parser.add_argument(
        "--database", action="append", metavar="URL", help="instead of new ones; filled if it is empty, and kept"
    )
    arguments = parser.parse_args()
    for url in arguments.database or ():
        _show([machine(), url.partition(":")[0], *asyncio.run(measure(url, arguments.messages, arguments.searches))])
    if arguments.database:
        return
    with tempfile.TemporaryDirectory(prefix="dragoman-search-") as place:
        Path(place).chmod(0o755)  # PostgreSQL runs as another user
        asyncio.run(measure_both(Path(place), arguments.messages, arguments.searches))


if __name__ == "__main__":
    main()
