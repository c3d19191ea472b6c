"""Any two commands have the same results in one batch as one after the other, on both databases."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from itertools import product
from typing import NamedTuple

import pytest

from services.message.domain import ChangePermissions, Cursor
from services.message.service import posting
from services.message.store import MessageStore
from shared.contract.body import pack_edited, pack_segments
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.ids import AccountId, ChatId, Nonce
from shared.contract.message import (
    ChangeMessage,
    Draft,
    EditText,
    PinMessage,
    PostResults,
    React,
    ReadRange,
    RecallText,
)
from shared.contract.model import Text
from shared.database import Database
from shared.settings.messages import MessageSettings
from tests.unit.services.message.service.test_posting import (
    ANN,
    BAD_ACCOUNT,
    BatcherHarness,
    UnconfirmedCommit,
    running_harness,
)

NOBODY = AccountId(9)
"""An account that is not a member."""


class Post(NamedTuple):
    sender: AccountId = ANN
    nonce: int = 1
    text: bytes = b"one"
    is_late: bool = False

    def draft(self, chat: ChatId) -> Draft:
        """Returns a draft with its own body, as if it came from NATS."""
        return Draft(self.sender, chat, Nonce(self.nonce), 0 if self.is_late else 2**62, bytes(bytearray(self.text)))


POSTS = (
    Post(),
    Post(text=b"other"),
    Post(nonce=2),
    Post(is_late=True),
    Post(text=b"other", is_late=True),
    Post(NOBODY),
    Post(BAD_ACCOUNT),
)


@pytest.fixture
async def harness(database: Database) -> AsyncIterator[BatcherHarness]:
    async for harness in running_harness(database, MessageSettings(queue_seconds=60.0)):
        yield harness


async def results(harness: BatcherHarness, *requests: Sequence[Draft]) -> list[tuple[object, ...]]:
    """Submits the requests. For each draft, returns its index or error, and whether it is a repetition."""
    found: list[tuple[object, ...]] = []
    for request in requests:
        reply = await harness.submit("", *request).result
        assert isinstance(reply, PostResults)
        found += [
            (posted.index if posted else reply.failures[position].code, position in reply.again)
            for position, posted in enumerate(reply.posted)
        ]
    return found


async def texts(harness: BatcherHarness, chat: ChatId) -> list[tuple[int, bytes]]:
    return await harness.store.read(lambda snap: [(one.index, one.body) for one in snap.messages([(chat, 1, 9)])])


@pytest.mark.parametrize("stored_before", [False, True])
async def test_posts(harness: BatcherHarness, stored_before: bool) -> None:
    for number, pair in enumerate(product(POSTS, POSTS)):
        together, apart = ChatId(2 * number + 1), ChatId(2 * number + 2)
        if stored_before:
            for chat in (together, apart):
                await results(harness, [Post().draft(chat)])
        in_one = await results(harness, [post.draft(together) for post in pair])
        assert in_one == await results(harness, *[[post.draft(apart)] for post in pair]), pair
        assert await texts(harness, together) == await texts(harness, apart), pair


async def test_another_message_with_the_nonce_of_an_unconfirmed_one_is_a_conflict(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(posting, "_RETRY_SECONDS", 0.01)
    unconfirmed = UnconfirmedCommit(database.url.render_as_string(hide_password=False), commits=True)
    async for harness in running_harness(unconfirmed):
        pair = [Post().draft(ChatId(1)), Post(text=b"other").draft(ChatId(1))]
        assert [result for result, _ in await results(harness, pair)] == [1, ErrorCode.CONFLICT]
    await unconfirmed.close()


RANGES = ((1, 1, 0), (1, 4, 4), (3, 6, 6), (5, 5, 0), (8, 99, 0), (6, 2, 2))
"""The first index, the last index, and the index up to which everything is read."""


async def read(store: MessageStore, chat: ChatId, *batches: Sequence[tuple[int, ...]]) -> Cursor | None:
    for batch in batches:
        await store.mark_read([ReadRange(ANN, chat, *one) for one in batch], 9)
    return (await store.read(lambda snap: snap.cursors([(ANN, chat)]))).get((ANN, chat))


async def test_reads(database: Database) -> None:
    store = MessageStore(database)
    for number, (one, other) in enumerate(product(RANGES, RANGES)):
        together, apart = ChatId(2 * number + 1), ChatId(2 * number + 2)
        await store.post([Post(nonce=nonce).draft(chat) for chat in (together, apart) for nonce in range(10)])
        assert await read(store, together, [one, other]) == await read(store, apart, [one], [other]), (one, other)


def edit(text: str, nonce: int) -> EditText:
    return EditText(pack_edited((Text(text),)), Nonce(nonce))


Change = EditText | RecallText | React | PinMessage
CHANGES: tuple[Change, ...] = (
    edit("one", 11), edit("other", 11), edit("other", 12), RecallText(),
    React("👍", on=True), React("👍", on=False), PinMessage(on=True), PinMessage(on=False),
)  # fmt: skip
Result = tuple[object, ...]


async def change(store: MessageStore, index: int, made: Change) -> Result:
    permissions = ChangePermissions(1, 0, 0, leads=True, pins=True)
    try:
        revised = await store.change(ChangeMessage(ChatId(1), index, made, ANN), permissions)
    except RequestError as error:
        return (error.failure.code,)
    return revised.change is not None, revised.reply.count


async def test_changes_at_once(database: Database) -> None:
    """Each change is a separate transaction, so the results equal those of some order."""
    store, bodies = MessageStore(database), pack_segments((Text("first"),))
    for number, (one, other) in enumerate(product(CHANGES, CHANGES)):
        first = 3 * number + 1
        await store.post([Draft(ANN, ChatId(1), Nonce(100 + first + offset), 2**62, bodies) for offset in range(3)])
        at_once = list(await asyncio.gather(change(store, first, one), change(store, first, other)))
        in_order = [await change(store, first + 1, one), await change(store, first + 1, other)]
        reversed_order = [await change(store, first + 2, other), await change(store, first + 2, one)]
        assert at_once in (in_order, reversed_order[::-1]), (one, other)
