"""Lists the webhooks, links and bots that an account has created, on both databases."""

from functools import partial

import pytest

from services.session.store import incoming_webhooks, made, outgoing_webhooks
from services.session.store.incoming_webhooks import NewIncomingWebhook
from services.session.store.outgoing_webhooks import NewOutgoingWebhook
from shared.contract.bots import CreatedBot
from shared.contract.ids import AccountId, ChatId
from shared.contract.made import ListAllWebhooks, Made, MadeLink, MadeWebhook, WebhookPage
from shared.contract.model import Role
from shared.contract.webhooks import CreateIncomingWebhook, CreateOutgoingWebhook
from tests.unit.services.session.store_harness import ANN, BOB, NOW, StoreHarness


@pytest.fixture
async def group(populated: StoreHarness) -> ChatId:
    """A group of Ann and Bob.

    Bob has created a link and a webhook of each kind. Ann has created an incoming webhook.
    """
    chat = (await populated.create_group(ANN, BOB)).id
    await populated.set_role(chat, BOB, Role.ADMIN)
    await populated.create_link(BOB, chat, "l")
    write, limits = populated.database.write, populated.limits
    for maker, number in ((BOB, "1"), (ANN, "2")):
        incoming = CreateIncomingWebhook(chat, "In", actor=maker)
        new = NewIncomingWebhook(
            f"in{number}", number, CreatedBot(AccountId(100 + int(number)), f"u{number}", "In", NOW)
        )
        await write(partial(incoming_webhooks.create, request=incoming, new=new, limits=limits, now=NOW))
    outgoing = CreateOutgoingWebhook(chat, "Out", "https://a.example/secret", actor=BOB)
    await write(
        partial(
            outgoing_webhooks.create,
            request=outgoing,
            new=NewOutgoingWebhook("out", "whsec_", 0),
            limits=limits,
            now=NOW,
        )
    )
    return chat


async def made_by(store: StoreHarness, account: AccountId) -> Made:
    return await store.database.read(partial(made.list_made, account=account, now=NOW))


async def all_webhooks(store: StoreHarness, wanted: ListAllWebhooks) -> WebhookPage:
    return await store.database.read(partial(made.list_hooks, request=wanted))


async def test_what_an_account_has_made_is_listed_and_ended(populated: StoreHarness, group: ChatId) -> None:
    incoming = MadeWebhook("in1", group, BOB, "In", NOW)
    outgoing = MadeWebhook("out", group, BOB, "Out", NOW, "https://a.example")
    assert await made_by(populated, BOB) == Made([incoming, outgoing], [MadeLink("l", group, 0, 0, NOW)])
    version = (await populated.chat(group, ANN)).version
    end = partial(made.end_made, account=BOB, now=NOW)
    assert await populated.database.write(end) == {group: version + 1}
    assert await made_by(populated, BOB) == Made([], [])
    assert await populated.database.write(end) == {}
    assert len((await made_by(populated, ANN)).hooks) == 1


async def test_an_operator_lists_and_deletes_the_webhooks_of_all(populated: StoreHarness, group: ChatId) -> None:
    page = await all_webhooks(populated, ListAllWebhooks())
    assert [one.hook for one in page.hooks] == ["in1", "in2", "out"]
    assert (await all_webhooks(populated, ListAllWebhooks(after="in2"))).hooks == page.hooks[2:]
    assert (await all_webhooks(populated, ListAllWebhooks(chat=group, by=ANN))).hooks == page.hooks[1:2]
    assert (await all_webhooks(populated, ListAllWebhooks(chat=ChatId(group + 1)))).hooks == []
    deleted = [
        await populated.database.write(partial(made.delete_hook, number=number, now=NOW))
        for number in ("in1", "out", "out")
    ]
    assert [None if one is None else list(one) for one in deleted] == [[], [group], None]
    assert [one.hook for one in (await all_webhooks(populated, ListAllWebhooks())).hooks] == ["in2"]
