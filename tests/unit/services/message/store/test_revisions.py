"""Edits, recalls, reactions and pins, on both databases.

Tests permissions, repetitions, limits, and what stays unchanged.
"""

import asyncio
import threading
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa

from services.message.app import expire_all
from services.message.domain import MAX_EDITS, MAX_EMOJI, MAX_PINS, ChangePermissions
from services.message.store import MessageStore, Revised
from shared.contract.body import EXPIRED_BODY, RECALLED_BODY, pack_edited, pack_segments, unpack
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.ids import AccountId, ChatId, Nonce
from shared.contract.message import (
    Changed,
    ChangeKind,
    ChangeMessage,
    Draft,
    EditText,
    MessageChange,
    PinMessage,
    React,
    Reactions,
    RecallText,
)
from shared.contract.model import Image, Media, Mention, Message, Recalled, Text
from shared.database import Database
from tests.support.statements import executed, watched

ANN, BOB = AccountId(1), AccountId(2)
ROOM = ChatId(1)
MEMBER = ChangePermissions(1, 0, 0, leads=False, pins=True)
LEADER = MEMBER._replace(leads=True)
Change = EditText | RecallText | React | PinMessage


@pytest.fixture
def store(database: Database) -> MessageStore:
    return MessageStore(database)


def draft(number: int, text: str = "first") -> Draft:
    return Draft(ANN, ROOM, Nonce(number), 2**62, pack_segments((Text(text),)))


def edit(text: str, nonce: int, if_rev: int | None = None) -> EditText:
    return EditText(pack_edited((Text(text),)), Nonce(nonce), if_rev)


async def post(store: MessageStore, *numbers: int) -> None:
    await store.post([draft(number) for number in numbers])


async def change(
    store: MessageStore, index: int, made: Change, actor: AccountId = ANN, permissions: ChangePermissions = MEMBER
) -> Revised:
    return await store.change(ChangeMessage(ROOM, index, made, actor), permissions)


async def rejected(
    store: MessageStore, index: int, made: Change, actor: AccountId = ANN, permissions: ChangePermissions = MEMBER
) -> ErrorCode:
    with pytest.raises(RequestError) as caught:
        await change(store, index, made, actor, permissions)
    return caught.value.failure.code


async def message(store: MessageStore, index: int = 1) -> Message:
    (found,) = await store.read(lambda snap: list(snap.messages([(ROOM, index, index)])))
    return found


async def changes(store: MessageStore, after: int = 0, account: AccountId = ANN) -> list[MessageChange]:
    return await store.read(lambda snap: snap.changes(ROOM, after, (1, 100), account, 100))


async def rev(store: MessageStore) -> int:
    return (await store.read(lambda snap: snap.activity([ROOM])))[ROOM].rev


async def test_an_edit_replaces_the_body_alone(store: MessageStore) -> None:
    await post(store, 1, 2)
    before = await message(store)
    revised = await change(store, 1, edit("second", 10))
    after = await message(store)
    assert (after.id, after.index, after.time, after.nonce) == (before.id, before.index, before.time, before.nonce)
    body = unpack(after.body)
    assert (body.segments, body.edited) == ((Text("second"),), True)
    assert revised.reply.rev == await rev(store) == 1
    assert revised.change is not None
    assert (revised.change.kind, revised.change.by, revised.change.body) == (ChangeKind.EDIT, ANN, after.body)
    assert [(one.rev, one.index, one.kind, one.body) for one in await changes(store)] == [
        (1, 1, ChangeKind.EDIT, after.body)
    ]


async def test_a_repeated_edit_changes_nothing_also_after_the_next_one(store: MessageStore) -> None:
    await post(store, 1)
    first = await change(store, 1, edit("second", 10))
    await change(store, 1, edit("third", 11))
    again = await change(store, 1, edit("second", 10))
    assert (again.reply.rev, again.change) == (first.reply.rev, None)
    assert unpack((await message(store)).body).segments == (Text("third"),)
    assert await rejected(store, 1, edit("other", 10)) is ErrorCode.CONFLICT
    assert await rejected(store, 1, edit("other", 1)) is ErrorCode.CONFLICT, "the nonce of the message itself"
    assert await rev(store) == 2


async def test_a_repeated_change_has_the_time_of_the_first_one(database: Database) -> None:
    """So the sender and the other members show the same time."""
    times = iter(range(1, 100))
    store = MessageStore(database, lambda: next(times))
    await post(store, 1)
    for made in (edit("second", 10), React("👍", on=True), PinMessage(on=True), RecallText()):
        first = await change(store, 1, made)
        assert (await change(store, 1, made)).reply == first.reply


async def test_an_edit_repeated_at_an_edge_of_an_older_version_changes_nothing(store: MessageStore) -> None:
    await post(store, 1)
    picture = Media("00ff", "cat.png", 512, "ab", "image/png", width=320, height=200)
    first = await change(store, 1, EditText(pack_edited((Image(picture),)), Nonce(10)))
    older = msgspec.msgpack.encode([["i", ["00ff", "cat.png", 512, "ab", "image/png", 0]], ["d", "edited"]])
    again = await change(store, 1, EditText(older, Nonce(10)))
    assert (again.reply.rev, again.change) == (first.reply.rev, None)


async def test_an_edit_may_require_that_nobody_has_edited_since(store: MessageStore) -> None:
    await post(store, 1)
    await change(store, 1, edit("second", 10, if_rev=0))
    await change(store, 1, React("👍", on=True), BOB)
    assert await rejected(store, 1, edit("third", 11, if_rev=0)) is ErrorCode.CONFLICT
    assert (await change(store, 1, edit("third", 11, if_rev=1))).reply.rev == 3, "a reaction is no edit"


async def test_a_repeated_message_is_compared_with_its_first_text(store: MessageStore) -> None:
    """This also holds after an edit or a recall. The message is then delivered with its present text."""
    await post(store, 1)
    for made in (edit("second", 10), RecallText()):
        await change(store, 1, made)
        again = await store.post([draft(1)])
        assert again.duplicates == 1
        assert again.changed == {(ROOM, 1, draft(1).body)}
        assert again.results == [await message(store)]
        other = await store.post([draft(1, "second")])
        assert (other.duplicates, other.changed) == (1, frozenset())


async def test_a_recall_leaves_nothing_of_the_message(store: MessageStore, database: Database) -> None:
    await post(store, 1)
    await change(store, 1, edit("second", 10))
    await change(store, 1, React("👍", on=True), BOB)
    await change(store, 1, PinMessage(on=True))
    recalled = await change(store, 1, RecallText())
    assert (await message(store)).body == RECALLED_BODY
    assert unpack(RECALLED_BODY).segments == (Recalled(),)
    assert await store.read(lambda snap: (snap.reactions([(ROOM, 1, 1)], ANN), snap.pins([ROOM]))) == ({}, {})
    assert (await change(store, 1, RecallText())).reply.rev == recalled.reply.rev
    for made in (edit("third", 11), React("👍", on=True), PinMessage(on=True)):
        assert await rejected(store, 1, made) is ErrorCode.NOT_FOUND
    last = (await changes(store))[-1]
    assert (last.kind, last.body, last.rev) == (ChangeKind.RECALL, b"", 4)

    def bodies(connection: sa.Connection) -> list[bytes]:
        return [bytes(one) for one in connection.execute(sa.text("SELECT digest FROM edits")).scalars()]

    assert all(len(one) == 16 for one in await database.read(bodies))


async def test_rights(store: MessageStore) -> None:
    await post(store, 1)
    old = MEMBER._replace(edit_from=2**62, recall_from=2**62)
    assert await rejected(store, 1, edit("second", 10), BOB, LEADER) is ErrorCode.FORBIDDEN
    assert await rejected(store, 1, edit("second", 10), ANN, old) is ErrorCode.FORBIDDEN
    assert await rejected(store, 1, RecallText(), BOB) is ErrorCode.FORBIDDEN
    assert await rejected(store, 1, RecallText(), ANN, old) is ErrorCode.FORBIDDEN
    assert await rejected(store, 1, PinMessage(on=True), ANN, MEMBER._replace(pins=False)) is ErrorCode.FORBIDDEN
    assert await rejected(store, 1, React("👍", on=True), BOB, MEMBER._replace(first_index=2)) is ErrorCode.NOT_FOUND
    assert await rejected(store, 2, React("👍", on=True)) is ErrorCode.NOT_FOUND
    with pytest.raises(RequestError):
        await store.change(ChangeMessage(ChatId(9), 1, RecallText(), ANN), MEMBER)
    assert await rev(store) == 0
    assert (await change(store, 1, RecallText(), BOB, LEADER._replace(recall_from=2**62))).change is not None


async def test_reactions_count_each_account_once(store: MessageStore) -> None:
    await post(store, 1)
    for actor in (ANN, BOB, BOB):
        await change(store, 1, React("👍", on=True), actor)
    await change(store, 1, React("🎉", on=True), BOB)
    assert await rev(store) == 3
    assert await store.read(lambda snap: snap.reactions([(ROOM, 1, 9)], ANN)) == {
        (ROOM, 1): Reactions({"🎉": 1, "👍": 2}, ["👍"])
    }
    gone = await change(store, 1, React("👍", on=False), BOB)
    assert gone.change is not None
    assert (gone.change.reactions, gone.change.emoji, gone.change.on, gone.reply.count) == (
        {"🎉": 1, "👍": 1}, "👍", False, 1,
    )  # fmt: skip
    again = await change(store, 1, React("👍", on=False), BOB)
    assert again.reply == Changed(4, again.reply.time, 1)
    (last,) = await changes(store, account=BOB)
    assert (last.rev, last.reactions, last.mine) == (4, {"🎉": 1, "👍": 1}, ["🎉"]), "one row for all reactions"


async def test_an_earlier_reaction_that_is_repeated_is_not_announced_as_the_last_one(store: MessageStore) -> None:
    await post(store, 1)
    await change(store, 1, React("👍", on=True), ANN)
    last = await change(store, 1, React("🎉", on=True), ANN)
    repeated = await change(store, 1, React("👍", on=True), ANN)
    assert last.change is not None
    assert repeated.again == msgspec.structs.replace(last.change, emoji="")


async def test_the_forms_of_an_emoji_are_one_reaction(store: MessageStore) -> None:
    await post(store, 1)
    await change(store, 1, React("👍", on=True), ANN)
    selected = await change(store, 1, React("👍\ufe0f", on=True), BOB)
    assert selected.change is not None
    assert (selected.change.reactions, selected.change.emoji, selected.reply.count) == ({"👍": 2}, "👍", 2)
    assert (await change(store, 1, React("👍\ufe0e", on=True), BOB)).reply.count == 2, "made before"
    bare = await change(store, 1, React("\u2764", on=True), ANN)
    assert bare.change is not None
    assert bare.change.reactions == {"👍": 2, "\u2764\ufe0f": 1}
    assert (await change(store, 1, React("\u2764\ufe0e", on=False), ANN)).reply.count == 0
    assert await rejected(store, 1, React("\ufe0f", on=True)) is ErrorCode.INVALID


async def test_reactors_come_in_pages_by_account(store: MessageStore) -> None:
    await post(store, 1, 2)
    accounts = [AccountId(number) for number in (300, 7, 20, 2**53 - 1, 1)]
    for actor in accounts:
        await change(store, 1, React("👍", on=True), actor)
        await change(store, 2, React("💧", on=True), actor)
    for emoji in ("🎉", "❤️"):
        await change(store, 1, React(emoji, on=True), AccountId(20))
    await change(store, 1, React("🎉", on=True), AccountId(8))

    async def page(emoji: str = "", after: int = 0, most: int = 9) -> list[tuple[AccountId, list[str]]]:
        return await store.read(lambda snap: snap.reactors((ROOM, 1), emoji, AccountId(after), most))

    everyone = [(1, ["👍"]), (7, ["👍"]), (8, ["🎉"]), (20, ["❤️", "🎉", "👍"]), (300, ["👍"]), (2**53 - 1, ["👍"])]
    assert await page() == everyone
    for most in (1, 2, 5):
        pages, after = [], 0
        while found := await page(after=after, most=most):
            pages += found
            after = found[-1][0]
        assert pages == everyone
    assert await page("🎉") == [(8, ["🎉"]), (20, ["🎉"])]
    assert await page("🎉", most=1) == [(8, ["🎉"])]
    assert await page("🎉", after=8) == [(20, ["🎉"])]
    assert await page("x") == []
    await change(store, 1, RecallText())
    assert await page() == []


async def test_a_page_of_reactors_is_whole_with_most_emoji(store: MessageStore) -> None:
    await post(store, 1)
    for actor in (ANN, BOB, AccountId(3)):
        for number in range(MAX_EMOJI):
            await change(store, 1, React(str(number), on=True), actor)
    found = await store.read(lambda snap: snap.reactors((ROOM, 1), "", AccountId(0), 2))
    assert [(account, len(emojis)) for account, emojis in found] == [(ANN, MAX_EMOJI), (BOB, MAX_EMOJI)]


async def test_limits(store: MessageStore, monkeypatch: pytest.MonkeyPatch) -> None:
    await post(store, *range(1, MAX_PINS + 2))
    for number in range(MAX_EMOJI):
        await change(store, 1, React(str(number), on=True))
    assert await rejected(store, 1, React("x", on=True), BOB) is ErrorCode.LIMIT
    await change(store, 1, React("0", on=True), BOB)
    for index in range(1, MAX_PINS + 1):
        await change(store, index, PinMessage(on=True))
    assert await rejected(store, MAX_PINS + 1, PinMessage(on=True)) is ErrorCode.LIMIT
    await change(store, 1, PinMessage(on=False))
    await change(store, MAX_PINS + 1, PinMessage(on=True))
    assert (await store.read(lambda snap: snap.pins([ROOM])))[ROOM] == list(range(2, MAX_PINS + 2))
    monkeypatch.setattr("services.message.store.revisions.MAX_EDITS", 2)
    await change(store, 2, edit("a", 1001))
    await change(store, 2, edit("b", 1002))
    assert await rejected(store, 2, edit("c", 1003)) is ErrorCode.LIMIT
    assert MAX_EDITS == 100


async def test_changes_at_once_get_numbers_without_a_hole(store: MessageStore) -> None:
    await post(store, *range(1, 21))
    made = [change(store, index, React("👍", on=True), AccountId(index)) for index in range(1, 21)]
    posts = [store.post([draft(100 + number)]) for number in range(5)]
    revised, _ = await asyncio.gather(asyncio.gather(*made), asyncio.gather(*posts))
    assert sorted(one.reply.rev for one in revised) == list(range(1, 21))
    assert (await store.read(lambda snap: snap.activity([ROOM])))[ROOM][::2] == (25, 20)


async def test_expired_messages_lose_their_reactions_and_former_texts(store: MessageStore, database: Database) -> None:
    """The hashes of edits are also removed, because a short text could be guessed from its hash."""
    await post(store, 1)
    await change(store, 1, edit("second", 10))
    await change(store, 1, React("👍", on=True))
    assert await expire_all(store, 2**62, 0) == 1
    assert (await message(store)).body == EXPIRED_BODY
    assert await store.read(lambda snap: snap.reactions([(ROOM, 1, 1)], ANN)) == {}
    assert await database.read(lambda connection: connection.execute(sa.text("SELECT nonce FROM edits")).all()) == []
    assert not [one for one in await changes(store) if b"second" in one.body]
    assert await rejected(store, 1, edit("third", 11)) is ErrorCode.NOT_FOUND
    assert (await store.post([draft(1)])).duplicates == 1


async def test_a_message_that_expires_during_a_reaction_keeps_no_reaction(store: MessageStore) -> None:
    await post(store, 1)
    loop, expired, expiring = asyncio.get_running_loop(), threading.Event(), list[asyncio.Task[int]]()

    async def expire() -> int:
        try:
            return await expire_all(store, 2**62, 0)
        finally:
            expired.set()

    def expire_now(_connection: Any, statement: str, _parameters: Any, _several: bool) -> None:
        if "INSERT INTO reactions" in statement:
            loop.call_soon_threadsafe(lambda: expiring.append(loop.create_task(expire())))
            expired.wait(0.5)  # expiry must wait for this transaction

    with watched(expire_now):
        await change(store, 1, React("👍", on=True))
        assert await expiring[0] == 1
    assert await store.read(lambda snap: snap.reactions([(ROOM, 1, 1)], ANN)) == {}


async def test_an_expired_message_can_be_unpinned(store: MessageStore) -> None:
    """Otherwise it would for ever count as one of the chat's pins."""
    await post(store, 1)
    await change(store, 1, PinMessage(on=True))
    await expire_all(store, 2**62, 0)
    assert await rejected(store, 1, PinMessage(on=False), ANN, MEMBER._replace(pins=False)) is ErrorCode.FORBIDDEN
    await change(store, 1, PinMessage(on=False))
    assert await store.read(lambda snap: snap.pins([ROOM])) == {}
    assert await rejected(store, 1, PinMessage(on=True)) is ErrorCode.NOT_FOUND


async def test_posting_executes_no_further_statement(database: Database) -> None:
    """The statements advance and lock the last indexes, read them (SQLite), and insert.

    There are no more even in a chat whose messages change.
    """
    store = MessageStore(database)
    await post(store, 1)
    await change(store, 1, edit("second", 10))
    with executed() as statements:
        await post(store, 2)
    assert [statement.split()[0] for statement in statements] == [
        "INSERT",
        *(["SELECT"] if database.is_sqlite else []),
        "INSERT",
    ]


def test_no_client_can_pack_a_recalled_expired_or_edited_message() -> None:
    assert pack_segments((Text("[撤回]"),)) != RECALLED_BODY
    assert pack_segments(unpack(EXPIRED_BODY).segments) != EXPIRED_BODY
    assert unpack(pack_segments((Text("[撤回]"),), "pipe")).segments == (Text("[撤回]"),)
    assert not unpack(pack_segments((Text("a"),), "pipe")).edited


async def test_an_edited_reply_replies_to_the_same_message(store: MessageStore) -> None:
    await post(store, 1)
    reply = Draft(ANN, ROOM, Nonce(2), 2**62, pack_segments((Mention(BOB, "@Bob"),), reply_to=1))
    await store.post([reply])
    made = EditText(pack_edited((Text("oh "), Mention(BOB, "@Bob"))), Nonce(9))
    edited = await change(store, 2, made)
    body = unpack((await message(store, 2)).body)
    assert (body.reply_to, body.edited, body.rich) == (1, True, (Text("oh "), Mention(BOB, "@Bob")))
    assert edited.change is not None
    assert unpack(edited.change.body) == body
    assert (await change(store, 2, made)).change is None
    assert (await store.post([reply])).duplicates == 1
    await change(store, 2, RecallText())
    assert unpack((await message(store, 2)).body).reply_to == 0
