"""A program gets the messages of a group over an outgoing webhook, while processes of the system are killed."""

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.cluster import RELAXED, Cluster
from tests.support.native_http import Posted, post, register
from tests.support.waiting import WAIT_SECONDS
from tests.support.webhook_receiver import Received, WebhookReceiver

_WEBHOOKS = (
    "--set", "outgoing_webhooks.enabled=true", "--set", 'outgoing_webhooks.permitted_networks=["127.0.0.0/8"]',
    "--set", "outgoing_webhooks.longest_pause_seconds=0.2", "--set", "outgoing_webhooks.timeout_seconds=5",
    "--set", "outgoing_webhooks.check_seconds=2",
)  # fmt: skip


@pytest.fixture(scope="module")
def has_webhook(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A system for the tests of this module. Its settings permit outgoing webhooks to this machine."""
    with Cluster(tmp_path_factory.mktemp("hooks") / "data", *RELAXED, *_WEBHOOKS) as cluster:
        yield cluster


@pytest.fixture
def receiver() -> Iterator[WebhookReceiver]:
    with WebhookReceiver() as receiver:
        yield receiver


class HookedGroup:
    """A group with an outgoing webhook. Ann is its owner, and Bob is an admin."""

    def __init__(self, system: Cluster) -> None:
        self.one, self.other = system.edges[:2]
        system.wait_for_edges(WAIT_SECONDS)  # the previous test may have killed an edge
        self.ann, self.bob = register(self.one), register(self.other)
        self.chat = post(self.one, "create", self.ann["token"], name="Ops", members=[self.bob["account"]]).body["chat"]
        self.request("role", account=self.bob["account"], role="admin")
        self._nonce = 0

    def request(self, operation: str, *, by: str = "ann", **members: Any) -> Posted:
        edge, user = (self.one, self.ann) if by == "ann" else (self.other, self.bob)
        return post(edge, operation, user["token"], chat=self.chat, **members)

    def hook(self, receiver: WebhookReceiver, by: str = "ann") -> dict[str, Any]:
        made = self.request("create_outgoing_hook", by=by, name="Archive", endpoint=receiver.url())
        assert made.status == 200, made.body
        return made.body

    def send(self, *texts: str, by: str = "ann") -> int:
        """Sends messages, and returns the index of the last one.

        Repeats a request if a killed process has not answered it.
        """
        index = 0
        for text in texts:
            self._nonce += 1
            sent = self.request("send", by=by, text=text, nonce=str(self._nonce))
            while sent.status == 503:
                sent = self.request("send", by=by, text=text, nonce=str(self._nonce))
            assert sent.status == 200, sent.body
            index = sent.body["index"]
        return index


def numbers(received: list[Received]) -> list[str]:
    return [one.number for one in received]


def first_times(received: list[Received]) -> list[str]:
    """Returns the messages without repetitions, in the order of their first arrival."""
    return list(dict.fromkeys(numbers(received)))


def test_a_program_listens_to_all_users_of_a_group(has_webhook: Cluster, receiver: WebhookReceiver) -> None:
    group = HookedGroup(has_webhook)
    group.send("before")
    hook = group.hook(receiver)
    first = group.send("a")
    group.send("b", by="bob")
    mention = {"t": "mention", "account": group.bob["account"], "text": "@Bob"}
    last = group.request("send", segments=[mention], reply_to=first, nonce="c").body["index"]
    received = receiver.wait(lambda found: found and found[-1].number == f"{group.chat}.{last}")
    assert numbers(received) == [f"{group.chat}.{index}" for index in range(first, last + 1)]
    assert all(one.is_signed_by(hook["secret"]) for one in received)
    shown = group.request("history", by="bob", **{"from": first, "dir": "newer"}).body["messages"]
    assert [one.event for one in received] == [{"ev": "message", **_without_reactions(one)} for one in shown]


def _without_reactions(message: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in message.items() if name not in ("reactions", "mine")}


def test_nothing_is_lost_while_the_receiver_is_away(has_webhook: Cluster, receiver: WebhookReceiver) -> None:
    group = HookedGroup(has_webhook)
    group.hook(receiver)
    group.send("a")
    receiver.wait(len)
    away = WebhookReceiver()
    away.port = receiver.port
    receiver.__exit__()
    group.send("b", "c")
    has_webhook.wait_for(lambda: group.request("outgoing_hooks").body["hooks"][0]["state"] == "failing", WAIT_SECONDS)
    with away:
        last = group.send("d")
        received = away.wait(lambda found: found and found[-1].number == f"{group.chat}.{last}")
        assert first_times(received) == [f"{group.chat}.{index}" for index in range(last - 2, last + 1)]
    receiver.__enter__()


@pytest.mark.parametrize("name", ["message", "edge-1", "nats"])
def test_nothing_is_lost_when_a_process_is_killed(has_webhook: Cluster, receiver: WebhookReceiver, name: str) -> None:
    """Session is not killed here but in the next test, because there the lease of the killed process must end."""
    group = HookedGroup(has_webhook)
    hook = group.hook(receiver)
    first = group.send(*"abcde", by="bob")
    has_webhook.kill(name)
    last = group.send(*"fghij", by="bob")
    received = receiver.wait(lambda found: found and found[-1].number == f"{group.chat}.{last}")
    assert first_times(received) == [f"{group.chat}.{index}" for index in range(first - 4, last + 1)]
    assert all(one.is_signed_by(hook["secret"]) for one in received)
    assert len({(one.number, one.body) for one in received}) == 10


def test_a_message_comes_again_if_its_response_is_lost_with_session(
    has_webhook: Cluster, receiver: WebhookReceiver
) -> None:
    """The message is posted again after the lease of the killed process has ended."""
    killed = threading.Event()
    receiver.status_of = lambda _: 200 if killed.wait(WAIT_SECONDS) else 500
    group = HookedGroup(has_webhook)
    hook = group.hook(receiver)
    first = group.send("a")
    last = group.send("b")
    assert receiver.begun.wait(WAIT_SECONDS)
    has_webhook.kill("session")
    killed.set()
    received = receiver.wait(lambda found: found and found[-1].number == f"{group.chat}.{last}")
    assert numbers(received) == [f"{group.chat}.{index}" for index in (first, first, last)]
    assert received[0].body == received[1].body
    assert all(one.is_signed_by(hook["secret"]) for one in received)
