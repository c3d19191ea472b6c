"""`python -m tests.stages.citus`: what the message service's transactions take on PostgreSQL, and on Citus with two
workers on the same machine, in turns."""

import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from itertools import count
from pathlib import Path

from local.process_group import ProcessGroup
from services.message.store import MessageStore, Snapshot
from shared.contract.ids import AccountId, ChatId, Nonce
from shared.contract.message import Draft, ReadRange
from shared.database import Database
from shared.migrate import upgrade
from tests.support.citus import CitusCluster, PlainNode, distribute

_CHATS, _LENGTH, _ROUNDS, _EACH = 2_000, 20, 5, 20
_ANN, _BOB = AccountId(1), AccountId(2)
_NEVER = 2**62
_nonces = count(1)


def _drafts(chats: range) -> list[Draft]:
    return [Draft(_BOB, ChatId(chat), Nonce(next(_nonces)), _NEVER, b"a message of some words") for chat in chats]


async def _log_in(store: MessageStore) -> None:
    """As a sync of all chats does: last indexes, cursors, unread counts, and the last message of each."""
    chats = [ChatId(chat) for chat in range(1, _CHATS + 1)]

    def work(now: Snapshot) -> None:
        heads = now.heads(chats)
        now.cursors([(_ANN, chat) for chat in chats])
        now.unread([(chat, heads[chat] - 1, heads[chat]) for chat in chats], _ANN)
        list(now.messages([(chat, heads[chat], heads[chat]) for chat in chats]))

    await store.read(work)


async def _mark(store: MessageStore, chats: range) -> None:
    await store.mark_read([ReadRange(_ANN, ChatId(chat), 1, 2) for chat in chats], 1_000)


_WORK: dict[str, Callable[[MessageStore], Awaitable[object]]] = {
    "post 1 message": lambda store: store.post(_drafts(range(7, 8))),
    "post 64 messages in 64 chats": lambda store: store.post(_drafts(range(1, 65))),
    "post 500 messages in 500 chats": lambda store: store.post(_drafts(range(1, 501))),
    "a page of one history": lambda store: store.read(lambda now: list(now.messages([(ChatId(7), 1, 20)]))),
    "mark 64 chats read": lambda store: _mark(store, range(1, 65)),
    "log in with 2,000 chats": _log_in,
}


async def _measure(stores: dict[str, MessageStore]) -> dict[tuple[str, str], float]:
    """Medians, in milliseconds."""
    taken: dict[tuple[str, str], list[float]] = {}
    for _ in range(_ROUNDS):
        for what, work in _WORK.items():
            for name, store in stores.items():
                for _ in range(_EACH):
                    began = time.perf_counter()
                    await work(store)
                    taken.setdefault((what, name), []).append(1e3 * (time.perf_counter() - began))
    return {key: statistics.median(times) for key, times in taken.items()}


async def _compare(urls: dict[str, str]) -> None:
    databases = {name: Database(url, nested_loops=True) for name, url in urls.items()}
    stores = {name: MessageStore(database) for name, database in databases.items()}
    for store in stores.values():
        for _ in range(_LENGTH):
            await store.post(_drafts(range(1, _CHATS + 1)))
        await _mark(store, range(1, _CHATS + 1))
    found = await _measure(stores)
    for what in _WORK:
        plain, citus = (found[what, name] for name in urls)
        sys.stdout.write(f"{what:32}{plain:8.2f} ms{citus:8.2f} ms   {citus / plain:.1f}\n")
    for database in databases.values():
        await database.close()


def main() -> None:
    options = {"synchronous_commit": "on"}
    with tempfile.TemporaryDirectory(prefix="dragoman-citus-") as place, ProcessGroup() as process_group:
        directory = Path(place)
        directory.chmod(0o755)
        plain = PlainNode(directory / "plain", process_group, **options)
        citus = CitusCluster(directory / "citus", process_group, **options)
        for server in (plain, citus):
            server.start()
        with plain.database() as first, citus.database() as second:
            for url in (first, second):
                upgrade("message", url)
            distribute(second)
            asyncio.run(_compare({"PostgreSQL": first, "Citus": second}))
        for server in (plain, citus):
            server.stop()


if __name__ == "__main__":
    main()
