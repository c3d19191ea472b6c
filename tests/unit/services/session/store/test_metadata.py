"""Tests the metadata of accounts and groups on both databases."""

import sqlalchemy as sa

from services.session.store import irc
from services.session.tables import metadata_value, profile
from shared.contract.errors import ErrorCode
from shared.contract.ids import NO_ACCOUNT, AccountId, ChatId
from shared.contract.metadata import MOST_KEYS, NO_CHAT, ListMetadata, MetadataValue, SetMetadata
from shared.contract.model import JoinPolicy
from tests.unit.services.session.store_harness import ANN, BOB, CEM, StoreHarness, rejection


async def put(
    store: StoreHarness, actor: AccountId, key: str, value: str, chat: ChatId = NO_CHAT
) -> list[MetadataValue]:
    account = NO_ACCOUNT if chat else actor
    return await store.database.write(irc.set_metadata, SetMetadata(key, value, account, chat, actor=actor))


async def read(store: StoreHarness, actor: AccountId, request: ListMetadata) -> list[MetadataValue]:
    request.actor = actor
    return await store.database.read(irc.list_metadata, request)


async def test_a_value_is_replaced_and_deleted_and_each_change_is_reported_once(populated: StoreHarness) -> None:
    assert await put(populated, ANN, "url", "a") == [MetadataValue(ANN, NO_CHAT, "url", "a")]
    assert await put(populated, ANN, "url", "a") == []
    await put(populated, ANN, "url", "b")
    await put(populated, BOB, "url", "bob's")
    assert await read(populated, CEM, ListMetadata(ANN, keys=("url", "k0"))) == [
        MetadataValue(ANN, NO_CHAT, "url", "b")
    ]
    assert await put(populated, ANN, "url", "") == [MetadataValue(ANN, NO_CHAT, "url", "")]
    assert await put(populated, ANN, "url", "") == []
    assert len(await read(populated, CEM, ListMetadata(BOB, keys=("url",)))) == 1


async def test_only_so_many_keys(populated: StoreHarness) -> None:
    for number in range(MOST_KEYS):
        await put(populated, ANN, f"k{number}", "x")
    await put(populated, ANN, "k0", "y")
    assert (await rejection(put(populated, ANN, "one-more", "x"))).code is ErrorCode.LIMIT
    assert len(await put(populated, ANN, "", "")) == MOST_KEYS
    assert await read(populated, ANN, ListMetadata(ANN, keys=("url", "k0"))) == []


async def test_managers_set_the_values_of_a_group_and_those_that_may_join_read_them(populated: StoreHarness) -> None:
    opened = (await populated.create_group(ANN, BOB, join_policy=JoinPolicy.OPEN)).id
    closed = (await populated.create_group(ANN, BOB)).id
    for chat in (opened, closed):
        await put(populated, ANN, "url", "x", chat)
        assert (await rejection(put(populated, BOB, "url", "y", chat))).code is ErrorCode.FORBIDDEN
        assert (await rejection(put(populated, CEM, "url", "y", chat))).code is ErrorCode.FORBIDDEN
        assert await read(populated, BOB, ListMetadata(chat=chat)) == [MetadataValue(NO_ACCOUNT, chat, "url", "x")]
    await put(populated, BOB, "url", "bob's")
    assert len(await read(populated, BOB, ListMetadata(chat=opened, keys=("url",), members=True))) == 2
    assert len(await read(populated, CEM, ListMetadata(chat=opened, keys=("url",), members=True))) == 1
    assert (await rejection(read(populated, CEM, ListMetadata(chat=closed)))).code is ErrorCode.FORBIDDEN


async def test_a_group_is_read_with_the_values_of_its_members_of_the_wanted_keys(populated: StoreHarness) -> None:
    chat = (await populated.create_group(ANN, BOB)).id
    await put(populated, ANN, "url", "x", chat)
    for account in (ANN, BOB, CEM):
        await put(populated, account, "color", str(account))
        await put(populated, account, "url", str(account))
    found = await read(populated, BOB, ListMetadata(chat=chat, keys=("color",), members=True))
    assert found == [MetadataValue(one, NO_CHAT, "color", str(one)) for one in (ANN, BOB)]


async def test_a_value_ends_with_its_account_or_group(populated: StoreHarness) -> None:
    chat = (await populated.create_group(ANN, BOB)).id
    await put(populated, ANN, "url", "x", chat)
    await put(populated, ANN, "url", "x")
    await populated.remove_data(ANN)
    assert await read(populated, BOB, ListMetadata(ANN, keys=("url", "k0"))) == []
    await populated.disband(ANN, chat)
    ended = (await populated.create_group(ANN)).id
    await put(populated, ANN, "url", "x", ended)
    await populated.end_membership(ANN, ended, ANN)
    rows = sa.select(sa.func.count()).select_from(metadata_value)
    assert await populated.database.read(lambda connection: connection.execute(rows).scalar_one()) == 0


async def test_a_profile_has_the_name_that_is_not_the_nick_and_the_picture(populated: StoreHarness) -> None:
    await put(populated, BOB, "color", "red")
    await put(populated, BOB, "display-name", "of a guest")
    names = {ANN: ("Ann Lee", "ann", "/media/1", ""), BOB: ("guest", "bob", "", "~b"), CEM: ("cem", "cem", "", "")}

    def write(connection: sa.Connection) -> None:
        for account, (nickname, nick, avatar, guest) in names.items():
            values = {"nickname": nickname, "nick": nick, "avatar": avatar, "guest": guest}
            connection.execute(sa.update(profile).where(profile.c.id == account).values(**values))

    await populated.database.write(write)
    chat = (await populated.create_group(ANN, BOB, CEM)).id
    of_ann = [MetadataValue(ANN, NO_CHAT, "display-name", "Ann Lee"), MetadataValue(ANN, NO_CHAT, "avatar", "/media/1")]
    of_bob = MetadataValue(BOB, NO_CHAT, "display-name", "of a guest")
    assert await read(populated, CEM, ListMetadata(ANN)) == of_ann
    assert await read(populated, ANN, ListMetadata(CEM)) == []
    keys = ("display-name", "avatar")
    assert await read(populated, CEM, ListMetadata(chat=chat, keys=keys, members=True)) == [of_bob, *of_ann]
    assert await read(populated, CEM, ListMetadata(BOB, keys=("color",))) == [
        MetadataValue(BOB, NO_CHAT, "color", "red")
    ]
