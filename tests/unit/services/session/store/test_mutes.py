"""Tests chats that a member has muted, on both databases."""

from functools import partial

import pytest
from msgspec import UNSET, UnsetType

from services.session.domain import ALWAYS
from services.session.store import views
from shared.contract.errors import ErrorCode
from shared.contract.ids import AccountId, ChatId
from shared.contract.model import JoinPolicy
from shared.contract.session import MemberSettings, MuteChat, PlaceChat
from tests.unit.services.session.store_harness import ANN, BOB, CEM, StoreHarness, rejection

NO_CHAT = ChatId(99)
LATER = 2**52


async def mute(store: StoreHarness, actor: AccountId, chat: ChatId, until: int, mentions_only: bool = False) -> None:
    await store.database.write(partial(views.mute_chat, request=MuteChat(chat, until, mentions_only, actor=actor)))


async def found(store: StoreHarness, account: AccountId, *chats: ChatId) -> dict[ChatId, MemberSettings]:
    return (await store.database.read(partial(views.find_chats, account=account, numbers=[*chats, NO_CHAT]))).mutes


async def shown(store: StoreHarness, account: AccountId, chat: ChatId) -> MemberSettings | None:
    view = partial(views.view_chat, number=chat, actor=account, limit=10)
    return (await store.database.read(view)).mute


async def test_each_member_mutes_for_itself(populated: StoreHarness) -> None:
    group = (await populated.create_group(ANN, BOB)).id
    private, _ = await populated.open_private(ANN, BOB)
    before = await populated.chat(group, ANN)
    await mute(populated, BOB, group, LATER)
    await mute(populated, BOB, private, 0, mentions_only=True)
    assert await found(populated, BOB, group, private) == {
        group: MemberSettings(LATER),
        private: MemberSettings(0, True),
    }
    assert await found(populated, ANN, group, private) == {}
    assert (await shown(populated, BOB, group), await shown(populated, ANN, group)) == (MemberSettings(LATER), None)
    assert await populated.chat(group, ANN) == before
    await mute(populated, BOB, group, ALWAYS + 1)
    assert await shown(populated, BOB, group) == MemberSettings(ALWAYS)
    await mute(populated, BOB, group, 0)
    assert await found(populated, BOB, group) == {}


async def test_each_member_has_a_place_for_the_chat(populated: StoreHarness) -> None:
    """Settings that a request does not name keep their values, and so does a mute."""
    group = (await populated.create_group(ANN, BOB, join_policy=JoinPolicy.OPEN)).id

    async def place(actor: AccountId, hidden: int | UnsetType = UNSET, **places: bool) -> MemberSettings:
        request = PlaceChat(group, actor=actor, hidden=hidden, **places)
        return await populated.database.write(partial(views.place_chat, request=request))

    await mute(populated, BOB, group, LATER)
    assert await place(BOB, pinned=True) == MemberSettings(LATER, pinned=True)
    assert await place(BOB, archived=True) == MemberSettings(LATER, False, True, True)
    await mute(populated, BOB, group, 0)
    assert await place(BOB, archived=False, hidden=7) == MemberSettings(pinned=True, hidden=7)
    assert await place(BOB, hidden=0) == MemberSettings(pinned=True)
    assert (await found(populated, BOB, group), await found(populated, ANN, group)) == (
        {group: MemberSettings(pinned=True)}, {}
    )  # fmt: skip
    failure = await rejection(place(CEM, pinned=True))
    assert (failure.code, failure.text) == (ErrorCode.FORBIDDEN, "you are in no such chat")
    await populated.end_membership(BOB, group, BOB)
    await populated.request_membership(BOB, group)
    await populated.finish_join(BOB, number=group)
    assert await shown(populated, BOB, group) is None


@pytest.mark.parametrize("number", [NO_CHAT, None])
async def test_only_members_mute(populated: StoreHarness, number: ChatId | None) -> None:
    """The error is the same for a chat that does not exist."""
    chat = number or (await populated.create_group(ANN, BOB)).id
    failure = await rejection(mute(populated, CEM, chat, LATER))
    assert (failure.code, failure.field, failure.text) == (ErrorCode.FORBIDDEN, "chat", "you are in no such chat")


async def test_a_departure_ends_it(populated: StoreHarness) -> None:
    group = (await populated.create_group(ANN, BOB, join_policy=JoinPolicy.OPEN)).id
    await mute(populated, BOB, group, LATER)
    await populated.leave_all_chats(BOB)
    assert await found(populated, BOB, group) == {}
    await populated.request_membership(BOB, group)
    await populated.finish_join(BOB, number=group)
    assert await shown(populated, BOB, group) is None
