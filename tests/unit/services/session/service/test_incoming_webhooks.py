"""Tests incoming webhooks by requests over NATS: their secrets, and when they may post."""

import hashlib

from shared.contract.errors import ErrorCode
from shared.contract.members import CreateLink, JoinByLink, ListLinks
from shared.contract.routes import Ack
from shared.contract.webhooks import (
    CreateIncomingWebhook,
    DeleteIncomingWebhook,
    FindIncomingWebhook,
    FoundIncomingWebhook,
    ListIncomingWebhooks,
)
from tests.unit.services.session.service_harness import ANN, BOB, CEM, BusPeers, rejection


def digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


async def test_a_webhook_is_found_by_its_secret_alone(peers: BusPeers) -> None:
    chat = (await peers.create(actor=ANN, name="Fruit")).chat.id
    made = await peers.edge.send(CreateIncomingWebhook(chat, "Grafana", actor=ANN))
    assert (len(made.secret), len(made.hook)) == (32, 16)
    assert made.secret not in repr(made)
    found = await peers.edge.send(FindIncomingWebhook(digest(made.secret)))
    assert found == FoundIncomingWebhook(made.hook, chat, "Grafana", ANN, made.account)
    (requested,) = peers.webhook_accounts
    assert (requested.name, requested.maker, requested.signature) == ("Grafana", ANN, f"webhook · {ANN:010d}")
    for other in (made.secret, digest(made.hook), digest("")):
        assert (await rejection(peers.edge.send(FindIncomingWebhook(other)))).code == ErrorCode.NOT_FOUND
    (listed,) = (await peers.edge.send(ListIncomingWebhooks(chat, actor=ANN))).hooks
    assert (listed.hook, listed.name, listed.by) == (made.hook, "Grafana", ANN)
    assert await peers.edge.send(DeleteIncomingWebhook(chat, made.hook, actor=ANN)) == Ack()
    assert (await peers.edge.send(ListIncomingWebhooks(chat, actor=ANN))).hooks == []


async def test_bad_names_are_rejected(peers: BusPeers) -> None:
    chat = (await peers.create(actor=ANN, name="Fruit")).chat.id
    for name in ("", "  ", "a\nb", "a\0", "x" * 65, "Dragoman:"):
        failed = await rejection(peers.edge.send(CreateIncomingWebhook(chat, name, actor=ANN)))
        assert failed.field == "name"


async def test_a_webhook_with_a_disabled_account_does_not_post(peers: BusPeers) -> None:
    """The operator sees the webhook's number as the sender."""
    chat = (await peers.create(actor=ANN, name="Fruit")).chat.id
    made = await peers.edge.send(CreateIncomingWebhook(chat, "Grafana", actor=ANN))
    peers.inactive = {made.account}
    found = peers.edge.send(FindIncomingWebhook(digest(made.secret)))
    assert (await rejection(found)).code is ErrorCode.FORBIDDEN
    (listed,) = (await peers.edge.send(ListIncomingWebhooks(chat, actor=ANN))).hooks
    assert listed.paused
    peers.inactive = set()
    assert (await peers.edge.send(FindIncomingWebhook(digest(made.secret)))).account == made.account


async def test_what_a_disabled_account_has_made_does_not_act(peers: BusPeers) -> None:
    chat = (await peers.create(BOB, actor=ANN, name="Fruit")).chat.id
    made = await peers.edge.send(CreateIncomingWebhook(chat, "Grafana", actor=ANN))
    link = await peers.edge.send(CreateLink(chat, actor=ANN))
    peers.inactive = {ANN}
    assert (await rejection(peers.edge.send(FindIncomingWebhook(digest(made.secret))))).code is ErrorCode.FORBIDDEN
    joined = peers.edge.send(JoinByLink(link.link, actor=CEM))
    assert (await rejection(joined)).code is ErrorCode.NOT_FOUND
    (hook,) = (await peers.edge.send(ListIncomingWebhooks(chat, actor=ANN))).hooks
    (shown,) = (await peers.edge.send(ListLinks(chat, actor=ANN))).links
    assert (hook.paused, shown.paused) == (True, True)
    peers.inactive = set()
    assert await peers.edge.send(FindIncomingWebhook(digest(made.secret)))
    assert (await peers.edge.send(JoinByLink(link.link, actor=CEM))).chat == chat
