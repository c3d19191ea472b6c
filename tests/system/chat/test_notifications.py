"""Points 9, 10 and 25: notifications of the web client, from a message in another protocol to the click.

Three things are simulated. `PushManager` of the page is replaced, because a browser cannot reach a push service here:
the subscription has the keys of the test, and the address of the test's own push service. DevTools give the worker the
content that the push service would deliver. The click is an event that the test makes, and such an event may neither
focus nor open a window.
"""

import json
import secrets
import time
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, CDPSession, Worker, expect

from tests.support.browser import WHOLE_CHROMIUM
from tests.support.chat_page import PASSWORD, ChatPage, chat_user
from tests.support.cluster import RELAXED, Cluster
from tests.support.first_page import NO_GPU, launched
from tests.support.native_http import post
from tests.support.push_device import PushedDevice
from tests.support.tls_servers import Certificates
from tests.support.waiting import WAIT_SECONDS
from tests.support.webhook_receiver import WebhookReceiver
from tests.system.chat.conftest import Bob
from tests.system.conftest import trusting
from tests.system.mail import Postbox
from tests.system.test_push_mail import PUBLIC, registered
from tests.system.users import NativeUser, V2User, new_account

pytestmark = [
    pytest.mark.xdist_group("chat_offline"),
    pytest.mark.skipif(WHOLE_CHROMIUM is None, reason="there is no chromium with notifications"),
]

_SETTINGS = (
    "--set", 'push.permitted_networks=["127.0.0.0/8"]', "--set", "push.delay_seconds=0.5",
    "--set", f"edge.public_url={PUBLIC}",
)  # fmt: skip
_PUSH_MANAGER = """(keys) => {
  const stored = () => JSON.parse(localStorage.getItem("test.subscription") ?? "null");
  const bytes = (text) => Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (one) => one.charCodeAt(0));
  const made = (key) => key && {
    options: { userVisibleOnly: true, applicationServerKey: bytes(key).buffer },
    toJSON: () => ({ ...keys, endpoint: localStorage.getItem("test.endpoint") ?? keys.endpoint }),
    unsubscribe: async () => { localStorage.removeItem("test.subscription"); return true; },
  };
  PushManager.prototype.getSubscription = async () => made(stored());
  PushManager.prototype.subscribe = async ({ applicationServerKey, userVisibleOnly }) => {
    if (!userVisibleOnly) throw new TypeError("silent");
    if ((stored() ?? applicationServerKey) !== applicationServerKey) throw new TypeError("bound to another key");
    localStorage.setItem("test.subscription", JSON.stringify(applicationServerKey));
    return made(applicationServerKey);
  };
}"""
_SHOWN = "async () => (await registration.getNotifications()).map(({ title, body, tag }) => [title, body, tag])"
_CLICK = """async (tag) => {
  const [notification] = await registration.getNotifications({ tag });
  dispatchEvent(new NotificationEvent("notificationclick", { notification }));
}"""

_REPLACE = """(applicationServerKey) => {
  PushManager.prototype.subscribe = async (options) => {
    self.replaced = [options.applicationServerKey, options.userVisibleOnly];
  };
  const oldSubscription = { options: { applicationServerKey } };
  dispatchEvent(Object.assign(new ExtendableEvent("pushsubscriptionchange"), { oldSubscription }));
}"""


@pytest.fixture(scope="module")
def chromium_browser(chromium_browser: Browser) -> Iterator[Browser]:
    """A whole Chromium, because the headless shell shows no notifications."""
    with launched(chromium_browser.browser_type, WHOLE_CHROMIUM, NO_GPU, "--process-per-site") as browser:
        yield browser


@pytest.fixture(scope="module")
def pushing(tmp_path_factory: pytest.TempPathFactory, certificates: Certificates) -> Iterator[Cluster]:
    with trusting(certificates, tmp_path_factory.mktemp("push") / "data", *_SETTINGS) as cluster:
        yield cluster


@pytest.fixture
def mailing(tmp_path_factory: pytest.TempPathFactory, postbox: Postbox) -> Iterator[Cluster]:
    flags = postbox.flags("push.mail_minutes=30", f"edge.public_url={PUBLIC}")
    with Cluster(tmp_path_factory.mktemp("mailing") / "data", *RELAXED, *flags) as cluster:
        yield cluster


class Browsing:
    """Ann's browser, and the push service of the test to which it subscribes."""

    def __init__(self, page: ChatPage, edge: str, service: WebhookReceiver) -> None:
        self.page, self.service, self.device, self._edge = page, service, PushedDevice(), edge
        self._origin = page.address.removesuffix("/chat")
        members = self.device.members(service.url())
        keys = {"endpoint": members["endpoint"], "keys": {name: members[name] for name in ("p256dh", "auth")}}
        self._context = page.page.context
        self._context.grant_permissions(["notifications"], origin=self._origin)
        self._context.add_init_script(f"({_PUSH_MANAGER})({json.dumps(keys)})")
        self._devtools: CDPSession = self._context.new_cdp_session(self._context.new_page())
        self._registrations: list[str] = []
        self._devtools.on("ServiceWorker.workerRegistrationUpdated", self._note)
        self._devtools.send("ServiceWorker.enable")
        page.open().register("Ann", f"ann{secrets.token_hex(4)}")
        self.account = page.account()
        secret = {"scheme": "plain", "value": PASSWORD}
        self._token = post(edge, "login", identifier=str(self.account), secret=secret).body["token"]

    def _note(self, event: dict[str, Any]) -> None:
        self._registrations += [one["registrationId"] for one in event["registrations"]]

    def call(self, op: str, **members: Any) -> dict[str, Any]:
        """Carries out an operation over HTTP, as another device of Ann."""
        reply = post(self._edge, op, self._token, **members)
        assert reply.status == 200, reply.body
        return reply.body

    @property
    def worker(self) -> Worker:
        (worker,) = self._context.service_workers
        return worker

    def turn_on(self) -> None:
        self.page.page.get_by_role("link", name="Settings").click()
        self.page.page.get_by_role("button", name="Notify me on this device").click()
        self.page.page.get_by_role("button", name="Send a test").wait_for()

    def close_pages(self) -> None:
        """Closes all pages of the client, so that only its service worker still runs."""
        self.page.page.close()

    def open_again(self) -> None:
        self.page = ChatPage(self._context.new_page(), self._origin).open().until_connected()

    def second_tab(self) -> ChatPage:
        """Logs out, and opens another tab, which hears nothing of this one. No user is signed in in any tab then."""
        self.page.log_out()
        tab = self._context.new_page()
        tab.add_init_script("Object.defineProperty(BroadcastChannel.prototype, 'onmessage', { set() {} });")
        return ChatPage(tab, self._origin).open()

    def lose(self) -> int:
        """Makes the push service end the subscription. Returns the number of the subscription."""
        (one,) = self.call("subscriptions")["subscriptions"]
        number: int = one["subscription"]
        self.service.status_of = lambda _: 410
        assert post(self._edge, "test_push", self._token, subscription=number).status == 503
        self.service.status_of = lambda _: 201
        return number

    def next(self, text: str) -> dict[str, Any]:
        """Waits until the newest notification at the push service contains this text. Returns this notification."""
        key = self.call("push_key")["key"]

        def is_last(found: list[Any]) -> bool:
            return bool(found) and text in str(self.device.read(found[-1], key).shown)

        self.service.wait(is_last)
        return self.device.read(self.service.received[-1], key).content

    def deliver(self, content: dict[str, Any]) -> None:
        message = {"origin": self._origin, "registrationId": self._registrations[-1], "data": json.dumps(content)}
        self._devtools.send("ServiceWorker.deliverPushMessage", message)

    def wait_until_forgotten(self) -> None:
        """Waits until the page has removed its subscription.

        It reads repeatedly, because the page's policy forbids Playwright to wait for an expression.
        """
        deadline = time.monotonic() + WAIT_SECONDS
        while self.page.page.evaluate("localStorage.getItem('test.subscription')") is not None:
            assert time.monotonic() < deadline, "the browser is subscribed"
            self.page.page.wait_for_timeout(50)

    def wait_until_shown(self, *expected: tuple[str, str, int | str]) -> None:
        deadline = time.monotonic() + WAIT_SECONDS
        wanted = [[title, body, str(chat)] for title, body, chat in expected]
        while (shown := self.worker.evaluate(_SHOWN)) != wanted:
            assert time.monotonic() < deadline, shown
            self._context.pages[0].wait_for_timeout(50)


@pytest.fixture
def browsing(pushing: Cluster, certificates: Certificates, chromium_browser: Browser) -> Iterator[Browsing]:
    with (
        WebhookReceiver(lambda _: 201, certificates.server_context()) as service,
        chat_user(chromium_browser, pushing.edges[0], service_workers="allow") as page,
    ):
        yield Browsing(page, pushing.edges[0], service)


def test_09_a_click_opens_the_message_in_the_tab_that_is_open(browsing: Browsing, pushing: Cluster) -> None:
    """A message of a v2 client causes a notification through the push service.

    A click on the notification opens the message in the open tab.
    """
    page = browsing.page
    browsing.turn_on()
    with V2User(pushing.edges[1]) as bob:
        bob.register()
        chat = browsing.call("open", account=bob.account.number)["chat"]
        bob.list_session(chat)
        bob.post(chat, "Hello from v2")
        content = browsing.next("Hello from v2")
    browsing.deliver(content)
    browsing.wait_until_shown((content["notification"]["title"], "Hello from v2", chat))
    browsing.worker.evaluate(_CLICK, str(chat))
    page.until_received("Hello from v2")
    assert page.page.url == f"{page.address}/{chat}/1"
    browsing.wait_until_shown()
    assert page.reports() == []


def test_10_what_comes_while_everything_is_closed_is_shown_once_a_chat(browsing: Browsing, pushing: Cluster) -> None:
    browsing.turn_on()
    bob = Bob(pushing.edges[1])
    team, other = (bob.group(name, browsing.account) for name in ("Team", "Other"))
    browsing.close_pages()
    browsing.worker.evaluate("navigator.setAppBadge = async (count) => { self.badge = count; }")
    for text in ("one", "two"):
        bob.send(team, text)
        browsing.deliver(browsing.next(text))
    browsing.wait_until_shown(("Bob in Team", "two\n2 new messages", team))
    assert browsing.worker.evaluate("self.badge") == 2
    browsing.call("read", chat=team, index=2)
    bob.send(other, "three")
    browsing.deliver(browsing.next("three"))
    browsing.wait_until_shown(("Bob in Other", "three", other))
    browsing.worker.evaluate("registration.showNotification('stale', { tag: 'x', data: { chat: 1, index: 1 } })")
    browsing.open_again()
    browsing.wait_until_shown(("Bob in Other", "three", other))
    browsing.call("read", chat=other, index=1)
    browsing.wait_until_shown()


def test_10_a_notification_of_what_is_read_by_now_goes_at_once(browsing: Browsing, pushing: Cluster) -> None:
    """The browser itself removes other notifications after half a minute, but none that demand an interaction."""
    browsing.turn_on()
    bob = Bob(pushing.edges[1])
    team = bob.group("Team", browsing.account)
    bob.send(team, "one")
    content = browsing.next("one")
    browsing.deliver(content)
    browsing.wait_until_shown(("Bob in Team", "one", team))
    browsing.call("read", chat=team, index=1)
    browsing.wait_until_shown()
    browsing.worker.evaluate("navigator.setAppBadge = async (count) => { self.badge = count; }")
    staying = {**content["notification"], "requireInteraction": True}
    for badge in (7, 8, 9):  # the page itself may reset the first badge, because it has read the messages
        browsing.deliver({**content, "notification": staying, "app_badge": badge})
        deadline = time.monotonic() + WAIT_SECONDS
        while browsing.worker.evaluate("self.badge") != badge:
            assert time.monotonic() < deadline, "the notification does not arrive"
            browsing.page.page.wait_for_timeout(50)
        browsing.wait_until_shown()


def test_10_each_start_registers_again_with_the_key_of_the_server(browsing: Browsing) -> None:
    browsing.turn_on()
    browsing.lose()
    page = browsing.page.page
    page.evaluate("localStorage.setItem('test.subscription', JSON.stringify('A'.repeat(86)))")
    page.reload()
    page.get_by_role("button", name="Send a test").wait_for()
    stored = "JSON.parse(localStorage.getItem('test.subscription'))"
    assert page.evaluate(stored) == browsing.call("push_key")["key"]
    browsing.page.log_out()
    page.get_by_role("button", name="Sign in").first.wait_for()
    browsing.wait_until_forgotten()
    assert browsing.call("subscriptions") == {"subscriptions": []}


@pytest.mark.parametrize("path", ["", "/another"])
def test_10_a_device_that_another_one_has_removed_comes_back_by_a_click_alone(browsing: Browsing, path: str) -> None:
    """This also holds if the device's browser has another endpoint by then."""
    browsing.turn_on()
    (one,) = browsing.call("subscriptions")["subscriptions"]
    browsing.call("unsubscribe", subscription=one["subscription"])
    page = browsing.page.page
    page.evaluate(f"localStorage.setItem('test.endpoint', '{browsing.service.url()}{path}')")
    page.reload()
    page.get_by_role("button", name="Notify me on this device").wait_for()
    browsing.wait_until_forgotten()
    page.reload()
    browsing.page.until_connected()
    assert browsing.call("subscriptions") == {"subscriptions": []}
    browsing.turn_on()
    assert len(browsing.call("subscriptions")["subscriptions"]) == 1


def test_10_a_subscription_that_the_browser_replaces_is_registered_with_the_same_key(browsing: Browsing) -> None:
    """Here, `subscribe` of the worker is also replaced."""
    browsing.turn_on()
    before = browsing.lose()
    browsing.worker.evaluate(_REPLACE, browsing.call("push_key")["key"])
    deadline = time.monotonic() + WAIT_SECONDS
    while not (after := browsing.call("subscriptions")["subscriptions"]):
        assert time.monotonic() < deadline, "the page has not registered the new one"
        browsing.page.page.wait_for_timeout(50)
    assert after[0]["subscription"] > before
    assert browsing.worker.evaluate("self.replaced") == [browsing.call("push_key")["key"], True]


def test_10_a_device_is_not_notified_for_the_account_that_another_tab_has_replaced(browsing: Browsing) -> None:
    tab = browsing.second_tab()
    browsing.page.register("Ann", f"ann{secrets.token_hex(4)}")
    browsing.turn_on()
    browsing.worker.evaluate("registration.showNotification('hers', { tag: 'x', data: {} })")
    tab.register("Carl", f"carl{secrets.token_hex(4)}")
    browsing.wait_until_forgotten()
    browsing.wait_until_shown()


def test_25_levels_do_not_disturb_devices_and_a_test(browsing: Browsing, pushing: Cluster) -> None:
    browsing.turn_on()
    page = browsing.page.page
    expect(page.get_by_text("nothing delivered yet")).to_be_visible()
    page.get_by_role("button", name="Send a test").click()
    expect(page.get_by_text("last delivered")).to_be_visible()
    browsing.deliver(browsing.next("Notifications work"))
    browsing.wait_until_shown(("Notifications work on this device", "", "test"))
    page.get_by_label("from", exact=True).fill("23:30")
    page.get_by_label("Do not disturb").check()
    page.get_by_text("Saved.").wait_for()
    settings = browsing.call("settings")
    assert (settings["quiet"]["from"], settings["quiet"]["to"]) == ("23:30", "07:00")
    page.get_by_label("Do not disturb").uncheck()
    assert browsing.page.violations() == []
    bob = Bob(pushing.edges[1])
    team = bob.group("Team", browsing.account)
    browsing.page.go("Team")
    page.get_by_role("button", name="Actions of the chat").click()
    page.get_by_role("menuitem", name="Alerts for mentions alone").click()
    browsing.page.until(lambda: browsing.call("chat", chat=team).get("mentions_only") is True)
    page.get_by_role("link", name="Settings").click()
    bob.send(team, "for nobody")
    mention = {"t": "mention", "account": browsing.account, "text": "@Ann"}
    bob.call("send", chat=team, segments=[mention], nonce=secrets.token_hex(8))
    browsing.next("@Ann")
    assert len(browsing.service.received) == 2, "the test, and the mention"
    page.get_by_role("button", name="Remove").click()
    page.get_by_role("button", name="Notify me on this device").wait_for()
    expect(page.locator(".device")).to_have_count(0)
    assert browsing.call("subscriptions") == {"subscriptions": []}


def test_25_one_click_begins_the_mails_and_another_ends_them(
    mailing: Cluster, postbox: Postbox, chromium_browser: Browser
) -> None:
    edge = mailing.edges[0]
    with NativeUser(edge) as ann, chat_user(chromium_browser, edge, service_workers="allow") as page:
        ann.account = new_account()
        email, secret = ann.account.email, {"scheme": "plain", "value": PASSWORD}
        ann.call("register", secret=secret, nickname="Ann", email=email)
        ann.do("verify_mail")
        registered(ann, edge, postbox)
        ann.receive('{"re":1,"account"')
        page.open().sign_in(email).page.get_by_role("link", name="Settings").click()
        device, wish = page.page.locator(".device"), page.page.get_by_role("button", name="Mail me when")
        wish.click()
        expect(device).to_contain_text("By mail")
        expect(wish).to_have_count(0)
        assert [one["kind"] for one in ann.call("subscriptions")["subscriptions"]] == ["mail"]
        assert page.violations() == []
        device.get_by_role("button", name="Remove").click()
        wish.wait_for()
        expect(device).to_have_count(0)
        assert ann.call("subscriptions")["subscriptions"] == []
