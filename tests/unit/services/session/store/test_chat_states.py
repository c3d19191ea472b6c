"""Each chat of an account has a state, a number.

If a change is visible in the chat summary, the state changes. Tests both databases.
"""

from collections.abc import Awaitable, Callable
from functools import partial

import pytest

from services.session.store import chats, profiles, views
from services.session.store.views import list_chats_with_states
from shared.contract.ids import AccountId, ChatId
from shared.contract.model import JoinPolicy, Role
from shared.contract.session import ChatList, MuteChat, PlaceChat
from tests.unit.services.session.store_harness import ANN, BOB, CEM, DAN, StoreHarness

Action = Callable[[StoreHarness, ChatId], Awaitable[object]]


def set_chat(**values: object) -> Action:
    def act(store: StoreHarness, chat: ChatId) -> Awaitable[object]:
        change = partial(chats.set_chat, actor=ANN, values=values, now=store.now, broadcast_from=2)
        return store.database.write(partial(change, number=chat))

    return act


async def mute(store: StoreHarness, chat: ChatId, until: int = 0, *, mentions_only: bool = False) -> None:
    await store.database.write(partial(views.mute_chat, request=MuteChat(chat, until, mentions_only, actor=BOB)))


async def place(store: StoreHarness, chat: ChatId, **places: bool) -> None:
    await store.database.write(partial(views.place_chat, request=PlaceChat(chat, actor=BOB, **places)))


async def listed(store: StoreHarness, account: AccountId, after: int = 0, most: int = 100) -> ChatList:
    page = partial(list_chats_with_states, account=account, after=ChatId(after), limit=most)
    return await store.database.read(page)


async def states(store: StoreHarness, account: AccountId) -> dict[ChatId, int]:
    return {entry.chat: entry.state for entry in (await listed(store, account)).entries}


async def rename(store: StoreHarness, account: AccountId, name: str) -> None:
    change = partial(profiles.set_profile, account=account, values={"nickname": name}, now=store.now)
    await store.database.write(change)


async def test_what_changes_a_group_changes_its_state(populated: StoreHarness) -> None:
    """This holds even for changes within the same millisecond."""
    acts: list[Action] = [
        set_chat(name="Pears"),
        set_chat(topic="Green ones"),
        set_chat(avatar="/media/a", avatar_hash="b"),
        set_chat(join_policy=JoinPolicy.CLOSED),
        set_chat(receipts=False),
        set_chat(edit_seconds=0),
        set_chat(recall_seconds=60),
        set_chat(history_for_new=True),
        lambda store, chat: store.give_role(ANN, chat, BOB, Role.ADMIN),
        lambda store, chat: store.give_role(ANN, chat, CEM, Role.ADMIN),
        lambda store, chat: store.give_role(ANN, chat, CEM, Role.OWNER),
        lambda store, chat: store.silence(ANN, chat, BOB, 2**52),
        lambda store, chat: store.end_membership(ANN, chat, CEM),
        lambda store, chat: store.end_membership(ANN, chat, ANN),
        lambda store, chat: store.ban(ANN, chat, CEM),
        lambda store, chat: store.request_membership(DAN, chat),
        lambda store, chat: store.leave_all_chats(CEM),
        lambda store, chat: mute(store, chat, 2**52),
        lambda store, chat: mute(store, chat, mentions_only=True),
        lambda store, chat: place(store, chat, pinned=True),
        lambda store, chat: place(store, chat, archived=True),
    ]
    other = (await populated.create_group(BOB, ANN)).id
    for number, act in enumerate(acts):
        chat = (await populated.create_group(ANN, BOB, CEM, join_policy=JoinPolicy.OPEN)).id
        before = await states(populated, BOB)
        await act(populated, chat)
        after = await states(populated, BOB)
        assert after[chat] != before[chat], number
        assert after[other] == before[other], number


async def test_a_state_stays_as_long_as_nothing_changes(populated: StoreHarness) -> None:
    chat = (await populated.create_group(ANN, BOB)).id
    before = await states(populated, BOB)
    await mute(populated, chat, 2**52)
    populated.now += 1000
    await rename(populated, ANN, "Anna")
    await mute(populated, chat)
    assert await states(populated, BOB) == before
    assert all(0 < state < 2**53 for state in before.values())


async def test_each_member_has_states_of_its_own(populated: StoreHarness) -> None:
    chat = (await populated.create_group(ANN, BOB)).id
    before = await states(populated, ANN)
    await mute(populated, chat, 2**52)
    assert await states(populated, ANN) == before


@pytest.mark.parametrize("values", [{"nickname": "Anna"}, {"avatar": "/media/a"}])
async def test_the_name_and_the_picture_of_the_other_member_are_part_of_a_private_chat(
    populated: StoreHarness, values: dict[str, str]
) -> None:
    chat, _ = await populated.open_private(ANN, BOB)
    before = {account: (await states(populated, account))[chat] for account in (ANN, BOB)}
    change = partial(profiles.set_profile, account=ANN, values=values, now=populated.now)
    await populated.database.write(change)
    after = {account: (await states(populated, account))[chat] for account in (ANN, BOB)}
    assert (after[ANN], after[BOB] != before[BOB]) == (before[ANN], True)


async def test_a_member_that_leaves_and_returns_has_another_state(populated: StoreHarness) -> None:
    chat = (await populated.create_group(ANN, BOB, join_policy=JoinPolicy.OPEN)).id
    before = await states(populated, BOB)
    await populated.end_membership(BOB, chat, BOB)
    assert chat not in await states(populated, BOB)
    await populated.request_membership(BOB, chat)
    await populated.finish_join(BOB, number=chat)
    assert (await states(populated, BOB))[chat] != before[chat]


async def test_all_else_is_as_in_a_list_without_states(populated: StoreHarness) -> None:
    for _ in range(3):
        await populated.create_group(ANN, BOB)
    await populated.open_private(ANN, BOB)
    for after, most in ((0, 2), (2, 2), (0, 100)):
        found, plain = await listed(populated, ANN, after, most), await populated.list_chats(ANN, after, most)
        assert found.more is plain.more
        entries = [(entry.chat, entry.first_index, entry.unread_from, entry.pair) for entry in found.entries]
        assert entries == [(entry.chat, entry.first_index, entry.unread_from, entry.pair) for entry in plain.entries]
