"""Tests incoming webhooks of groups on both databases."""

from functools import partial

from services.session.store import incoming_webhooks, profiles
from services.session.store.incoming_webhooks import NewIncomingWebhook
from shared.contract.bots import CreatedBot
from shared.contract.errors import ErrorCode
from shared.contract.ids import AccountId, ChatId
from shared.contract.model import Role
from shared.contract.webhooks import (
    CreateIncomingWebhook,
    DeleteIncomingWebhook,
    FoundIncomingWebhook,
    IncomingWebhookView,
    ListIncomingWebhooks,
)
from shared.settings.limits import LimitsSettings
from tests.unit.services.session.store_harness import ANN, BOB, CEM, EVE, NOW, StoreHarness, rejection


async def create(store: StoreHarness, actor: AccountId, chat: ChatId, number: str) -> None:
    account = CreatedBot(AccountId(100 + int(number)), f"u{number}", "Grafana", NOW)
    new = NewIncomingWebhook(number, f"d-{number}", account)
    make = partial(
        incoming_webhooks.create,
        request=CreateIncomingWebhook(chat, "Grafana", actor=actor),
        new=new,
        limits=store.limits,
        now=NOW,
    )
    await store.database.write(make)


async def find(store: StoreHarness, number: str) -> FoundIncomingWebhook:
    return await store.database.read(partial(incoming_webhooks.find, digest=f"d-{number}"))


async def delete(store: StoreHarness, actor: AccountId, chat: ChatId, number: str) -> None:
    await store.database.write(
        partial(incoming_webhooks.delete, request=DeleteIncomingWebhook(chat, number, actor=actor))
    )


async def listed(store: StoreHarness, actor: AccountId, chat: ChatId) -> list[IncomingWebhookView]:
    return (
        await store.database.read(
            partial(incoming_webhooks.list_hooks, request=ListIncomingWebhooks(chat, actor=actor))
        )
    ).hooks


async def test_admins_make_list_and_delete_webhooks(populated: StoreHarness, group: ChatId) -> None:
    await create(populated, BOB, group, "1")
    assert await find(populated, "1") == FoundIncomingWebhook("1", group, "Grafana", BOB, AccountId(101))
    assert await listed(populated, ANN, group) == [
        IncomingWebhookView("1", "Grafana", BOB, NOW, account=AccountId(101))
    ]
    profile = await populated.database.read(partial(profiles.find_profile, account=AccountId(101)))
    assert profile is not None
    assert (profile.nickname, profile.signature, profile.bot) == ("Grafana", f"webhook · {BOB:010d}", True)
    for _ in range(2):
        await delete(populated, ANN, group, "1")
    assert (await rejection(find(populated, "1"))).code is ErrorCode.NOT_FOUND


async def test_nobody_is_in_a_chat_with_the_account_of_a_webhook(populated: StoreHarness, group: ChatId) -> None:
    """This also holds after the webhook was deleted.

    In such a chat, no user would read the messages. A group whose last member is a webhook would have no owner who can
    act.
    """
    await create(populated, ANN, group, "1")
    await delete(populated, ANN, group, "1")
    account = AccountId(101)
    await populated.befriend(ANN, account)
    for attempt in (
        populated.create_group(ANN, BOB, account),
        populated.add_member(ANN, group, account),
        populated.open_private(ANN, account),
        populated.request_friendship(ANN, account),
    ):
        assert (await rejection(attempt)).code is ErrorCode.FORBIDDEN


async def test_others_may_not(populated: StoreHarness, group: ChatId) -> None:
    await create(populated, ANN, group, "1")
    other = (await populated.create_group(EVE, CEM)).id
    for actor in (CEM, EVE):
        for attempt in (
            create(populated, actor, group, "2"), listed(populated, actor, group), delete(populated, actor, group, "1")
        ):  # fmt: skip
            assert (await rejection(attempt)).code is ErrorCode.FORBIDDEN
    await delete(populated, EVE, other, "1")
    assert await find(populated, "1")


async def test_a_group_has_few_webhooks(populated: StoreHarness, group: ChatId) -> None:
    populated.limits = LimitsSettings(incoming_webhooks_per_group=1)
    await create(populated, ANN, group, "1")
    assert (await rejection(create(populated, ANN, group, "2"))).code is ErrorCode.LIMIT


async def test_webhooks_end_with_their_group(populated: StoreHarness, group: ChatId) -> None:
    await create(populated, ANN, group, "1")
    await populated.disband(ANN, group)
    assert (await rejection(find(populated, "1"))).code is ErrorCode.NOT_FOUND


async def test_webhooks_end_with_the_account_that_made_them(populated: StoreHarness, group: ChatId) -> None:
    await create(populated, ANN, group, "1")
    await create(populated, BOB, group, "2")
    await populated.remove_data(BOB)
    assert [one.hook for one in await listed(populated, ANN, group)] == ["1"]


async def test_a_webhook_acts_while_its_maker_manages_the_group(populated: StoreHarness, group: ChatId) -> None:
    await create(populated, BOB, group, "1")
    await populated.set_role(group, BOB, Role.MEMBER)
    assert (await rejection(find(populated, "1"))).code is ErrorCode.FORBIDDEN
    assert [one.paused for one in await listed(populated, ANN, group)] == [True]
    await populated.set_role(group, BOB, Role.ADMIN)
    assert await find(populated, "1")
    await populated.end_membership(ANN, group, BOB)
    assert await listed(populated, ANN, group) == []


async def test_a_webhook_ends_with_its_own_account(populated: StoreHarness, group: ChatId) -> None:
    await create(populated, BOB, group, "1")
    await populated.remove_data(AccountId(101))
    assert await listed(populated, ANN, group) == []
