"""Tests in a browser how tabs share a connection, and how the tab that has it logs in."""

from tests.unit.web.bundled_page import needs_browser, page_with

pytestmark = needs_browser

_CLOSED = """async () => {
  let read;
  const begun = new Promise((resolve) => {
    const places = () => new Promise((done) => { read = done; resolve(); });
    window.store = { flushed: async () => {}, fact: async () => "", places };
  });
  const session = { token: () => new Promise(() => {}), login: { value: undefined }, spoil: () => {} };
  const tab = new Module.TabWire(1, session, store, () => {}, async () => [], async () => [], Promise.resolve());
  await begun;
  tab.close();
  read([]);
  return navigator.locks.request("dragoman-holder-1", { signal: AbortSignal.timeout(10_000) }, () => "free");
}"""

_WOKEN = """async () => {
  window.sockets = [];
  window.WebSocket = class {
    readyState = 0;
    constructor() { sockets.push(this); }
    close() {}
    send() {}
  };
  const store = { places: async () => [], fact: async () => "" };
  const no = async () => {};
  const session = { token: async () => "t", login: { value: {} }, spoil: no, rejected: no, expires: Infinity };
  window.holder = await Module.Holder.open(session, store, () => {});
}"""


def test_a_tab_that_is_closed_while_it_takes_over_the_connection_leaves_it_to_others() -> None:
    """Another tab has logged out: it leaves the connection, then tells the others."""
    with page_with("wire/tabs.ts", "Module") as page:
        assert page.evaluate(_CLOSED) == "free"


def test_a_page_that_is_woken_while_its_login_ends_connects_once() -> None:
    """Each attempt ends the one before it: several of them would never let a slow connection open."""
    with page_with("wire/holder.ts", "Module") as page:
        page.clock.install()
        page.evaluate(_WOKEN)
        page.wait_for_function("sockets.length === 1")
        page.evaluate("sockets[0].onclose({ code: 4003, reason: '' })")
        page.evaluate("for (let sign = 0; sign < 3; sign += 1) holder.wake()")
        page.clock.run_for(15_000)
        assert page.evaluate("sockets.length") == 2
