"""Devices are notified of messages that their users have not read, also while processes are killed.

Two replicas of session may send the notifications. The push service is that of the test.
"""

import base64
import secrets
import ssl
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from pydantic import SecretStr
from websockets.sync.client import ClientConnection, connect

from local.fork_server import ForkServer
from local.process_group import ProcessGroup
from services.session.service.ports import PUSHES_AT_ONCE
from services.session.tables.push import push_notification, push_subscription
from shared.database import make_engine
from shared.settings import Settings
from shared.settings.messages import PushSettings
from shared.vapid import make_key
from tests.support.cluster import Cluster
from tests.support.native_http import post, register
from tests.support.push_device import PushedDevice, PushNotification
from tests.support.servers import NatsServer, PostgresServer, ValkeyServer
from tests.support.stack import Stack
from tests.support.tls_servers import Certificates
from tests.support.waiting import WAIT_SECONDS, block_until
from tests.support.webhook_receiver import Received, WebhookReceiver
from tests.system.conftest import trusting
from tests.system.push_users import PushUsers
from tests.system.users import V2User

_DELAY_SECONDS = 2
_PUSH = (
    "--set", 'push.permitted_networks=["127.0.0.0/8"]', "--set", f"push.delay_seconds={_DELAY_SECONDS}",
    "--set", "push.longest_pause_seconds=0.2", "--set", "language=en", "--set", "edge.public_url=https://chat.example",
)  # fmt: skip


@pytest.fixture(scope="module")
def pushing(tmp_path_factory: pytest.TempPathFactory, certificates: Certificates) -> Iterator[Cluster]:
    with trusting(certificates, tmp_path_factory.mktemp("push") / "data", *_PUSH) as cluster:
        yield cluster


@pytest.fixture
def service(certificates: Certificates) -> Iterator[WebhookReceiver]:
    with WebhookReceiver(lambda _: 201, certificates.server_context()) as service:
        yield service


class Phone:
    """A device of Ann, who has logged in over `native`."""

    def __init__(self, system: Cluster, service: WebhookReceiver) -> None:
        system.wait_for_edges(WAIT_SECONDS)
        self.edge, self.service, self.device = system.edges[0], service, PushedDevice()
        self.ann = register(self.edge)
        self.account: int = self.ann["account"]
        self.key = self.call("push_key")["key"]
        self.number = self.call("subscribe", **self.device.members(service.url()))["subscription"]

    def call(self, operation: str, **members: Any) -> dict[str, Any]:
        reply = post(self.edge, operation, self.ann["token"], **members)
        while reply.status == 503:
            reply = post(self.edge, operation, self.ann["token"], **members)
        assert reply.status == 200, reply.body
        return reply.body

    def notifications(self) -> list[PushNotification]:
        return [self.device.read(one, self.key) for one in self.service.received]

    def chat_of(self, one: Received) -> str:
        tag: str = self.device.read(one, self.key).shown["tag"]
        return tag

    def wait_for(self, body: str) -> PushNotification:
        def is_last(found: list[Any]) -> bool:
            return bool(found) and body in self.device.read(found[-1], self.key).shown.get("body", "")

        self.service.wait(is_last)
        return self.notifications()[-1]


class Correspondent:
    """A user who writes to Ann, or to another account."""

    def __init__(self, system: Cluster, account: int) -> None:
        self._edge = system.edges[1]
        self._token = register(self._edge)["token"]
        self.chat = post(self._edge, "open", self._token, account=account).body["chat"]

    def send(self, text: str) -> None:
        sent = post(self._edge, "send", self._token, chat=self.chat, text=text, nonce=secrets.token_hex(8))
        assert sent.status == 200, sent.body


def test_a_message_of_another_protocol_notifies_a_device(pushing: Cluster, service: WebhookReceiver) -> None:
    phone = Phone(pushing, service)
    assert phone.call("test_push", subscription=phone.number) == {}
    assert phone.notifications()[0].shown["title"] == "Notifications work on this device"
    with V2User(pushing.edges[1]) as bob:
        bob.register()
        chat = phone.call("open", account=bob.account.number)["chat"]
        bob.list_session(chat)
        bob.post(chat, "Hello")
        shown = phone.wait_for("Hello")
    assert shown.shown["tag"] == str(chat)
    assert (shown.content["unread"], shown.content["app_badge"]) == (1, 1)
    assert (shown.headers["urgency"], len(shown.headers["topic"])) == ("high", 32)
    listed = phone.call("subscriptions")["subscriptions"]
    assert [(one["subscription"], one["origin"]) for one in listed] == [(phone.number, service.url().split("/l")[0])]
    assert listed[0]["last_ok"] > time.time() * 1000 - 60_000


_GOGUMA_CAPABILITIES = (
    "away-notify", "batch", "echo-message", "extended-monitor", "labeled-response", "message-tags", "multi-prefix",
    "sasl", "server-time", "setname", "draft/chathistory", "draft/extended-monitor", "draft/pre-away",
    "draft/read-marker", "soju.im/bouncer-networks", "soju.im/no-implicit-names", "soju.im/webpush",
    "soju.im/bouncer-networks-notify",
)  # fmt: skip


class Goguma:
    """Sends the lines that Goguma (commit d26acea, October 2024) sends at its start, and waits for the replies that it
    waits for.
    """

    def __init__(self, socket: ClientConnection, username: str, password: str) -> None:
        self._socket = socket
        login = base64.b64encode(f"\0{username}\0{password}".encode()).decode()
        lines = ("CAP LS 302", f"NICK {username}", f"USER {username} 0 * {username}")
        requested = (f"CAP REQ {one}" for one in _GOGUMA_CAPABILITIES)
        for line in (*lines, *requested, "AUTHENTICATE PLAIN", f"AUTHENTICATE {login}", "CAP END"):
            self._socket.send(line)
        self.vapid_key = self._await(" VAPID=").partition(" VAPID=")[2].split(" ")[0]
        self._labels = 0

    def register(self, device: PushedDevice, endpoint: str) -> None:
        members = device.members(endpoint)
        keys = ";".join(f"{name}={padded(members[name])}" for name in ("p256dh", "auth"))
        self._web_push(f"REGISTER {endpoint} {keys}")

    def unregister(self, endpoint: str) -> None:
        self._web_push(f"UNREGISTER {endpoint}")

    def _web_push(self, parameters: str) -> None:
        self._labels += 1
        self._socket.send(f"@label={self._labels} WEBPUSH {parameters}")
        reply = self._await("WEBPUSH")
        tags, _, *words = reply.split(" ")
        assert f"label={self._labels}" in tags[1:].split(";")
        assert words == ["WEBPUSH", *parameters.split(" ")[:2]], reply

    def _await(self, text: str) -> str:
        while text not in (line := str(self._socket.recv(WAIT_SECONDS))):
            pass
        return line


def padded(text: str) -> str:
    return text + "=" * (-len(text) % 4)


def test_goguma_is_notified_by_the_lines_that_it_sends(pushing: Cluster, service: WebhookReceiver) -> None:
    username, device = f"ann{secrets.token_hex(4)}", PushedDevice()
    account: int = post(
        pushing.edges[0], "register", username=username, nickname="Ann", secret={"scheme": "plain", "value": "orange"}
    ).body["account"]
    for _ in range(2):  # at each start, it registers the same endpoint again
        with connect(f"{pushing.edges[0]}/ws/irc", proxy=None) as socket:
            phone = Goguma(socket, username, "orange")
            phone.register(device, service.url())
    bob = Correspondent(pushing, account)
    bob.send("Hello")
    service.wait(len)
    body = service.received[0].body
    assert int.from_bytes(body[16:20]) == len(body), "Goguma rejects another size of the record"
    _, _, parameters = service.received[0].headers["authorization"].partition(" ")
    assert parameters.endswith(f"k={phone.vapid_key}")
    tags, source, *words = device.decrypt(body).decode().split(" ")
    assert tags.endswith(f";msgid={bob.chat}-1")
    assert source.startswith(":bot")
    assert words == ["PRIVMSG", username, ":Hello"]
    with connect(f"{pushing.edges[0]}/ws/irc", proxy=None) as socket:
        phone = Goguma(socket, username, "orange")
        phone.unregister(service.url())
        phone.unregister(service.url())


def test_what_is_read_in_time_notifies_nobody(pushing: Cluster, service: WebhookReceiver) -> None:
    phone = Phone(pushing, service)
    bob, cem = Correspondent(pushing, phone.account), Correspondent(pushing, phone.account)
    bob.send("read at once")
    phone.call("read", chat=bob.chat, index=1)
    cem.send("not read")  # this message is in another chat, and whether it notifies is decided later
    assert phone.wait_for("not read").content["unread"] == 1
    assert [one.shown["tag"] for one in phone.notifications()] == [str(cem.chat)]


@pytest.mark.parametrize("name", ["message", "session", "nats"])
def test_a_killed_process_loses_no_notification_and_repeats_none(
    pushing: Cluster, service: WebhookReceiver, name: str
) -> None:
    """The process is killed after the commit and before the notifications. Message and NATS are killed once more while
    notifications are due.

    Session may repeat a notification if it is killed after the push service has accepted it.
    """
    phone = Phone(pushing, service)
    writers = [Correspondent(pushing, phone.account) for _ in range(4)]
    for one in writers:
        one.send(f"before the end of {name}")
    pushing.kill(name)
    if name != "session":
        pushing.wait_for_edges(WAIT_SECONDS)
        pushing.kill(name)
    service.wait(lambda found: len({phone.chat_of(one) for one in found}) == len(writers))
    pushing.wait_for_edges(WAIT_SECONDS)
    last = Correspondent(pushing, phone.account)
    last.send("afterwards")
    phone.wait_for("afterwards")
    assert sorted(map(phone.chat_of, service.received)) == sorted(str(one.chat) for one in [*writers, last])


def test_exactly_the_right_notifications_whatever_is_killed(pushing: Cluster, certificates: Certificates) -> None:
    with ExitStack() as running:
        context = certificates.server_context
        services = [running.enter_context(WebhookReceiver(lambda _: 201, context())) for _ in range(2)]
        pushing.wait_for_edges(WAIT_SECONDS)
        users = PushUsers(pushing, services, 1, _DELAY_SECONDS * 1000, ("message", "session", "nats"))
        running.callback(users.close)
        users.run(60)
        pushing.wait_for_edges(WAIT_SECONDS)
        assert any(map(users.demanded, users.owners))
        for owner in users.owners:
            owner.wait_until_shown(users.demanded(owner))
            owner.change(owner.levels, "all", "set_settings", level="all")
            last = Correspondent(pushing, owner.account)
            last.send("the end")
            owner.wait_until_shown({last.chat: 1})
            shown = Counter(owner.shown())
            assert not users.forbidden(owner) & shown.keys()
            assert sum(shown.values()) - len(shown) <= 1, "session was killed once, perhaps after a push was accepted"


def test_a_device_ends_with_its_login_or_by_its_push_service(pushing: Cluster, service: WebhookReceiver) -> None:
    phone = Phone(pushing, service)
    service.status_of = lambda _: 410
    Correspondent(pushing, phone.account).send("gone")
    service.wait(len)
    deadline = time.monotonic() + WAIT_SECONDS
    while phone.call("subscriptions")["subscriptions"]:
        assert time.monotonic() < deadline
    service.status_of = lambda _: 201
    phone.call("subscribe", **phone.device.members(service.url()))
    post(phone.edge, "logout", phone.ann["token"])
    secret = phone.ann["secret"]
    again = post(phone.edge, "login", kind="id", identifier=str(phone.account), secret=secret)
    phone.ann["token"] = again.body["token"]
    assert phone.call("subscriptions") == {"subscriptions": []}


class HoldingService(WebhookReceiver):
    """A push service that accepts the first `free` requests at once, and the others after `released` is set.

    `begun_for` are the devices of the requests.
    """

    def __init__(self, free: int, tls: ssl.SSLContext) -> None:
        self.begun_for: list[str] = []
        self.released = threading.Event()
        self._free = free
        super().__init__(self._hold, tls)

    def _hold(self, request: Received) -> int:
        self.begun_for.append(request.path)
        if len(self.begun_for) > self._free:
            self.released.wait()
        return 201


class SharedQueue:
    """The queue of devices in the database of session."""

    def __init__(self, url: str) -> None:
        self._engine = make_engine(url.format(service="session"))

    def close(self) -> None:
        self._engine.dispose()

    def waiting(self) -> int:
        """Returns the number of devices that are still to be notified."""
        held = sa.select(sa.func.count()).where(push_notification.c.waiting > 0)
        with self._engine.connect() as connection:
            return connection.execute(held).scalar_one()

    def end_leases(self) -> None:
        """Makes all leases of devices end."""
        with self._engine.begin() as connection:
            connection.execute(push_subscription.update().values(leased_until=0))


@pytest.mark.xdist_group("postgresql")
def test_two_replicas_share_the_devices_and_a_killed_one_leaves_its_own_to_the_other(
    tmp_path: Path, certificates: Certificates, nats_server: NatsServer, valkey_server: ValkeyServer,
    postgres_server: PostgresServer, process_group: ProcessGroup, fork_server: ForkServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """The first replica has notified some devices, and has requests in flight for as many as it takes at once.

    The second replica notifies the rest. The first one is killed before its requests get a response.
    """
    monkeypatch.setenv("SSL_CERT_FILE", certificates["ca.crt"])
    accepted, held, rest = 6, PUSHES_AT_ONCE // 2 - 6, 6
    push = PushSettings(
        key=SecretStr(make_key()), permitted_networks=["127.0.0.0/8"], delay_seconds=0.5, timeout_seconds=60
    )
    change = partial(Settings.model_copy, update={"push": push})
    with ExitStack() as running:
        url = running.enter_context(postgres_server.databases())
        queue = SharedQueue(url)
        running.callback(queue.close)
        service = HoldingService(accepted, certificates.server_context())
        running.enter_context(service)
        running.callback(service.released.set)
        stack = Stack(tmp_path, nats_server, valkey_server, url, process_group, fork_server=fork_server)
        services = running.enter_context(stack.running("auth", "session", "message", "edge", change=change))
        edge, first = f"ws://127.0.0.1:{services[3].port}", services[1]
        bob, users = register(edge), [register(edge) for _ in range(accepted + held + rest)]
        for number, user in enumerate(users):
            members = PushedDevice().members(service.url(path=f"/{number}"))
            assert post(edge, "subscribe", user["token"], **members).status == 200
        accounts = [user["account"] for user in users]
        chat = post(edge, "create", bob["token"], name="Team", members=accounts).body["chat"]
        assert post(edge, "send", bob["token"], chat=chat, text="Hello", nonce="1").status == 200
        block_until(lambda: len(service.begun_for) == accepted + held and queue.waiting() == held + rest)

        second = stack.start("session", change=change)
        running.callback(second.process.wait)
        running.callback(second.process.kill)
        block_until(lambda: len(service.begun_for) == len(users))
        assert len({*service.begun_for}) == len(users), "no device has two requests"
        first.process.kill()
        first.process.wait()
        service.released.set()
        block_until(lambda: queue.waiting() == held)
        queue.end_leases()
        block_until(lambda: queue.waiting() == 0)
    counted = Counter(service.begun_for)
    by_first = service.begun_for[: accepted + held]
    assert {one: counted[one] for one in by_first[:accepted]} == dict.fromkeys(by_first[:accepted], 1)
    assert {one: counted[one] for one in by_first[accepted:]} == dict.fromkeys(by_first[accepted:], 2), (
        "the killed replica has not heard whether they were accepted"
    )
    assert sum(counted.values()) == len(users) + held, "what the second replica has sent was sent once"
