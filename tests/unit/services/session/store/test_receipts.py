"""Tests chats whose members can see which messages others have read, on both databases."""

from functools import partial

from services.session.store import chats, views
from shared.contract.errors import ErrorCode
from shared.contract.ids import AccountId, ChatId
from tests.unit.services.session.store_harness import ANN, BOB, CEM, StoreHarness, rejection

NO_CHAT = ChatId(99)


async def found(store: StoreHarness, *chats: ChatId) -> dict[ChatId, int]:
    return await store.database.read(partial(views.find_receipt_chats, numbers=[*chats, NO_CHAT]))


async def set_chat(store: StoreHarness, actor: AccountId, chat: ChatId, **values: object) -> None:
    change = partial(chats.set_chat, number=chat, actor=actor, values=values, now=store.now, broadcast_from=512)
    await store.database.write(change)


async def test_a_group_shows_receipts_until_its_owner_changes_that(populated: StoreHarness) -> None:
    group = (await populated.create_group(ANN, BOB, CEM)).id
    assert await found(populated, group) == {group: 3}
    await set_chat(populated, ANN, group, receipts=False)
    assert await found(populated, group) == {}
    assert (await populated.chat(group, BOB)).receipts is False
    await set_chat(populated, ANN, group, name="Fruit", receipts=True)
    assert await found(populated, group) == {group: 3}
    assert (await populated.chat(group, BOB)).name == "Fruit"


async def test_only_the_owner_and_the_admins_change_a_group(populated: StoreHarness) -> None:
    group = (await populated.create_group(ANN, BOB)).id
    private, _ = await populated.open_private(ANN, BOB)
    failures = [
        await rejection(set_chat(populated, actor, chat, receipts=False))
        for actor, chat in ((BOB, group), (CEM, group), (ANN, NO_CHAT), (ANN, private))
    ]
    assert {failure.code for failure in failures} <= {ErrorCode.FORBIDDEN, ErrorCode.NOT_FOUND, ErrorCode.INVALID}
    assert await found(populated, group, private) == {group: 2, private: 2}


async def test_no_private_chat_shows_them_while_one_blocks_the_other(populated: StoreHarness) -> None:
    private, _ = await populated.open_private(ANN, BOB)
    other, _ = await populated.open_private(ANN, CEM)
    assert await found(populated, private, other) == {private: 2, other: 2}
    await populated.set_blocked(BOB, ANN)
    assert await found(populated, private, other) == {other: 2}
    await populated.set_blocked(BOB, ANN, blocked=False)
    assert await found(populated, private) == {private: 2}
