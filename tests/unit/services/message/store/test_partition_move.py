"""Moves of partitions between two databases: under load, interrupted at each step, given up, rejected; on SQLite and
PostgreSQL."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, NamedTuple

import pytest
import sqlalchemy as sa

from services.message.store import copying, partition_move
from services.message.store.moves import Move, MoveError
from services.message.store.partition_move import PartitionMove, describe_all, find_move, move_partitions
from services.message.store.placed import PlacedMessageStore
from services.message.store.placement import StoredPlacement, load
from services.message.store.placing import place
from shared.contract.errors import RequestError
from shared.contract.ids import AccountId, ChatId
from shared.contract.message import ReadRange
from shared.contract.model import Message
from shared.database import Database, make_engine
from shared.partitions import partition_of
from shared.placement import to_partitions
from tests.unit.services.message.store.test_placing import A_CHATS, B_CHATS, CHATS, HALVES, change, drafts

BOB = AccountId(2)
MOVED = sorted({partition_of(chat, 256) for chat in A_CHATS})[: len(A_CHATS) // 2]
"""Partitions of some of the chats of a."""
TEXT = ",".join(map(str, MOVED))
MOVED_CHATS = [chat for chat in CHATS if partition_of(chat, 256) in MOVED]


def move(urls: dict[str, str], moved: str = TEXT, target: str = "b", *, give_up: bool = False) -> list[str]:
    """The reports."""
    reports: list[str] = []
    move_partitions(urls, 256, moved, target, reports.append, give_up=give_up)
    return reports


class Rows(NamedTuple):
    """All rows of a database, without its placement; messages by chat and index."""

    messages: dict[tuple[int, int], tuple[Any, ...]]
    heads: dict[int, int]
    cursors: dict[tuple[int, int], tuple[int, str]]
    left: int
    """Rows of moves and changes, and triggers."""


def rows(url: str) -> Rows:
    engine = make_engine(url)
    triggers = "sqlite_master WHERE type = 'trigger'" if "sqlite" in url else "pg_trigger WHERE tgname LIKE 'record%'"
    with engine.connect() as connection:

        def select(text: str) -> list[Any]:
            return list(connection.execute(sa.text(f"SELECT {text}")))

        messages = select('chat_id, "index", id, sender, nonce, time, body FROM messages')
        found = Rows(
            {(row[0], row[1]): tuple(row) for row in messages},
            {row[0]: row[1] for row in select("chat_id, last_index FROM heads")},
            {
                (row[0], row[1]): (row[2], row[3])
                for row in select("account_id, chat_id, read_index, above FROM cursors")
            },
            sum(select(f"count(*) FROM {table}")[0][0] for table in ("moves", "changes", triggers)),
        )
    engine.dispose()
    return found


def served(url: str) -> set[int]:
    engine = make_engine(url)
    with engine.connect() as connection:
        stored = load(connection)
    engine.dispose()
    assert stored is not None
    return to_partitions(stored.ranges)


@asynccontextmanager
async def stores(urls: dict[str, str]) -> AsyncIterator[dict[str, PlacedMessageStore]]:
    databases = {name: Database(url) for name, url in urls.items()}
    found = {name: PlacedMessageStore(database) for name, database in databases.items()}
    for store in found.values():
        await store.refresh()
    yield found
    for database in databases.values():
        await database.close()


async def post(found: dict[str, PlacedMessageStore], chats: list[ChatId], nonce: int) -> dict[ChatId, Message]:
    """Post a message to each chat, wherever it is; the messages of those that are somewhere."""
    posted: dict[ChatId, Message] = {}
    for store in found.values():
        left = [chat for chat in chats if chat not in posted]
        results = (await store.post(drafts(left, nonce))).results if left else []
        posted |= {message.chat: message for message in results if message is not None}
    return posted


async def fill(urls: dict[str, str]) -> None:
    """Three messages in each chat, and read state."""
    place(urls, HALVES, 256)
    async with stores(urls) as found:
        for nonce in (1, 2, 3):
            assert len(await post(found, CHATS, nonce)) == len(CHATS)
        await found["a"].mark_read([ReadRange(BOB, chat, 1, 2) for chat in A_CHATS], 100)
        await found["b"].mark_read([ReadRange(BOB, chat, 2, 2) for chat in B_CHATS], 100)


def is_moved(key: tuple[int, int]) -> bool:
    return ChatId(key[0]) in MOVED_CHATS


def require_moved(before: dict[str, Rows], after: dict[str, Rows]) -> None:
    """All rows of before are there, each in its place, and nothing is left of the move. `before`: by name, the database
    that served the moved partitions last."""
    a, b = after["a"], after["b"]
    assert (a.left, b.left) == (0, 0)
    assert not a.heads.keys() & MOVED_CHATS
    assert not [chat for _, chat in a.cursors if chat in MOVED_CHATS]
    assert len([key for key in a.messages if is_moved(key)]) <= 1  # keeps its id from being assigned again
    everything = before["a"].messages | before["b"].messages
    for key, message in everything.items():
        home = b if is_moved(key) or ChatId(key[0]) in B_CHATS else a
        assert home.messages[key] == message
    cursors: dict[tuple[int, int], tuple[int, str]] = {}
    for found in before.values():
        cursors |= found.cursors
    for (account, chat), cursor in cursors.items():
        home = b if chat in MOVED_CHATS or chat in B_CHATS else a
        assert home.cursors[account, chat] == cursor
    for found in after.values():
        for chat, head in found.heads.items():
            assert sorted(index for one, index in found.messages if one == chat) == list(range(1, head + 1))


async def require_serving(urls: dict[str, str], nonce: int) -> None:
    """Every chat gets a message with the next index, and no id was assigned before."""
    before = {name: rows(url) for name, url in urls.items()}
    ids = {message[2] for found in before.values() for message in found.messages.values()}
    heads = before["a"].heads | before["b"].heads
    async with stores(urls) as found:
        posted = await post(found, CHATS, nonce)
        again = await post(found, CHATS, nonce)
    assert {chat: message.index for chat, message in posted.items()} == {chat: heads[chat] + 1 for chat in CHATS}
    assert not ids & {message.id for message in posted.values()}
    assert again == posted


class TestMove:
    async def test_all_rows_are_in_the_target_and_it_serves_them(self, urls: dict[str, str]) -> None:
        await fill(urls)
        before = {name: rows(url) for name, url in urls.items()}
        assert move(urls)[-1] == f"partitions {TEXT} are moved from a to b"
        require_moved(before, {name: rows(url) for name, url in urls.items()})
        assert served(urls["a"]) == set(range(128)) - set(MOVED)
        assert served(urls["b"]) == set(range(128, 256)) | set(MOVED)
        assert move(urls) == [f"b serves partitions {TEXT} already"]
        await require_serving(urls, 4)

    async def test_there_and_back(self, urls: dict[str, str]) -> None:
        await fill(urls)
        before = {name: rows(url) for name, url in urls.items()}
        for _ in range(2):
            move(urls)
            move(urls, target="a")
        after = {name: rows(url) for name, url in urls.items()}
        assert (after["a"], after["b"].heads) == (before["a"], before["b"].heads)
        await require_serving(urls, 4)

    async def test_ids_of_moved_messages_are_not_assigned_again(self, urls: dict[str, str]) -> None:
        await fill(urls)
        async with stores(urls) as found:
            last = (await post(found, MOVED_CHATS[:1], 4))[MOVED_CHATS[0]]
            move(urls)
            stayer = next(chat for chat in A_CHATS if chat not in MOVED_CHATS)
            assert (await post(found, [stayer], 4))[stayer].id > last.id

    async def test_nothing_is_lost_under_load(self, urls: dict[str, str]) -> None:
        """One retries its messages until they are stored, the other one marks them as read."""
        await fill(urls)
        sent: dict[ChatId, int] = {}
        async with stores(urls) as found:
            moving = asyncio.create_task(asyncio.to_thread(move, urls))
            nonce = 10
            while not moving.done() or nonce < 20:
                nonce += 1
                left = list(CHATS)
                while left:
                    for chat, message in (await post(found, left, nonce)).items():
                        left.remove(chat)
                        sent[chat] = message.index
                        assert message.nonce == nonce
                        await mark_read(found, chat, message.index)
                    await asyncio.sleep(0)
            assert moving.exception() is None
        assert sent == dict.fromkeys(CHATS, nonce - 10 + 3)
        after = {name: rows(url) for name, url in urls.items()}
        for chat in CHATS:
            home = after["a" if chat in A_CHATS and chat not in MOVED_CHATS else "b"]
            nonces = [home.messages[chat, index][4] for index in range(1, sent[chat] + 1)]
            assert nonces == [1, 2, 3, *range(11, nonce + 1)]
            assert home.cursors[BOB, chat][1].endswith(f"[4,{sent[chat]}]]")


async def mark_read(found: dict[str, PlacedMessageStore], chat: ChatId, index: int) -> None:
    while True:
        for store in found.values():
            with suppress(Exception):
                return await store.mark_read([ReadRange(BOB, chat, index, index)], 100)
        await asyncio.sleep(0)


class Killed(BaseException):
    """The command is killed."""


class Killer:
    """Kills the command at its `last` transaction that writes, before or after the commit: from then on, nothing of it
    reaches a database. Counts the transactions; two databases never serve a partition."""

    def __init__(self, urls: dict[str, str], last: int, *, commits: bool) -> None:
        self._urls = urls
        self._last = last
        self._commits = commits
        self._write, self._read = copying.write, copying.read
        self.writes = 0

    def write(self, engine: sa.Engine, work: Callable[..., Any], *arguments: object) -> Any:
        self.writes += 1
        if self.writes > self._last or (self.writes == self._last and not self._commits):
            raise Killed
        result = self._write(engine, work, *arguments)
        assert not served(self._urls["a"]) & served(self._urls["b"])
        if self.writes == self._last:
            raise Killed
        return result

    def read(self, engine: sa.Engine, work: Callable[..., Any], *arguments: object) -> Any:
        if self.writes >= self._last:
            raise Killed
        return self._read(engine, work, *arguments)


def killed_move(monkeypatch: pytest.MonkeyPatch, urls: dict[str, str], last: int, *, commits: bool) -> bool:
    """Whether it was killed before its end."""
    killer = Killer(urls, last, commits=commits)
    with monkeypatch.context() as patched:
        for module in (copying, partition_move):
            patched.setattr(module, "write", killer.write)
            patched.setattr(module, "read", killer.read)
        try:
            move(urls)
        except Killed:
            return True
    return False


def every(urls: dict[str, str]) -> int:
    """1 to interrupt each transaction. PostgreSQL, which takes three times as long as SQLite, has the same steps."""
    return 1 if urls["a"].startswith("sqlite") else 3


class TestInterrupted:
    @pytest.fixture(autouse=True)
    def _no_pauses(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(copying, "_LONGEST_PAUSE_SECONDS", 0.0)

    @pytest.mark.parametrize("commits", [False, True])
    async def test_the_same_command_goes_on(
        self, urls: dict[str, str], monkeypatch: pytest.MonkeyPatch, *, commits: bool
    ) -> None:
        """Interrupted at each transaction in turn. Meanwhile, messages are sent and read."""
        await fill(urls)
        last, nonce, unserved = 0, 10, 0
        while True:
            last, nonce = last + every(urls), nonce + 1
            was_killed = killed_move(monkeypatch, urls, last, commits=commits)
            async with stores(urls) as found:
                posted = await post(found, CHATS, nonce)
                for store, chats in zip(found.values(), (A_CHATS, B_CHATS), strict=True):
                    with suppress(RequestError):
                        await store.mark_read([ReadRange(BOB, chat, nonce - 8, nonce - 8) for chat in chats], 100)
            unserved += len(posted) < len(CHATS)
            assert set(CHATS) - posted.keys() <= set(MOVED_CHATS)
            place(urls, HALVES, 256)
            serving_last = ("a", "b") if set(MOVED) <= served(urls["b"]) else ("b", "a")
            before = {name: rows(urls[name]) for name in serving_last}
            move(urls)
            require_moved(before, {name: rows(url) for name, url in urls.items()})
            await require_serving(urls, 1000 + nonce)
            if not was_killed:
                break
            move(urls, target="a")
        assert last > 12
        assert unserved > 0 or every(urls) > 1

    async def test_it_is_given_up_before_the_switch(
        self, urls: dict[str, str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await fill(urls)
        last, given_up = 0, 0
        while killed_move(monkeypatch, urls, last := last + every(urls), commits=True):
            before = {name: rows(url) for name, url in urls.items()}
            if set(MOVED) <= served(urls["b"]):
                with pytest.raises(MoveError, match="b serves partitions"):
                    move(urls, give_up=True)
                move(urls)
                move(urls, target="a")
                continue
            move(urls, give_up=True)
            given_up += 1
            after = {name: rows(url) for name, url in urls.items()}
            assert (after["a"].messages, after["a"].heads) == (before["a"].messages, before["a"].heads)
            assert not after["b"].heads.keys() & MOVED_CHATS
            assert (after["a"].left, after["b"].left) == (0, 0)
            await require_serving(urls, 100 + last)
        assert given_up * every(urls) > 5

    async def test_an_earlier_command_that_was_frozen_writes_nothing_more(
        self, urls: dict[str, str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Before its switch, while another command gives the move up."""
        await fill(urls)
        switch = PartitionMove._serve_by_target

        def late(work: PartitionMove, version: int) -> None:
            move(urls, give_up=True)
            switch(work, version)

        monkeypatch.setattr(PartitionMove, "_serve_by_target", late)
        with pytest.raises(MoveError, match="another command has continued this move"):
            move(urls)
        assert served(urls["a"]) == set(range(128))
        assert served(urls["b"]) == set(range(128, 256))
        await require_serving(urls, 4)

    async def test_the_source_serves_again_when_the_last_changes_take_too_long(
        self, urls: dict[str, str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await fill(urls)
        with monkeypatch.context() as patched:
            patched.setattr(partition_move, "_UNSERVED_SECONDS", -1.0)
            with pytest.raises(MoveError, match="the chats change faster than they are copied: a serves them"):
                move(urls)
        assert served(urls["a"]) == set(range(128))
        await require_serving(urls, 4)
        move(urls)
        await require_serving(urls, 5)

    async def test_a_message_that_is_not_in_the_target_is_not_deleted(
        self, urls: dict[str, str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await fill(urls)
        report: list[str] = []

        def lose(line: str) -> None:
            report.append(line)
            if "deleting them" in line:
                change(urls["b"], served="128-255")
                engine = make_engine(urls["b"])
                with engine.begin() as connection:
                    connection.execute(sa.text("DELETE FROM messages WHERE chat_id = :chat"), {"chat": MOVED_CHATS[0]})
                engine.dispose()

        with pytest.raises(MoveError, match=f"message 1 of chat {MOVED_CHATS[0]} is another one in the target"):
            move_partitions(urls, 256, TEXT, "b", lose)
        assert {(MOVED_CHATS[0], index) for index in (1, 2, 3)} <= rows(urls["a"]).messages.keys()


class TestRejected:
    @pytest.mark.parametrize(
        ("moved", "target", "reason"),
        [
            ("0-63", "c", "message.databases has no database c, only a, b"),
            ("0-256", "b", "there is no partition 256: the last of 256 is 255"),
            ("63-0", "b", "the range 63-0 ends before it begins"),
            ("all", "b", "should be ranges of partitions"),
            ("", "b", "no partitions are named"),
            ("100-140", "b", "not in one database, but 100-127 in a, 128-140 in b"),
        ],
    )
    def test_a_wrong_request(self, urls: dict[str, str], moved: str, target: str, reason: str) -> None:
        place(urls, HALVES, 256)
        with pytest.raises(MoveError, match=reason):
            move(urls, moved, target)
        assert describe_all(urls, 256) == ["a: partitions 0-127, version 1", "b: partitions 128-255, version 1"]

    def test_a_database_that_is_away(self, urls: dict[str, str]) -> None:
        place(urls, HALVES, 256)
        away = "sqlite:////no/such/directory/b.db"
        with pytest.raises(MoveError, match="the database b does not answer"):
            move({**urls, "b": away})
        with pytest.raises(MoveError, match="has not begun"):
            move(urls, give_up=True)

    async def test_another_move_while_one_is_unfinished(
        self, urls: dict[str, str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await fill(urls)
        assert killed_move(monkeypatch, urls, 3, commits=True)
        with pytest.raises(MoveError, match=f"one move at a time; the move of partitions {TEXT} from a to b is unfini"):
            move(urls, "200", "a")
        assert describe_all(urls, 256)[2:] == [f"the move of partitions {TEXT} from a to b is unfinished"]
        assert move(urls, give_up=True)[-1] == f"the move of partitions {TEXT} from a to b is given up"

    def test_a_wrong_map(self) -> None:
        """Pure."""

        def stored(name: str, partitions: str) -> StoredPlacement:
            return StoredPlacement(name, 256, 0, 2, 1, partitions)

        overlapping = {"a": stored("a", "0-128"), "b": stored("b", "128-255")}
        with pytest.raises(MoveError, match="the databases a and b both serve partition 128"):
            find_move(overlapping, {}, {1}, "b")
        holey = {"a": stored("a", "0-99"), "b": stored("b", "128-255")}
        with pytest.raises(MoveError, match="no database serves partitions 100-127"):
            find_move(holey, {}, {1, *range(100, 128)}, "b")
        unfinished = {"a": Move("a", "b", "100-127")}
        with pytest.raises(MoveError, match="no database serves partitions 100; the move of partitions 100-127 from a"):
            find_move(holey, unfinished, {100}, "b")
        assert find_move(holey, unfinished, set(range(100, 128)), "b") == unfinished["a"]
