"""Some push services hang, fail, require pauses, or lead to another address by a redirect or by their name.

With the real sender, notifications to other push services are not delayed.
"""

import asyncio
import socket
import ssl
import threading
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from services.session.adapters.outgoing import HttpPushSender
from services.session.metrics import SessionMetrics
from services.session.store import chats, subscriptions
from services.session.store.subscriptions import NewDevice
from shared.contract.push import Subscribe
from shared.database import Database
from shared.settings import Settings
from shared.vapid import make_key, public_text
from tests.support.push_device import PushedDevice
from tests.support.tls_servers import Certificates
from tests.support.waiting import WAIT_SECONDS
from tests.support.webhook_receiver import Received, WebhookReceiver
from tests.unit.services.session.service.test_push_delivery import Notifying
from tests.unit.services.session.store_harness import ANN, BOB, NOW

_BAD = (429, 500, 410, 307)
_TURNING = "turning.example"
"""A host name. Its second lookup returns a private address."""
_UNREACHABLE = "the address cannot be reached"
_MANY = 70
"""The number of notifications, which is more than a process sends at the same time."""
_TIMEOUT_SECONDS = 60.0


class HeldService(WebhookReceiver):
    """A push service that does not respond until `released` is set."""

    def __init__(self, tls: ssl.SSLContext) -> None:
        self.released = threading.Event()
        super().__init__(self._wait, tls)

    def _wait(self, _: Received) -> int:
        self.released.wait()
        return 201


@pytest.fixture
def addresses(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The addresses that the next lookups of the name `_TURNING` return."""
    left, look_up = ["127.0.0.1", "10.0.0.1"], socket.getaddrinfo

    def turn(host: str, port: int, **more: object) -> list[tuple[object, ...]]:
        found = left.pop(0) if host == _TURNING else host
        return [*look_up(found, port, **more)]  # type: ignore[arg-type]

    monkeypatch.setattr("shared.outgoing_http.socket.getaddrinfo", turn)
    return left


async def test_a_good_service_is_not_delayed_by_bad_ones(
    database: Database, tmp_path: Path, addresses: list[str]
) -> None:
    certificates = Certificates(tmp_path / "tls", "127.0.0.1", _TURNING)
    context = ssl.create_default_context(cafile=certificates["ca.crt"])
    notifying = Notifying(database)
    await database.write(partial(chats.insert_lobby, now=NOW))
    await notifying.store.add_profiles(ANN, BOB)
    chat = (await notifying.store.create_group(ANN, BOB)).id
    key = make_key()
    push = {"key": key, "permitted_networks": ["127.0.0.0/8"], "timeout_seconds": _TIMEOUT_SECONDS}
    notifying.settings = Settings(push=push)
    sender = HttpPushSender(notifying.settings, SessionMetrics(CollectorRegistry()), context)
    notifying.services.send = sender.send  # type: ignore[method-assign]
    delivery = notifying.delivery = notifying.make()

    subscribe = partial(_subscribe, database, public_text(key))
    tls = certificates.server_context
    with ExitStack() as running:
        held = HeldService(tls())
        running.enter_context(held)
        answers = {status: running.enter_context(WebhookReceiver(partial(_status, status), tls())) for status in _BAD}
        answers[429].headers, answers[307].headers = {"Retry-After": "120"}, {"Location": held.url()}
        good = running.enter_context(WebhookReceiver(partial(_status, 201), tls()))
        for number in range(_MANY):
            await subscribe(_origin(held), str(number))
        bad = {status: await subscribe(_origin(service)) for status, service in answers.items()}
        private = await subscribe("https://10.0.0.1")
        turning = await subscribe(f"https://{_TURNING}:{answers[500].port}")
        await subscribe(_origin(good))
        notifying.services.post(chat)
        await notifying.moved(chat)
        await notifying.decide()
        running.callback(held.released.set)
        async with asyncio.timeout(_TIMEOUT_SECONDS / 2):
            while not good.received or addresses:
                await delivery._start_sending()
                await asyncio.sleep(0.01)
        held.released.set()
        await delivery._tasks.finish(WAIT_SECONDS)
    assert not any(one.path == "/listen?key=1" for one in held.received), "the redirect is not followed"
    listed = await database.read(partial(subscriptions.list_own, account=BOB))
    errors = {
        one.subscription: one.last_error for one in listed if one.subscription in {*bad.values(), private, turning}
    }
    assert errors == {
        bad[429]: "status 429", bad[500]: "status 500", bad[307]: "status 307",
        private: _UNREACHABLE, turning: _UNREACHABLE,
    }, "that with 410 is removed"  # fmt: skip
    assert sum(one.headers["host"].startswith(_TURNING) for one in answers[500].received) == 1
    await delivery.close()
    sender.close()


async def _subscribe(database: Database, key: str, origin: str, path: str = "") -> int:
    members = PushedDevice().members(f"{origin}/{path}")
    request = Subscribe(members["endpoint"], members["p256dh"], members["auth"], sid="s", actor=BOB)
    new = NewDevice(request, origin, key)
    return await database.write(partial(subscriptions.subscribe, new=new, most=1_000, now=NOW))


def _status(status: int, _: Received) -> int:
    return status


def _origin(service: WebhookReceiver) -> str:
    return service.url(path="")
