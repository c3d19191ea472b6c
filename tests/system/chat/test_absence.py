"""After an absence, and if the browser cannot store data, everything is shown once and in order.

The page says what it does not store.
"""

import re
from functools import partial

import pytest
from playwright.sync_api import Browser, expect

from tests.support.chat_page import ChatPage, chat_user
from tests.support.cluster import Cluster
from tests.system.chat.conftest import Bob

pytestmark = pytest.mark.xdist_group("chat_offline")

_MILLISECONDS = 120_000
_NEWER_VERSION = """(account) => new Promise((resolve) => {
  indexedDB.open(`dragoman-${account}`, 99).onsuccess = ({ target: { result } }) => { result.close(); resolve(); };
})"""

_AGE = """([account, days]) => new Promise((resolve) => {
  indexedDB.open(`dragoman-${account}`).onsuccess = ({ target: { result } }) => {
    const transaction = result.transaction(["messages", "facts"], "readwrite");
    transaction.objectStore("facts").delete("pruned");
    transaction.objectStore("messages").openCursor().onsuccess = ({ target: { result: cursor } }) => {
      if (!cursor) return;
      const { chat, index, time } = cursor.value;
      cursor.update({ ...cursor.value, time: time - days[chat][index - 1] * 86_400_000 });
      cursor.continue();
    };
    transaction.oncomplete = () => { result.close(); resolve(); };
  };
})"""
"""A script that makes the stored messages older by numbers of days, which are given by chat and index."""

_READ = """([account, chat, last]) => new Promise((resolve) => {
  indexedDB.open(`dragoman-${account}`).onsuccess = ({ target: { result } }) => {
    result.transaction("heads").objectStore("heads").get(chat).onsuccess = ({ target: { result: head } }) => {
      resolve(head && !head.unread_from && head.read >= last);
      result.close();
    };
  };
})"""
"""A script that returns whether a chat is stored as read up to an index."""

_PRUNED = """(account) => new Promise((resolve) => {
  indexedDB.open(`dragoman-${account}`).onsuccess = ({ target: { result } }) => {
    result.transaction("facts").objectStore("facts").get("pruned").onsuccess = (event) => {
      resolve(event.target.result);
      result.close();
    };
  };
})"""
"""A script that returns when old messages were last removed."""


def in_order(page: ChatPage, number: int) -> list[str]:
    """Returns the texts of all messages of the chat, in the order of the page. `number` is their number."""
    shown = page.collect(number, _MILLISECONDS).collected()
    return [text for _, (text, *_) in sorted(shown.items())]


_CLICK = """async (button) => {
  button.click();
  await button.closest("dragoman-messages").updateComplete;
  return button.disabled;
}"""
"""Clicks a button between messages, and returns whether it is disabled before any reply can arrive."""


def left_offline(ann: ChatPage) -> None:
    """The browser loses the network, and then its only page is closed."""
    ann.page.wait_for_function("navigator.serviceWorker.ready.then(() => true)")
    ann.page.context.set_offline(True)
    ann.page.close()


def opened_again(ann: ChatPage) -> None:
    ann.page = ChatPage(ann.page.context.new_page(), ann.address.removesuffix("/chat")).open().page
    ann.go("Team")


def test_21_five_hundred_messages_of_an_absence_are_shown_once_in_order(ann: ChatPage, bob: Bob, team: int) -> None:
    """The page is closed meanwhile, and opened without a network. The user's own messages, written offline, come after
    the missed ones."""
    bob.send(team, "before")
    ann.go("Team").until_received("before")
    left_offline(ann)
    for number in range(500):
        bob.send(team, f"missed {number}")
    opened_again(ann)
    ann.until_received("before")
    for number in range(3):
        ann.send(f"own {number}")
    ann.page.reload()
    ann.until_received("own 2")
    assert ann.texts() == ["before", *(f"own {number}" for number in range(3))]
    ann.page.context.set_offline(False)
    ann.until_sent("own 2")
    wanted = ["before", *(f"missed {number}" for number in range(500)), *(f"own {number}" for number in range(3))]
    assert in_order(ann, 504) == wanted
    assert bob.texts(team) == wanted[-100:]
    ann.complaints.clear()


def test_21_a_gap_between_stored_messages_and_new_ones_has_a_row_that_loads_it(
    ann: ChatPage, bob: Bob, team: int
) -> None:
    """A sync brings the last 30 messages. A click loads the 100 before these."""
    wanted = [f"stored {number}" for number in range(3)]
    for text in wanted:
        bob.send(team, text)
    ann.go("Team").until_received(wanted[-1])
    left_offline(ann)
    wanted += [f"missed {number}" for number in range(150)]
    for text in wanted[3:]:
        bob.send(team, text)
    opened_again(ann)
    ann.until_received("stored 2")
    ann.page.context.set_offline(False)
    ann.to_last("missed 149")
    ann.page.locator(".scroller").evaluate("(scroller) => { scroller.scrollTop = 0; }")
    gap = ann.page.locator(".row-gap")
    expect(gap).to_contain_text("120 messages are not loaded")
    shown = ["stored 2", "missed 120"]
    assert [text for text in ann.texts() if text in shown] == shown
    assert gap.get_by_role("button", name="Load").evaluate(_CLICK), "a second click meanwhile would have no effect"
    ann.to_top("stored 2")
    expect(gap).to_contain_text(re.compile(r"\b20 messages are not loaded"))
    gap.get_by_role("button", name="Load").press("Enter")
    expect(gap).to_have_count(0)
    expect(ann.page.locator("li:focus")).to_contain_text("missed 20")
    assert in_order(ann, len(wanted)) == wanted
    ann.complaints.clear()


def test_21_messages_older_than_30_days_leave_the_store_by_the_clock_of_the_server(
    ann: ChatPage, bob: Bob, team: int
) -> None:
    """The list shows the newest message of each chat, so this one stays. The server still has the others."""
    quiet = bob.group("Quiet", ann.account())
    wanted = [f"message {number}" for number in range(4)]
    for text in wanted:
        bob.send(team, text)
    for number in range(2):
        bob.send(quiet, f"long ago {number}")
    for name, last, chat, index in (("Quiet", "long ago 1", quiet, 2), ("Team", "message 3", team, 4)):
        ann.go(name).until_received(last)
        ann.until(partial(ann.page.evaluate, _READ, [ann.account(), chat, index]))
    ann.page.evaluate(_AGE, [ann.account(), {str(team): [40, 31, 29, 0], str(quiet): [41, 40]}])
    ann.page.add_init_script("{ const now = Date.now; Date.now = () => now() + 90 * 86_400_000; }")
    ann.open().until_connected().until(partial(ann.page.evaluate, _PRUNED, ann.account()))
    assert [sorted(ann.stored(chat)) for chat in (team, quiet)] == [[3, 4], [2]]
    expect(ann.chat("Quiet")).to_contain_text("long ago 1")
    assert in_order(ann.go("Team"), 4) == wanted
    ann.complaints.clear()


def test_a_tab_goes_on_when_a_newer_version_takes_its_store(ann: ChatPage, bob: Bob, team: int) -> None:
    ann.go("Team").page.evaluate(_NEWER_VERSION, ann.account())
    ann.page.get_by_text("Another tab has a newer version of this page. Reload this one.").wait_for()
    bob.send(team, "not kept")
    ann.until_received("not kept")
    ann.send("written all the same")
    ann.until_sent("written all the same")
    assert bob.texts(team) == ["not kept", "written all the same"]


def test_a_tab_goes_on_when_the_browser_deletes_its_store(ann: ChatPage, bob: Bob, team: int) -> None:
    """The page gets the earlier messages from the server. The stored login is deleted, too."""
    wanted = [f"before {number}" for number in range(150)]
    for text in wanted:
        bob.send(team, text)
    ann.go("Team").to_last(wanted[-1])
    number = str(ann.account())
    clear = {"origin": ann.address.removesuffix("/chat"), "storageTypes": "indexeddb,local_storage"}
    ann.page.context.new_cdp_session(ann.page).send("Storage.clearDataForOrigin", clear)
    bob.send(team, "not kept")
    ann.page.get_by_text("This browser keeps nothing for this page").wait_for()
    ann.send("written all the same")
    ann.until_sent("written all the same")
    wanted += ["not kept", "written all the same"]
    assert in_order(ann, len(wanted)) == wanted
    ann.page.reload()
    ann.sign_in(number).go("Team").to_last(wanted[-1])
    assert in_order(ann, len(wanted)) == wanted
    ann.complaints.clear()


def test_the_browser_can_promise_to_keep_stored_messages(ann: ChatPage) -> None:
    """The browser of the test keeps nothing for a page that is not installed, so its answers are replaced."""
    hint = ann.page.get_by_text("This browser may delete the messages that it keeps")
    ann.page.get_by_role("link", name="Settings").click()
    ann.page.evaluate("StorageManager.prototype.persist = () => Promise.resolve(!!window.isInstalled)")
    ann.page.get_by_role("button", name="Keep them").click()
    ann.page.get_by_text("It may once this page is installed.").wait_for()
    ann.page.evaluate("window.isInstalled = true")
    ann.page.get_by_role("button", name="Keep them").click()
    expect(hint).to_have_count(0)


def test_a_chat_without_messages_keeps_its_place(
    ann: ChatPage, bob: Bob, team: int, system: Cluster, chromium_browser: Browser
) -> None:
    bob.send(team, "hello")
    ann.chat("Team").get_by_text("hello").wait_for()
    bob.group("Fresh", ann.account())
    ann.chat("Fresh").wait_for()
    titles = ann.page.locator(".chat-title")
    expect(titles).to_have_text(["Fresh", "Team"])
    ann.page.reload()
    ann.until_connected()
    expect(titles).to_have_text(["Fresh", "Team"])
    with chat_user(chromium_browser, system.edges[1]) as phone:
        phone.open().sign_in(str(ann.account())).chat("Fresh").wait_for()
        expect(phone.page.locator(".chat-title")).to_have_text(["Fresh", "Team"])
