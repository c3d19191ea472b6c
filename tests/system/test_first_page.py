"""Tests the first page: from `dragoman up` to two users who chat in two dialects while a process is killed."""

import re
import sqlite3
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from itertools import product
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Browser

from tests.support.browser import CHROMIUM
from tests.support.cluster import Cluster
from tests.support.first_page import AXE, FirstPage, chromium, visitor
from tests.support.waiting import WAIT_SECONDS
from tests.system.typed_client import TypedClient

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium to open a page with")

DIALECTS = ("ourchat-v2", "ourchat-v1", "ourchat-v0", "pipe", "service", "native")
THEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
HELLO, REPLY = "Hello, Bob!", "Hi, Ann! Which protocol is this?"
FOCUSED = "(document.activeElement.labels?.[0] ?? document.activeElement).textContent"
NO_WEBSOCKETS = """
WebSocket = class extends EventTarget {
  constructor() { super(); setTimeout(() => this.dispatchEvent(new CloseEvent("close", { code: 1006 }))); }
  close() {}
};
"""
CLIENT = """async (edge) => {
  const { Dragoman, indexedStore } = await import("/api/dragoman.js");
  const store = indexedStore();
  const client = new Dragoman(edge, { store });
  const given = [];
  const both = new Promise((resolve) => {
    client.on("message", ({ segments: [{ text }] }) => { if (given.push(text) === 2) resolve(); });
  });
  await client.register({ nickname: "Ann", secret: { scheme: "plain", value: "orange juice" } });
  const { chat } = await client.call("create", { name: "Fruit" });
  const sent = await Promise.all(["one", "two"].map((text) => client.send({ chat, text })));
  await both;
  client.close();
  return [sent.map(({ index }) => index), given, [...(await store.read("")).keys()]];
}"""

ACCOUNTS = "JSON.parse(sessionStorage.getItem('dragoman.accounts'))"
CLOSE_UNHANDLED = """async ([edge, { accounts: [ann, bob], chat }]) => {
  const number = (account) => String(account.number).padStart(10, "0");
  const login = (account, texts) => new Promise((resolve) => {
    const socket = new WebSocket(edge.replace("http", "ws") + "/ws/ourchat-v0");
    const send = (code, data) => socket.send(JSON.stringify({ code, data }));
    socket.onopen = () => send(6, { ocId: number(account), password: account.password });
    socket.onmessage = ({ data: frame }) => {
      const { code, data } = JSON.parse(frame);
      if (code === 7) resolve({ socket, send });
      if (code === 0) texts.push(data.msg);
      if (data.msg === "unhandled") socket.onunhandled?.();
    };
  });
  const [of_ann, of_bob, later] = [[], [], []];
  const sender = await login(ann, of_ann);
  const { socket } = await login(bob, of_bob);
  sender.send(0, { cid: chat, sender_id: number(ann), msg: "unhandled" });
  const until = performance.now() + 500;
  await new Promise((resolve) => setTimeout(resolve));
  while (performance.now() < until);
  socket.close();
  const again = await login(bob, later);
  if (!later.includes("unhandled")) {
    await new Promise((resolve) => { again.socket.onunhandled = resolve; setTimeout(resolve, 10_000); });
  }
  return [of_bob.includes("unhandled"), later.filter((text) => text === "unhandled").length];
}"""


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster(tmp_path_factory.mktemp("first-page") / "data", "--no-limits") as cluster:
        yield cluster


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def dashboard(shown: Cluster, browser: Browser) -> str:
    """The address of the dashboard, after two users have chatted. The first page links to the dashboard."""
    with visitor(browser) as talk:
        talk.open(address(shown)).user("Bob").until_received(HELLO)
        link = talk.page.get_by_role("link", name="Dashboard").get_attribute("href")
    assert [link] == re.findall(r"the dashboard of the whole system in a browser: (\S+)", shown.log.read_text())
    return str(link)


def address(shown: Cluster) -> str:
    """Returns the printed address of the first page, with its token."""
    return shown.first_page


def without_token(shown: Cluster) -> str:
    return address(shown).partition("#")[0]


def test_two_users_chat_over_every_dialect_while_message_is_killed(shown: Cluster, browser: Browser) -> None:
    with visitor(browser) as page:
        begun = time.monotonic()
        page.open(address(shown))
        ann, bob = page.user("Ann"), page.user("Bob")
        for text in (HELLO, REPLY):
            ann.until_received(text)
            bob.until_received(text)
        assert time.monotonic() - begun < 30
        assert "#" not in page.page.url, "the token has left the address bar"
        for turn, dialect in enumerate(DIALECTS):
            ann.speak(dialect)
            bob.speak(DIALECTS[(turn + 3) % len(DIALECTS)])
            if turn == 1:
                page.kill("message")
            ann.send(f"from Ann over {dialect}")
            bob.until_received(f"from Ann over {dialect}")
            bob.send(f"from Bob, turn {turn}")
            ann.until_received(f"from Bob, turn {turn}")
            ann.until_acknowledged(f"from Ann over {dialect}")
        assert any(frame.startswith('{"service_code":5') for frame in ann.frames())
        page.page.get_by_text("ready, restarted 1×").wait_for()
        traced = re.compile("at edge-[12].*committed .*edge-[12] .*acknowledged")
        page.page.locator(".traced", has_text=traced).wait_for()
        page.until_counted(lost=0)
        assert page.complaints == []


def test_a_third_person_joins_and_an_edge_is_killed(shown: Cluster, browser: Browser) -> None:
    with visitor(browser) as page:
        page.open(address(shown)).user("Ann").until_received(REPLY)
        page.page.get_by_role("button", name="+ a third person").click()
        cleo = page.user("Cleo")
        cleo.send("Hello, you two!")
        page.user("Bob").until_received("Hello, you two!")
        page.kill("edge-2")
        page.page.get_by_text("edge-2 was killed").wait_for()
        cleo.send("Is anybody there?")
        page.user("Bob").until_received("Is anybody there?")
        page.until_counted(lost=0)


def test_by_keyboard_alone(shown: Cluster, browser: Browser) -> None:
    token = address(shown).partition("#kill=")[2]
    with visitor(browser) as page:
        page.open(without_token(shown)).user("Bob").until_received(HELLO)
        keyboard = page.page.keyboard

        def tab_to(name: str) -> None:
            for _ in range(40):
                keyboard.press("Tab")
                if name in page.page.evaluate(FOCUSED):
                    return
            raise AssertionError(f"Tab does not reach {name}")

        tab_to("Message of Ann")
        keyboard.type("By keyboard")
        keyboard.press("Enter")
        page.user("Bob").until_received("By keyboard")
        assert page.page.evaluate("document.activeElement.id") == "compose-Ann"
        tab_to("Kill a process")
        keyboard.press("Enter")
        tab_to("Kill session")
        keyboard.press("Enter")
        keyboard.type("not the token")
        keyboard.press("Enter")
        page.page.get_by_text("This is not the token").wait_for()
        assert "Kill session" in page.page.evaluate("document.activeElement.textContent")
        keyboard.press("Enter")
        keyboard.type(token)
        keyboard.press("Enter")
        page.page.get_by_text("session was killed").wait_for()
        page.until_counted(lost=0)


def test_it_fits_and_is_accessible(shown: Cluster, browser: Browser) -> None:
    with visitor(browser) as page:
        page.open(address(shown)).user("Ann").until_received(REPLY)
        page.page.locator("process-list summary").click()
        page.page.evaluate("document.querySelectorAll('.wire').forEach((wire) => { wire.open = true; })")
        page.user("Bob").speak("ourchat-v0")
        require_accessible(page)


def require_accessible(shown: FirstPage) -> None:
    """Checks on narrow and wide screens, in both themes, that the page is accessible."""
    for width, scheme in product((320, 1280), THEMES):
        shown.page.set_viewport_size({"width": width, "height": 900})
        shown.page.emulate_media(color_scheme=scheme)
        assert not shown.is_too_wide()
        if AXE.exists():
            assert shown.violations() == []


def test_the_dashboard_shows_the_system_and_finds_a_message(dashboard: str, browser: Browser) -> None:
    with visitor(browser, 320) as shown:
        page = shown.open(dashboard).page
        page.get_by_role("link", name="edge-1").wait_for()
        assert page.get_by_role("row", name=re.compile("^message ready")).count() == 1
        page.get_by_text("The message service commits").wait_for()
        page.get_by_role("img", name=re.compile("^Connections by dialect")).wait_for()
        for _ in range(10):
            if page.evaluate("document.activeElement.id") == "query":
                break
            page.keyboard.press("Tab")
        page.keyboard.type("2/1")
        page.keyboard.press("Enter")
        page.get_by_text(re.compile("by edge-1.* over ourchat-v2")).wait_for()
        assert shown.complaints == []
        require_accessible(shown)


def test_the_end_of_the_system_erases_the_accounts_of_visitors(tmp_path: Path, browser: Browser) -> None:
    """Other accounts remain. After a restart, an open tab registers new accounts."""
    system = Cluster(tmp_path / "data", "--no-limits", edges=1)
    with visitor(browser) as page:
        with system:
            page.open(without_token(system)).user("Bob").until_received(HELLO)
            with TypedClient(system.edges[0], "--dialect", "service") as terminal:
                terminal.type("/register Zoe orange")
                terminal.expect("Zoe")
        assert "2 accounts of the first page are erased" in system.tail()
        with closing(sqlite3.connect(tmp_path / "data" / "auth.db")) as database:
            left = database.execute("SELECT email FROM accounts WHERE uuid IS NOT NULL")
            assert left.fetchall() == [(None,)]
        with ExitStack() as restarted:
            with page.page.expect_event("load"):
                restarted.enter_context(system)
            page.page.locator("person-pane header .state.connected").nth(1).wait_for()


def test_a_second_visitor_has_a_conversation_of_its_own(shown: Cluster, browser: Browser) -> None:
    with visitor(browser) as one, visitor(browser) as other:
        for page in (one, other):
            page.open(address(shown)).user("Bob").until_received(HELLO)
        one.user("Ann").send("for Bob of this page alone")
        one.user("Bob").until_received("for Bob of this page alone")
        assert "alone" not in other.page.locator("#panes").inner_text()


def test_a_terminal_joins_by_the_lines_of_the_page(shown: Cluster, browser: Browser) -> None:
    with visitor(browser) as page:
        page.open(address(shown)).user("Ann").until_received(REPLY)
        command, *typed = page.page.locator("copy-lines pre").first.inner_text().splitlines()
        assert command == f"dragoman client {shown.edges[0]} --dialect service"
        with TypedClient(shown.edges[0], "--dialect", "service") as terminal:
            for line in typed:
                terminal.type(line)
            terminal.expect("sent")
        for name in ("Ann", "Bob"):
            page.user(name).until_received(typed[-1])
        page.until_counted(lost=0)


def test_a_page_uses_the_client_that_the_edge_serves(shown: Cluster, browser: Browser) -> None:
    with visitor(browser) as page:
        page.open(without_token(shown))
        assert page.page.evaluate(CLIENT, shown.edges[0]) == [[1, 2], ["one", "two"], ["login"]]
        assert page.complaints == []


def test_a_message_that_a_page_leaves_unhandled_comes_again(shown: Cluster, browser: Browser) -> None:
    """When the page closes its WebSocket, the browser drops frames that have arrived but that the page has not
    handled."""
    with visitor(browser) as page:
        page.open(address(shown)).user("Ann").until_received(REPLY)
        accounts = page.page.evaluate(ACCOUNTS)
        page.page.route("**/first_page.js", lambda route: route.abort())
        page.page.reload()
        assert page.page.evaluate(CLOSE_UNHANDLED, [shown.edges[0], accounts]) == [False, 1]


def test_a_browser_that_blocks_websockets(shown: Cluster, browser: Browser) -> None:
    with visitor(browser) as page:
        page.page.add_init_script(NO_WEBSOCKETS)
        page.open(address(shown)).until_trouble("allow WebSockets to this address")


def test_a_dialect_that_the_edges_do_not_speak(tmp_path: Path, browser: Browser) -> None:
    spoken = 'edge.dialects=["ourchat-v1", "ourchat-v2", "service"]'
    with Cluster(tmp_path / "data", "--no-limits", "--set", spoken) as system, visitor(browser) as page:
        page.open(address(system)).until_trouble("edge-2 accepts no connection over pipe. Choose another dialect")
        page.user("Bob").speak("ourchat-v1")
        page.user("Bob").until_received(HELLO)
        system.wait_for(lambda: not page.trouble, WAIT_SECONDS)


def test_visitors_beyond_the_rate_of_registrations(tmp_path: Path, browser: Browser) -> None:
    """With the default limits, the installation accepts five registrations a minute.

    Each visitor registers two accounts.
    """
    with Cluster(tmp_path / "data") as limited, ExitStack() as stack:
        pages = [stack.enter_context(visitor(browser)) for _ in range(5)]
        for page in pages:
            page.open(without_token(limited))
        sentence = "five a minute are allowed (limits.registrations_per_minute), and other visitors may have used them"
        limited.wait_for(lambda: any(sentence in page.trouble for page in pages), WAIT_SECONDS)


def test_a_reload_keeps_the_accounts_and_a_stopped_system_is_named(shown: Cluster, browser: Browser) -> None:
    """This must be the last test of the file, because it stops the system."""
    with visitor(browser) as page:
        page.open(address(shown)).user("Bob").until_received(HELLO)
        before = page.user("Bob").frames()[0]
        page.page.reload()
        page.user("Bob").until_received(HELLO)
        assert page.user("Bob").frames()[0] == before, "the same login"
        shown.stop()
        page.until_trouble("Start it again with `dragoman up`")
