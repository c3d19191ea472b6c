"""Messages are sent exactly once: without a network, with two tabs, or without encryption."""

import re
import secrets
from collections.abc import Callable

import pytest
from playwright.sync_api import Browser, Page, Route, WebSocketRoute, expect

from tests.support.chat_page import ChatPage, chat_user
from tests.support.cluster import Cluster
from tests.system.chat.conftest import Bob

pytestmark = pytest.mark.xdist_group("chat_offline")

_OUTBOX = """((method, value) => new Promise((resolve) => {
  indexedDB.databases().then((all) => indexedDB.open(all.find(({ name }) => /dragoman-/.test(name)).name).onsuccess =
    ({ target: { result } }) => {
      result.transaction("outbox", "readwrite").objectStore("outbox")[method](value).onsuccess = (event) => {
        resolve(event.target.result);
        result.close();
      };
    });
}))"""
"""A script that reads or changes the outbox that this browser has stored."""

_WATCH_PLACES = """
  [window.last, window.places] = [Infinity, []];
  const put = IDBObjectStore.prototype.put;
  IDBObjectStore.prototype.put = function (value, ...key) {
    if (this.name === "messages") window.last = Math.max(window.last, value.index);
    if (this.name === "places") window.places.push([value.at[0], window.last]);
    return put.call(this, value, ...key);
  };
"""
"""A script that records each position of a chat that is stored from now on.

With it, it records the index of the last message that was stored before.
"""

_HOLD_READS = """
  window.held = [];
  const listen = IDBRequest.prototype.addEventListener;
  IDBRequest.prototype.addEventListener = function (kind, listener, ...options) {
    const isRead = kind === "success" && this.source?.name === "messages" && this.transaction.mode === "readonly";
    const isHeld = () => isRead && window.held && !(this.result instanceof IDBCursor);
    const later = (event) => { if (isHeld()) window.held.push(() => listener(event)); else listener(event); };
    return listen.call(this, kind, isRead ? later : listener, ...options);
  };
"""
"""A script that holds the results of reading single messages from the store."""

_RELEASE_READS = """() => {
  for (const give of window.held) give();
  window.held = undefined;
}"""
_NO_STORAGE = """
  const reject = () => { throw new DOMException("denied", "SecurityError"); };
  Object.defineProperty(window, "localStorage", { get: reject, configurable: true });
  LockManager.prototype.request = async () => reject();
  IDBFactory.prototype.open = IDBFactory.prototype.deleteDatabase = reject;
"""
"""A script with which the browser stores no data, because its user does not allow it."""
_FRAME = "() => new Promise((resolve) => requestAnimationFrame(resolve))"


def test_21_what_is_written_offline_is_sent_once(ann: ChatPage, bob: Bob, team: int) -> None:
    bob.send(team, "before")
    ann.go("Team").until_received("before")
    ann.page.wait_for_function("navigator.serviceWorker.ready.then(() => true)")
    context = ann.page.context
    context.set_offline(True)
    ann.page.reload()
    ann.go("Team").until_received("before")
    for number in range(3):
        ann.send(f"offline {number}")
    expect(ann.page.locator(".drawer-line")).to_contain_text("3 messages are waiting")
    ann.page.reload()
    ann.go("Team").until_received("offline 2")
    context.set_offline(False)
    ann.until_sent("offline 2")
    expect(ann.page.locator(".drawer-line")).to_contain_text("Everything is sent.")
    assert bob.texts(team) == ["before", "offline 0", "offline 1", "offline 2"]
    assert [text for text in ann.texts() if "offline" in text] == ["offline 0", "offline 1", "offline 2"]
    ann.complaints.clear()


@pytest.mark.xdist_group("chat")
def test_21_a_message_from_the_store_takes_its_changes(ann: ChatPage, bob: Bob, team: int) -> None:
    """The changes come after the message was read and before the page has it."""
    index = bob.send(team, "well?")
    ann.until(lambda: index in ann.stored(team))
    ann.page.add_init_script(_HOLD_READS)
    ann.page.reload()
    ann.until_connected().until(lambda: ann.page.evaluate("window.held.length"))
    bob.call("react", chat=team, index=index, emoji="👍")
    bob.call("edit", chat=team, index=index, text="well, finally", nonce="edited")
    ann.until(lambda: "edited" in ann.stored(team)[index])
    ann.page.evaluate(_FRAME)
    ann.page.evaluate(_RELEASE_READS)
    expect(ann.chat("Team")).to_contain_text("well, finally")
    expect(ann.go("Team").message("well, finally").locator(".reaction")).to_have_text("👍 1")


class HeldFrames:
    """The frames that the server sends to this page. Those that `is_held` accepts are held until `release`."""

    def __init__(self, page: Page, is_held: Callable[[str], bool]) -> None:
        self.is_held = is_held
        self.frames: list[str] = []
        self._page = page
        self._socket: WebSocketRoute | None = None
        page.route_web_socket("**/ws/native", self._forward)

    def wait_for(self, part: str, number: int = 1) -> None:
        """Waits until this number of the held frames contain this part."""
        while sum(part in frame for frame in self.frames) < number:
            self._page.wait_for_timeout(50)

    def release(self) -> None:
        self.is_held = lambda _: False
        assert self._socket is not None
        for frame in self.frames:
            self._socket.send(frame)

    def _forward(self, socket: WebSocketRoute) -> None:
        self._socket = socket
        socket.connect_to_server().on_message(lambda frame: self._take(socket, str(frame)))

    def _take(self, socket: WebSocketRoute, frame: str) -> None:
        if self.is_held(frame):
            self.frames.append(frame)
        else:
            socket.send(frame)


@pytest.mark.xdist_group("chat")
def test_21_a_page_of_the_history_has_the_changes_that_have_overtaken_it(
    ann: ChatPage, bob: Bob, team: int, system: Cluster, chromium_browser: Browser
) -> None:
    for number in range(60):
        bob.send(team, f"well? {number}")
    ann.go("Team").to_last("well? 59")
    expect(ann.chat("Team").locator(".badge")).to_have_count(0)
    with chat_user(chromium_browser, system.edges[0]) as phone:
        held = HeldFrames(phone.page, lambda frame: '"messages":[' in frame)
        phone.open().sign_in(str(ann.account())).go("Team").until_received("well? 59")
        phone.page.locator(".scroller").evaluate("(one) => { one.scrollTop = 0; }")
        held.wait_for('"messages":[')
        bob.call("edit", chat=team, index=3, text="finally", nonce="edited")
        bob.call("react", chat=team, index=3, emoji="👍")
        phone.page.wait_for_timeout(500)
        held.release()
        phone.to_top("finally")
        expect(phone.message("finally").locator(".reaction")).to_have_text("👍 1")
        assert phone.stored(team)[3]["segments"] == [{"t": "text", "text": "finally"}]
        assert phone.stored(team)[3]["reactions"] == {"👍": 1}


@pytest.mark.xdist_group("chat")
def test_21_changes_that_come_together_are_all_stored(ann: ChatPage, bob: Bob, team: int) -> None:
    held = HeldFrames(ann.page, lambda _: False)
    ann.page.reload()
    ann.until_connected().go("Team")
    held.is_held = lambda _: True
    bob.send(team, "first")
    index = bob.send(team, "secnd")
    bob.call("edit", chat=team, index=index, text="second", nonce="edited")
    bob.call("react", chat=team, index=index, emoji="👍")
    held.wait_for('"changed"', 2)
    held.release()
    for _ in ("as they come", "as they are stored"):
        expect(ann.message("second").locator(".reaction")).to_have_text("👍 1")
        ann.page.reload()


@pytest.mark.xdist_group("chat")
def test_21_the_place_of_a_chat_is_never_stored_before_its_messages(ann: ChatPage, bob: Bob, team: int) -> None:
    """The next sync requests only what comes after the stored position, and a page may be closed between any two
    transactions. So messages must be stored before the position.
    """
    held = HeldFrames(ann.page, lambda _: False)
    ann.page.add_init_script(_WATCH_PLACES)
    ann.page.reload()
    ann.until_connected().go("Team")
    held.is_held = lambda _: True
    for number in range(20):
        bob.send(team, f"well? {number}")
    held.wait_for('"message"', 20)
    ann.page.evaluate("() => { window.last = 0; }")
    held.release()
    ann.page.wait_for_function("() => window.places.some(([index]) => index === 20)")
    assert [place for place in ann.page.evaluate("window.places") if place[0] > place[1]] == []


@pytest.mark.xdist_group("chat")
def test_21_a_late_tab_knows_what_the_others_know(ann: ChatPage, bob: Bob, team: int) -> None:
    """A new tab also shows messages that the first tab has not stored."""
    ann.go("Team").page.evaluate("() => { IDBDatabase.prototype.transaction = () => { throw new Error('no'); }; }")
    bob.send(team, "just now")
    ann.until_received("just now")
    ann.another_tab().go("Team").until_received("just now")


def test_21_two_tabs_share_what_is_sent(ann: ChatPage, bob: Bob, team: int) -> None:
    ann.go("Team")
    other = ann.another_tab().go("Team")
    other.send("from the second tab")
    other.until_sent("from the second tab")
    ann.until_sent("from the second tab")
    ann.send("from the first tab")
    other.until_sent("from the first tab")
    ann.page.context.set_offline(True)
    other.send("as the first goes")
    expect(other.page.locator(".drawer-line")).to_contain_text("1 message is waiting")
    # without this pause, the tab that has just written the message would send it itself
    other.page.wait_for_timeout(1500)
    ann.page.close()
    ann.page = other.page
    ann.page.context.set_offline(False)
    other.until_sent("as the first goes")
    other.send("after the first is gone")
    other.until_sent("after the first is gone")
    lines = ["from the second tab", "from the first tab", "as the first goes", "after the first is gone"]
    assert bob.texts(team) == lines
    expect(other.page.locator(".message")).to_have_count(4)
    ann.complaints.clear()


def test_21_a_new_tab_does_not_wait_for_a_message_that_was_sent_before(ann: ChatPage, bob: Bob, team: int) -> None:
    """The new tab reads the outbox from before the other tab stores that the message was sent."""
    ann.go("Team")
    ann.page.context.set_offline(True)
    ann.send("sent before")
    ann.until(lambda: ann.page.evaluate(f"async () => (window.old = await {_OUTBOX}('getAll')).length"))
    ann.page.context.set_offline(False)
    ann.until_sent("sent before")
    ann.until(lambda: not ann.page.evaluate(f"() => {_OUTBOX}('count')"))
    ann.page.evaluate(f"() => {_OUTBOX}('put', window.old[0])")
    other = ann.another_tab()
    expect(other.page.locator(".drawer-line")).to_contain_text("Everything is sent.")
    other.go("Team").until_sent("sent before")
    assert bob.texts(team) == ["sent before"]
    ann.complaints.clear()


@pytest.mark.xdist_group("chat")
def test_21_a_tab_that_is_closed_at_once_leaves_its_message_to_the_others(ann: ChatPage, bob: Bob, team: int) -> None:
    """The tab has stored the message, but its request to send the message is lost."""
    ann.go("Team")
    other = ann.another_tab().go("Team")
    other.page.evaluate(
        "() => { const post = BroadcastChannel.prototype.postMessage; BroadcastChannel.prototype.postMessage ="
        " function (letter) { if (letter.kind !== 'post') post.call(this, letter); }; }"
    )
    other.send("left behind")
    ann.until_received("left behind")
    other.page.close()
    ann.until_sent("left behind")
    assert bob.texts(team) == ["left behind"]


def test_a_server_of_another_build_offers_to_load_its_page(system: Cluster, chromium_browser: Browser) -> None:
    """This browser runs no service worker, which would also offer to reload the page."""
    later: list[str] = []

    def forward(socket: WebSocketRoute) -> None:
        server = socket.connect_to_server()
        server.on_message(lambda text: socket.send(re.sub('"web":"[0-9A-Z]+"', later[0], str(text)) if later else text))

    with chat_user(chromium_browser, system.edges[0]) as ann:
        ann.page.add_init_script("delete Navigator.prototype.serviceWorker;")
        ann.page.route_web_socket("**/ws/native", forward)
        ann.open().register("Ann", f"ann{secrets.token_hex(4)}")
        reload = ann.page.locator(".note").get_by_role("button", name="Reload")
        ann.page.get_by_role("link", name="Settings").click()
        expect(reload).to_have_count(0)
        later.append('"web":"LATER"')
        ann.page.reload()
        reload.wait_for()
        ann.page.evaluate("window.isFormer = true")
        later.clear()
        reload.click()
        ann.page.wait_for_function("!window.isFormer")
        ann.until_connected()
        expect(reload).to_have_count(0)


@pytest.mark.xdist_group("chat")
def test_a_rejected_text_stays_with_its_reason(ann: ChatPage, bob: Bob, team: int) -> None:
    ann.go("Team")
    bob.call("silence", chat=team, account=ann.account(), until=4_000_000_000_000)
    ann.send("may I?")
    rejected = ann.page.locator(".message-rejected")
    expect(rejected).to_contain_text("may I?")
    expect(rejected).to_contain_text("Not sent: you may not write here now")
    bob.call("silence", chat=team, account=ann.account(), until=0)
    ann.page.reload()
    expect(rejected).to_contain_text("may I?")
    ann.page.wait_for_timeout(1500)
    assert bob.texts(team) == [], "it is sent when its author says so"
    rejected.get_by_role("button", name="Send again").click()
    ann.until_sent("may I?")
    expect(rejected).to_have_count(0)
    assert bob.texts(team) == ["may I?"]


def test_a_text_to_a_chat_that_has_gone_is_kept_with_its_reason(ann: ChatPage, bob: Bob, team: int) -> None:
    ann.go("Team")
    ann.page.context.set_offline(True)
    ann.send("to nobody")
    ann.until_received("to nobody")
    bob.call("kick", chat=team, account=ann.account())
    ann.page.context.set_offline(False)
    drawer = ann.page.locator("footer.drawer")
    expect(drawer).to_contain_text("1 message was not sent", timeout=30_000)
    ann.page.reload()
    expect(drawer).to_contain_text("1 message was not sent")
    drawer.locator(".drawer-line").click()
    expect(drawer.locator(".drawer-details")).to_contain_text("to nobody")
    drawer.get_by_role("button", name="Remove").click()
    expect(drawer).to_contain_text("Everything is sent.")
    ann.complaints.clear()


def test_27_a_phone_that_was_suspended_in_a_refresh_is_still_logged_in(ann: ChatPage, team: int) -> None:
    lost: list[int] = []

    def lose(route: Route) -> None:
        lost.append(route.fetch().status)
        route.abort()

    ann.go("Team").page.route("**/api/v1/refresh", lose)
    with ann.page.expect_event("requestfailed"):
        ann.page.reload()
    assert lost == [200], "the server has given a new token, which has not come"
    ann.page.unroute("**/api/v1/refresh")
    ann.page.reload()
    ann.until_connected().go("Team").send("still here")
    ann.until_sent("still here")
    ann.complaints.clear()


@pytest.mark.xdist_group("chat")
def test_an_ended_session_leads_to_the_entrance_and_keeps_what_was_written(
    ann: ChatPage, team: int, system: Cluster, chromium_browser: Browser
) -> None:
    number = str(ann.account())
    ann.go("Team").field.press_sequentially("not sent yet")
    with chat_user(chromium_browser, system.edges[1]) as other:
        other.open().sign_in(number)
        other.page.get_by_role("link", name="Devices").click()
        other.page.get_by_role("button", name="End").click()
    ann.page.get_by_text("Your login has ended.").wait_for()
    ann.sign_in(number).go("Team")
    expect(ann.field).to_have_value("not sent yet")
    ann.complaints.clear()


def test_logging_out_in_one_tab_ends_the_login_in_all(ann: ChatPage, team: int, chromium_browser: Browser) -> None:
    number = str(ann.account())
    ann.go("Team")
    other = ann.another_tab()
    ended = ann.page.context.storage_state(indexed_db=True)
    other.log_out()
    for tab in (other, ann):
        tab.page.get_by_role("button", name="Create account").wait_for()
    ann.page.reload()
    ann.page.get_by_role("button", name="Create account").wait_for()
    with chat_user(chromium_browser, ann.address.removesuffix("/chat"), storage_state=ended) as kept:
        kept.open()
        kept.page.get_by_text("Your login has ended.").wait_for()
        kept.sign_in(number).page.get_by_role("link", name="Devices").click()
        expect(kept.page.locator(".device")).to_have_count(1)
    ann.complaints.clear()


def test_signing_in_in_one_tab_signs_in_in_all_without_a_dialog_of_the_former_login(ann: ChatPage) -> None:
    number, other = str(ann.account()), ann.another_tab()
    ann.page.keyboard.press("Control+k")
    ann.page.get_by_role("dialog").wait_for()
    other.log_out()
    ann.page.get_by_role("button", name="Create account").wait_for()
    other.sign_in(number)
    ann.until_connected()
    expect(ann.page.get_by_role("dialog")).to_have_count(0)


def test_logging_out_offline_warns_that_the_login_goes_on_at_the_server(ann: ChatPage) -> None:
    """The tab that has the connection can only know it from the other one."""
    ann.page.wait_for_function("navigator.serviceWorker.ready.then(() => true)")
    other = ann.another_tab()
    ann.page.context.set_offline(True)
    other.log_out()
    other.page.get_by_text("has not ended this login").wait_for()
    ann.page.get_by_role("button", name="Create account").wait_for()
    ann.page.context.set_offline(False)
    ann.page.reload()
    ann.page.get_by_role("button", name="Create account").wait_for()
    ann.complaints.clear()


def test_without_https_it_works_and_explains_what_is_missing(system: Cluster, chromium_browser: Browser) -> None:
    with chat_user(chromium_browser, system.edges[0], service_workers="allow") as page:
        page.page.add_init_script(
            "delete Navigator.prototype.locks; delete Navigator.prototype.serviceWorker;"
            "Object.defineProperty(window, 'isSecureContext', { value: false });"
        )
        page.open().register("Zoe", "zoe" + re.sub(r"\D", "", system.edges[0]))
        page.page.get_by_role("link", name="Settings").click()
        page.page.get_by_text("This page is not encrypted.").wait_for()
        assert page.complaints == []


def test_it_works_in_a_browser_that_stores_no_data(system: Cluster, chromium_browser: Browser) -> None:
    with chat_user(chromium_browser, system.edges[0]) as page:
        page.page.add_init_script(_NO_STORAGE)
        name = f"zoe{secrets.token_hex(4)}"
        page.open().register("Zoe", name).log_out()
        page.sign_in(name)
        assert page.complaints == []
