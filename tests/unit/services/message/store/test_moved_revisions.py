"""Changes of messages while their chats move to another database; on SQLite and PostgreSQL."""

import asyncio
from typing import Any, NamedTuple

import pytest
import sqlalchemy as sa

from services.message.domain import Rights
from services.message.store import copying
from services.message.store.placed import PlacedMessageStore
from shared.contract.body import RECALLED_BODY
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.ids import ChatId, Nonce
from shared.contract.message import ChangeMessage, EditText, PinMessage, React, RecallText
from shared.database import make_engine
from tests.unit.services.message.store.test_partition_move import (
    MOVED_CHATS,
    every,
    fill,
    killed_move,
    move,
    post,
    rows,
    stores,
)
from tests.unit.services.message.store.test_placing import ANN, CHATS

RIGHTS = Rights(1, 0, 0, leads=True, pins=True)
Change = EditText | RecallText | React | PinMessage


class Revisions(NamedTuple):
    """All rows of a database that changes of messages have left."""

    revs: dict[int, int]
    revisions: set[tuple[Any, ...]]
    edits: set[tuple[Any, ...]]
    reactions: set[tuple[Any, ...]]


def revisions(url: str) -> Revisions:
    engine = make_engine(url)
    with engine.connect() as connection:

        def select(text: str) -> list[Any]:
            return [tuple(row) for row in connection.execute(sa.text(f"SELECT {text}"))]

        found = Revisions(
            dict(select("chat_id, rev FROM heads WHERE rev > 0")),
            set(select('chat_id, slot, "index", rev, kind, actor, time FROM revisions')),
            {(*row, bytes(digest)) for *row, digest in select('chat_id, "index", nonce, rev, digest FROM edits')},
            set(select('chat_id, "index", emoji, account_id FROM reactions')),
        )
    engine.dispose()
    return found


def merged(urls: dict[str, str]) -> Revisions:
    a, b = (revisions(url) for url in urls.values())
    assert not a.revs.keys() & b.revs.keys()
    return Revisions(a.revs | b.revs, a.revisions | b.revisions, a.edits | b.edits, a.reactions | b.reactions)


async def change(found: dict[str, PlacedMessageStore], chat: ChatId, index: int, made: Change) -> int:
    """The `rev`, of whichever database serves the chat; repeated until one does."""
    while True:
        for store in found.values():
            if rev := await try_change(store, chat, index, made):
                return rev
        await asyncio.sleep(0)


async def try_change(store: PlacedMessageStore, chat: ChatId, index: int, made: Change) -> int:
    """The `rev`; 0 if the database does not serve the chat."""
    try:
        return (await store.change(ChangeMessage(chat, index, made, ANN), RIGHTS)).reply.rev
    except RequestError as error:
        if error.failure.code is not ErrorCode.UNAVAILABLE:
            raise
        return 0


def edit(number: int) -> EditText:
    return EditText(b"edited %d" % number, Nonce(1000 + number))


async def change_all(urls: dict[str, str], number: int = 1) -> None:
    """Of each kind, in each chat."""
    async with stores(urls) as found:
        for chat in CHATS:
            for made in (edit(number), React("👍", on=True), React("🎉", on=True), PinMessage(on=True)):
                await change(found, chat, 1, made)
            await change(found, chat, 2, RecallText())


async def test_everything_moves_there_and_back(urls: dict[str, str]) -> None:
    await fill(urls)
    await change_all(urls)
    before = {name: revisions(url) for name, url in urls.items()}
    messages = rows(urls["a"]).messages
    move(urls)
    a, b = (revisions(url) for url in urls.values())
    assert not {row[0] for row in (*a.revisions, *a.edits, *a.reactions)} & {*MOVED_CHATS}
    assert {chat: b.revs[chat] for chat in MOVED_CHATS} == dict.fromkeys(MOVED_CHATS, 5)
    async with stores(urls) as found:
        posted = await post(found, MOVED_CHATS, 2)  # repeats the recalled message
        assert {message.body for message in posted.values()} == {RECALLED_BODY}
    move(urls, target="a")
    assert {name: revisions(url) for name, url in urls.items()} == before
    assert rows(urls["a"]).messages == messages


async def test_no_change_is_lost_under_load(urls: dict[str, str]) -> None:
    await fill(urls)
    await change_all(urls)
    last: dict[ChatId, int] = {}
    async with stores(urls) as found:
        moving = asyncio.create_task(asyncio.to_thread(move, urls))
        number = 1
        while not moving.done() or number < 5:
            number += 1
            for chat in CHATS:
                await change(found, chat, 1, edit(number))
                await change(found, chat, 3, React(str(number % 7), on=number % 2 == 0))
                last[chat] = await change(found, chat, 1, PinMessage(on=number % 2 == 0))
        assert moving.exception() is None
    after = merged(urls)
    assert after.revs == last
    for chat in CHATS:
        home = rows(urls["b" if chat in revisions(urls["b"]).revs else "a"])
        assert home.messages[chat, 1][6] == edit(number).body
        assert len([row for row in after.edits if row[:2] == (chat, 1)]) == number + 1
        assert max(row[3] for row in after.revisions if row[0] == chat) == last[chat]


async def test_an_interrupted_move_goes_on(urls: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """At each transaction in turn; meanwhile the messages change."""
    monkeypatch.setattr(copying, "_LONGEST_PAUSE_SECONDS", 0.0)
    await fill(urls)
    await change_all(urls)
    last, number, was_killed = 0, 1, True
    while was_killed:
        last, number = last + 2 * every(urls), number + 1
        was_killed = killed_move(monkeypatch, urls, last, commits=True)
        expected: dict[ChatId, int] = {}
        async with stores(urls) as found:
            for chat in [chat for chat in CHATS if chat not in MOVED_CHATS]:
                expected[chat] = await change(found, chat, 1, edit(number))
            for chat in MOVED_CHATS:
                for store in found.values():
                    if rev := await try_change(store, chat, 1, edit(number)):
                        expected[chat] = rev
        move(urls)
        after = merged(urls)
        assert {chat: after.revs[chat] for chat in expected} == expected
        home = rows(urls["b"])
        for chat in set(MOVED_CHATS) & expected.keys():
            assert home.messages[chat, 1][6] == edit(number).body
        move(urls, target="a")
    assert last > 12


async def test_an_edit_in_the_target_does_not_stop_the_deletion(
    urls: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command is killed after the switch; then the texts in the two databases differ."""
    await fill(urls)
    await change_all(urls)
    last, rev = 0, 0
    while not rev:
        last += 1
        assert killed_move(monkeypatch, urls, last, commits=True)
        async with stores(urls) as found:
            rev = await try_change(found["b"], MOVED_CHATS[0], 1, edit(last + 1))
    move(urls)
    assert rows(urls["b"]).messages[MOVED_CHATS[0], 1][6] == edit(last + 1).body
