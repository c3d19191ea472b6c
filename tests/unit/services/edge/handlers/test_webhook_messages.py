"""Tests how a message from an incoming webhook is handled, and when it is rejected."""

import asyncio
import hashlib

import pytest

from services.edge.app import Edge
from services.edge.handlers.messages import WebhookMessages
from shared.contract.body import unpack_segments
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.ids import AccountId, ChatId
from shared.contract.model import Text
from shared.contract.webhooks import FindIncomingWebhook, FoundIncomingWebhook
from tests.unit.services.edge.conftest import EdgeCluster
from tests.unit.services.edge.fake_services import FakeService

CHAT, FOREIGN = ChatId(5), ChatId(6)
WEBHOOKS = {"secret": CHAT, "foreign": FOREIGN}


class WebhookSession(FakeService):
    """A fake of session. Its two webhooks post as account 77 for account 1, a member of only one of the chats."""

    def __init__(self, cluster: EdgeCluster) -> None:
        super().__init__("session", cluster.nats)
        self.bus.serve(FindIncomingWebhook.route, self._find, queue="session")

    async def _find(self, request: FindIncomingWebhook) -> FoundIncomingWebhook:
        for secret, chat in WEBHOOKS.items():
            if hashlib.sha256(secret.encode()).hexdigest() == request.digest:
                return FoundIncomingWebhook(secret[:1], chat, "CI", AccountId(1), AccountId(77))
        raise RequestError(ErrorCode.NOT_FOUND, "there is no such webhook")


@pytest.fixture
async def edge(cluster: EdgeCluster) -> Edge:
    cluster.backend.add_chat(CHAT, 1, 2)
    cluster.backend.add_chat(FOREIGN, 2)
    await cluster.run(WebhookSession(cluster).bus)
    return await cluster.add_edge(limits={"message_text_bytes": 100, "webhook_messages_burst": 3})


def messages_of(edge: Edge) -> WebhookMessages:
    now = edge.context.clock()
    return WebhookMessages(edge.bus, edge.publisher, lambda: now, edge.context.settings)


async def code_of(messages: WebhookMessages, secret: str, text: str, key: str = "") -> ErrorCode:
    with pytest.raises(RequestError) as rejected:
        await messages.post(secret, text, key)
    return rejected.value.failure.code


def texts(cluster: EdgeCluster) -> list[str]:
    found = [unpack_segments(message.body)[0] for message in cluster.backend.chats[CHAT].messages]
    return [one.text for one in found if isinstance(one, Text)]


async def test_a_key_posts_once(cluster: EdgeCluster, edge: Edge) -> None:
    messages = messages_of(edge)
    for _ in range(2):
        await messages.post("secret", "done", "key")
    assert texts(cluster) == ["done"]
    await messages.post("secret", "done", "another")
    assert texts(cluster) == ["done"] * 2
    assert {message.sender for message in cluster.backend.chats[CHAT].messages} == {77}, "the webhook itself"


async def test_a_key_at_the_same_time_posts_once(cluster: EdgeCluster, edge: Edge) -> None:
    messages = messages_of(edge)
    results = await asyncio.gather(*(messages.post("secret", "done", "key") for _ in range(2)), return_exceptions=True)
    assert all(one is None or isinstance(one, RequestError) for one in results)
    assert texts(cluster) == ["done"]


async def test_what_is_rejected_is_not_posted(cluster: EdgeCluster, edge: Edge) -> None:
    messages = messages_of(edge)
    assert await code_of(messages, "unknown", "done") is ErrorCode.NOT_FOUND
    assert await code_of(messages, "foreign", "done") is ErrorCode.FORBIDDEN
    assert await code_of(messages, "secret", "x" * 101) is ErrorCode.TOO_LARGE
    assert texts(cluster) == []


async def test_a_webhook_has_a_rate_of_its_own(cluster: EdgeCluster, edge: Edge) -> None:
    messages = messages_of(edge)
    for _ in range(3):
        await messages.post("secret", "done", "")
    assert await code_of(messages, "secret", "done") is ErrorCode.RATE_LIMITED
    assert await code_of(messages, "foreign", "done") is ErrorCode.FORBIDDEN
