"""Assigning partitions to databases, and what each serves afterwards; on SQLite and PostgreSQL."""

from typing import Any

import pytest
import sqlalchemy as sa

from services.message.service.reactors import find_reactors
from services.message.service.readers import find_readers
from services.message.store import MessageStore
from services.message.store.placed import PlacedMessageStore
from services.message.store.placement import NotPlaced, load, save
from services.message.store.placing import place
from services.message.tables import heads, messages
from shared.clock import now_ms
from shared.contract.errors import RequestError
from shared.contract.ids import AccountId, ChatId, Nonce
from shared.contract.message import Draft, ReadRange
from shared.contract.reactions import FindReactors
from shared.contract.receipts import FindReaders
from shared.database import Database, make_engine
from shared.partitions import partition_of
from shared.placement import PartitionRange
from tests.support.statements import executed

ANN = AccountId(1)
HALVES: dict[str, list[PartitionRange]] = {"a": [(0, 127)], "b": [(128, 255)]}
CHATS = [ChatId(number) for number in range(1, 13)]
A_CHATS = [chat for chat in CHATS if partition_of(chat, 256) < 128]
B_CHATS = [chat for chat in CHATS if partition_of(chat, 256) >= 128]


def drafts(chats: list[ChatId], nonce: int = 1) -> list[Draft]:
    return [Draft(ANN, chat, Nonce(nonce), now_ms() + 60_000, b"x") for chat in chats]


def change(url: str, **changes: object) -> None:
    """Change the placement, as another process does."""
    engine = make_engine(url)
    with engine.begin() as connection:
        stored = load(connection)
        assert stored is not None
        save(connection, stored._replace(version=stored.version + 1, **changes))  # type: ignore[arg-type]
    engine.dispose()


def add_message(url: str, chat: int, number: int) -> None:
    engine = make_engine(url)
    with engine.begin() as connection:
        connection.execute(
            sa.insert(messages).values(id=number, chat_id=chat, index=1, sender=1, nonce=1, time=1, body=b"")
        )
        connection.execute(sa.insert(heads).values(chat_id=chat, last_index=1, last_time=1))
    engine.dispose()


class TestPlacing:
    def test_is_safe_to_repeat(self, urls: dict[str, str]) -> None:
        first = place(urls, HALVES, 256)
        assert first == ["a: partitions 0-127, version 1", "b: partitions 128-255, version 1"]
        assert place(urls, HALVES, 256) == first

    def test_the_stored_placement_overrides_the_settings(self, urls: dict[str, str]) -> None:
        place(urls, HALVES, 256)
        swapped = {"a": HALVES["b"], "b": HALVES["a"]}
        assert place(urls, swapped, 256) == ["a: partitions 0-127, version 1", "b: partitions 128-255, version 1"]

    def test_a_new_database_gets_none_of_another_s_partitions(self, urls: dict[str, str]) -> None:
        place({"a": urls["a"]}, {"a": [(0, 255)]}, 256)
        with pytest.raises(NotPlaced, match="partitions 128-255 are in the database a already"):
            place(urls, HALVES, 256)
        assert place(urls, {"a": [(0, 255)], "b": []}, 256)[1] == "b: partitions none, version 1"

    def test_two_urls_that_were_exchanged_are_found(self, urls: dict[str, str]) -> None:
        place(urls, HALVES, 256)
        with pytest.raises(NotPlaced, match=r"the url of the database a .* is that of the database b"):
            place({"a": urls["b"], "b": urls["a"]}, HALVES, 256)

    def test_another_number_of_partitions_is_rejected(self, urls: dict[str, str]) -> None:
        place(urls, HALVES, 256)
        with pytest.raises(NotPlaced, match=r"message\.partitions is 128, but"):
            place(urls, {"a": [(0, 63)], "b": [(64, 127)]}, 128)

    def test_the_chats_of_a_sole_database_stay_in_it(self, urls: dict[str, str]) -> None:
        add_message(urls["a"], B_CHATS[0], 1)
        with pytest.raises(NotPlaced, match="the database a holds chats of partitions"):
            place(urls, HALVES, 256)
        assert place(urls, {"a": [(0, 255)], "b": []}, 256)

    def test_ids_of_a_sole_database_are_not_assigned_again(self, urls: dict[str, str]) -> None:
        """Its space is the first one, whatever its name is."""
        add_message(urls["b"], B_CHATS[0], 7)
        place(urls, HALVES, 256)
        spaces = {}
        for name, url in urls.items():
            engine = make_engine(url)
            with engine.connect() as connection:
                stored = load(connection)
                assert stored is not None
                spaces[name] = stored.id_space
            engine.dispose()
        assert spaces == {"a": 1, "b": 0}

    def test_two_databases_with_messages_have_the_same_ids(self, urls: dict[str, str]) -> None:
        add_message(urls["a"], A_CHATS[0], 1)
        add_message(urls["b"], B_CHATS[0], 1)
        with pytest.raises(NotPlaced, match="has messages already"):
            place(urls, HALVES, 256)


class TestPlacedStore:
    async def test_drafts_of_other_databases_have_no_result(self, urls: dict[str, str]) -> None:
        place(urls, HALVES, 256)
        database = Database(urls["a"])
        store = PlacedMessageStore(database)
        await store.refresh()
        results = (await store.post(drafts(CHATS))).results
        assert [result is not None for result in results] == [chat in A_CHATS for chat in CHATS]
        with pytest.raises(RequestError, match="another database"):
            await store.read(lambda snapshot: snapshot.heads(CHATS))
        with pytest.raises(RequestError, match="another database"):
            await store.mark_read([ReadRange(ANN, B_CHATS[0], 1, 1)], 100)
        readers, reactors = FindReaders(B_CHATS[0], 1, actor=ANN), FindReactors(B_CHATS[0], 1, actor=ANN)
        with pytest.raises(RequestError, match="another database"):
            await store.read(lambda snapshot: find_readers(snapshot, readers, [ANN]))
        with pytest.raises(RequestError, match="another database"):
            await store.read(lambda snapshot: find_reactors(snapshot, reactors, 1))
        await database.close()

    async def test_a_change_takes_effect_at_once(self, urls: dict[str, str]) -> None:
        """Without waiting for the next refresh: the table is compared in each transaction."""
        place(urls, HALVES, 256)
        database = Database(urls["a"])
        store = PlacedMessageStore(database)
        await store.refresh()
        assert None not in (await store.post(drafts(A_CHATS))).results
        change(urls["a"], served="")
        assert set((await store.post(drafts(A_CHATS, 2))).results) == {None}
        change(urls["a"], served="0-255")
        assert None not in (await store.post(drafts(CHATS, 3))).results
        change(urls["a"], served="")
        with pytest.raises(RequestError, match="another database"):
            await store.read(lambda snapshot: snapshot.heads(CHATS))
        change(urls["a"], served="0-255")
        assert await store.read(lambda snapshot: snapshot.heads(CHATS))
        await database.close()

    async def test_a_change_that_is_read_before_the_transaction_takes_effect_in_it(
        self, urls: dict[str, str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The batch may wait for a thread while another task reads the placement. Nothing is committed in a chat that
        is served elsewhere by then: such a message would be lost."""
        place(urls, HALVES, 256)
        database = Database(urls["a"])
        store = PlacedMessageStore(database)
        await store.refresh()
        write = database.write

        async def write_late(*arguments: Any, **options: Any) -> Any:
            monkeypatch.undo()
            change(urls["a"], served="")
            await store.refresh()
            return await write(*arguments, **options)

        monkeypatch.setattr(database, "write", write_late)
        assert set((await store.post(drafts(A_CHATS))).results) == {None}
        await database.close()

    async def test_ids_come_from_the_own_space_after_a_copy_from_another(self, urls: dict[str, str]) -> None:
        place(urls, HALVES, 256)
        add_message(urls["a"], A_CHATS[0], 2**45 + 5)
        database = Database(urls["a"])
        store = PlacedMessageStore(database)
        await store.refresh()
        results = (await store.post(drafts(A_CHATS[1:]))).results
        assert [result and result.id for result in results] == list(range(1, len(A_CHATS)))
        await database.close()


async def test_a_sole_database_runs_no_further_statement(urls: dict[str, str]) -> None:
    """For a batch to chats that are known: heads, messages, heads."""
    database = Database(urls["a"])
    store = MessageStore(database)
    await store.post(drafts(CHATS))
    with executed() as statements:
        await store.post(drafts(CHATS, 2))
    await database.close()
    assert [statement.split()[0] for statement in statements] == ["SELECT", "INSERT", "UPDATE"]
