"""Tests the drafts that an account has written but not sent, on both databases."""

import asyncio
import itertools

import pytest

from services.message.store import MessageStore
from shared.contract.drafts import DraftPreview, DraftSaved, SavedDraft, SaveDraft
from shared.contract.ids import AccountId, ChatId, Nonce
from shared.contract.message import Draft
from shared.database import Database

ANN, BOB = AccountId(1), AccountId(2)
ROOM, HALL = ChatId(1), ChatId(2)


@pytest.fixture
def store(database: Database) -> MessageStore:
    """A store whose clock counts 101, 102 …"""
    return MessageStore(database, itertools.count(101).__next__)


def save(text: str, base: int = 0, reply_to: int = 0, actor: AccountId = ANN) -> SaveDraft:
    return SaveDraft(ROOM, text, reply_to, base, actor=actor)


async def post(store: MessageStore, nonce: int, saved: int, deadline: int = 2**62) -> bool:
    """Posts a message. Returns whether it is posted."""
    draft = Draft(ANN, ROOM, Nonce(nonce), deadline, b"x", saved=saved)
    return (await store.post([draft])).results != [None]


async def test_a_device_changes_what_it_knows(store: MessageStore) -> None:
    assert await store.find_draft(ANN, ROOM) == SavedDraft()
    assert await store.save_draft(save("h")) == DraftSaved(101)
    assert await store.save_draft(save("hel", 101, 7)) == DraftSaved(102)
    assert await store.find_draft(ANN, ROOM) == SavedDraft(102, "hel", 7)
    assert await store.find_draft(BOB, ROOM) == await store.find_draft(ANN, HALL) == SavedDraft()
    for base in (0, 101, 500):
        assert await store.save_draft(save("other", base)) == DraftSaved(conflict=SavedDraft(102, "hel", 7))
        assert await store.save_draft(save("", base)) == DraftSaved(conflict=SavedDraft(102, "hel", 7))
    assert await store.save_draft(save("hel", 101, 7)) == DraftSaved(102), "a repetition"
    removed = await store.save_draft(save("", 102))
    assert removed.rev > 102
    assert (await store.save_draft(save("", 102))).conflict is None, "a repetition"
    assert await store.save_draft(save("hello", 102)) == DraftSaved(conflict=SavedDraft()), "it is gone"


async def test_of_two_devices_at_once_one_wins(store: MessageStore) -> None:
    """The store rejects the draft of the other device, so that this device learns of it."""
    results = await asyncio.gather(*(store.save_draft(save(text)) for text in "abcd"))
    won = [one.rev for one in results if one.rev]
    found = await store.find_draft(ANN, ROOM)
    assert won == [found.rev]
    assert [one.conflict for one in results if not one.rev] == [found] * 3


async def test_a_message_ends_the_draft_that_it_was(store: MessageStore) -> None:
    """The commit of the message removes the draft.

    A newer draft stays. The draft also stays if its message is rejected as too late.
    """
    first = (await store.save_draft(save("one"))).rev
    assert not await post(store, 1, first, deadline=1)
    assert (await store.find_draft(ANN, ROOM)).text == "one"
    for _ in range(2):
        assert await post(store, 2, first)
        assert await store.find_draft(ANN, ROOM) == SavedDraft()
    second = (await store.save_draft(save("two"))).rev
    assert await post(store, 3, first)
    assert await post(store, 4, 0)
    assert await post(store, 4, second), "the result of another message, whose nonce it has"
    assert (await store.find_draft(ANN, ROOM)).rev == second


async def test_previews_are_cut(store: MessageStore) -> None:
    await store.save_draft(save("é" * 121))
    await store.save_draft(SaveDraft(HALL, "é" * 120, 3, actor=ANN))
    await store.save_draft(save("not Ann's", actor=BOB))
    found = await store.read(lambda snapshot: snapshot.drafts(ANN))
    assert found == {ROOM: DraftPreview(101, "é" * 120, cut=True), HALL: DraftPreview(102, "é" * 120, 3)}


async def test_drafts_go_with_the_account_and_with_time(store: MessageStore) -> None:
    await store.save_draft(save("one"))
    await store.save_draft(save("two", actor=BOB))
    assert await store.with_read_state([ANN, BOB]) == [ANN, BOB]
    await store.erase(ANN)
    assert (await store.find_draft(ANN, ROOM)).rev == 0
    assert await store.with_read_state([ANN, BOB]) == [BOB]
    await store.expire(before=102, after=0)
    assert (await store.find_draft(BOB, ROOM)).text == "two"
    await store.expire(before=103, after=0)
    assert (await store.find_draft(BOB, ROOM)).rev == 0
