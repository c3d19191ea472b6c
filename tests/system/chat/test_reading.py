"""Tests where a chat opens, that this position stays stable, and when messages count as read."""

import pytest
from playwright.sync_api import Browser, expect

from tests.support.chat_page import ChatPage, chat_user
from tests.support.cluster import Cluster
from tests.system.chat.conftest import Bob
from tests.system.chat.speed import metric

pytestmark = pytest.mark.xdist_group("chat")

JUMPS = """
() => {
  const scroller = document.querySelector(".scroller");
  const rows = [...document.querySelectorAll(".rows > li")];
  const row = rows.find((one) => one.getBoundingClientRect().top > scroller.getBoundingClientRect().top + 150);
  const key = row.dataset.key;
  const begin = row.getBoundingClientRect().top;
  window.jumps = [];
  const look = () => {
    const found = document.querySelector(`.rows > li[data-key="${key}"]`);
    window.jumps.push(found ? Math.round(Math.abs(found.getBoundingClientRect().top - begin)) : 9999);
    window.isLooking = requestAnimationFrame(look);
  };
  look();
}
"""


LOWEST = "Math.min(...document.querySelector('dragoman-messages').chat.messages.keys())"
HELD_PAGES = """
() => {
  const { store } = document.querySelector("dragoman-messages").model;
  const newest = store.newest.bind(store);
  store.newest = async (...wanted) => {
    await new Promise((resolve) => { window.release = resolve; });
    return newest(...wanted);
  };
}
"""
COUNTED_PAGES = """
() => {
  const { store } = document.querySelector("dragoman-messages").model;
  const newest = store.newest.bind(store);
  window.pages = 0;
  store.newest = (...wanted) => {
    window.pages += 1;
    return newest(...wanted);
  };
}
"""
FRAMES = "() => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)))"
HELD_ANNOUNCEMENTS = """{
  const [later, end] = [setTimeout, clearTimeout];
  window.announcements = new Map();
  window.setTimeout = (work, milliseconds, ...more) => {
    if (milliseconds !== 3000) return later(work, milliseconds, ...more);
    announcements.set(-announcements.size - 1, work);
    return -announcements.size;
  };
  window.clearTimeout = (timer) => announcements.delete(timer) || end(timer);
  void 0;
}"""
"""A script that holds the announcements of other chats, which come every three seconds."""
READ = "(index) => document.querySelector('dragoman-messages').chat.head.value.read === index"
FIRST = "Math.min(...[...document.querySelectorAll('.row-message')].map((row) => Number(row.dataset.key.slice(8))))"


def filled(bob: Bob, chat: int, number: int) -> None:
    for index in range(1, number + 1):
        bob.send(chat, f"message {index}" + "\nand a line" * (index % 3))


def opened_with_its_page(ann: ChatPage, last: int) -> None:
    """Opens the chat, and waits until earlier messages from the store are in the page, too."""
    ann.go("Team").to_last(f"message {last}")
    ann.page.wait_for_function(f"(last) => {LOWEST} < last", arg=last)
    ann.page.evaluate(FRAMES)


def test_03_a_chat_opens_at_the_first_unread_message_with_a_line_that_can_be_dismissed(
    ann: ChatPage, bob: Bob, team: int
) -> None:
    filled(bob, team, 3)
    ann.go("Team").until_received("message 3")
    expect(ann.chat("Team").locator(".badge")).to_have_count(0)
    ann.page.get_by_role("link", name="Settings").click()
    filled(bob, team, 25)
    expect(ann.chat("Team").locator(".badge")).to_contain_text("25")
    ann.go("Team")
    line = ann.page.locator(".new-line")
    expect(line).to_be_in_viewport()
    below = ann.page.locator(".row-message", has_text="message 1").nth(1)
    assert 0 <= box(below) - box(line) < 60
    line.get_by_role("button", name="Dismiss").click()
    expect(line).to_have_count(0)
    expect(ann.page.locator("li:focus")).to_contain_text("message 1")


def test_03_a_chat_that_is_opened_again_loads_only_what_it_shows(ann: ChatPage, bob: Bob, team: int) -> None:
    filled(bob, team, 150)
    opened_with_its_page(ann, 150)
    ann.page.evaluate(COUNTED_PAGES)
    ann.page.get_by_role("link", name="Settings").click()
    ann.go("Team").until_received("message 150")
    ann.page.evaluate(FRAMES)
    assert ann.page.evaluate("window.pages") == 0
    ann.page.locator(".scroller").evaluate("(scroller) => { scroller.scrollTop = 0; }")
    ann.page.wait_for_function(f"() => {LOWEST} === 1")
    assert ann.page.evaluate("window.pages") == 1


def box(locator: object) -> float:
    found = locator.bounding_box()  # type: ignore[attr-defined]
    assert found
    return float(found["y"])


@pytest.mark.parametrize("top", [0, 300])
def test_04_nothing_jumps_when_earlier_messages_arrive(ann: ChatPage, bob: Bob, team: int, top: int) -> None:
    filled(bob, team, 220)
    opened_with_its_page(ann, 220)
    first = ann.page.evaluate(LOWEST)
    ann.page.evaluate(HELD_PAGES)
    ann.page.locator(".scroller").evaluate("(scroller, top) => { scroller.scrollTop = top; }", top)
    ann.page.wait_for_function("() => window.release")
    ann.page.evaluate(FRAMES)
    ann.page.evaluate(JUMPS)
    ann.page.evaluate("window.release()")
    bob.send(team, "meanwhile")
    ann.page.wait_for_function(f"(first) => {LOWEST} < first", arg=first)
    seen = ann.page.evaluate("window.jumps.length")
    ann.page.wait_for_function("(seen) => window.jumps.length > seen + 20", arg=seen)
    jumps = ann.page.evaluate("window.jumps")
    assert max(jumps) <= 1


def test_04_a_row_in_use_stays_when_the_list_jumps(ann: ChatPage, bob: Bob, team: int) -> None:
    """The row with the focus and the ends of the selection is kept in the page, where it loses neither."""
    filled(bob, team, 150)
    opened_with_its_page(ann, 150)
    ann.message("message 150").locator(".lines").first.click(click_count=3)
    ann.page.evaluate("window.lost = 0; document.activeElement.addEventListener('blur', () => { window.lost += 1; })")
    selected = ann.page.evaluate("String(getSelection())")
    assert "message 150" in selected
    for top in ("0", "scroller.scrollHeight", "2000"):
        ann.page.locator(".scroller").evaluate(f"(scroller) => {{ scroller.scrollTop = {top}; }}")
        ann.page.evaluate(FRAMES)
        ann.page.evaluate(FRAMES)
        assert ann.page.evaluate("document.activeElement.dataset.key") == "message 150"
        assert ann.page.evaluate("String(getSelection())") == selected
    assert ann.page.evaluate("window.lost") == 0


def test_a_day_has_another_name_on_the_next_one(system: Cluster, chromium_browser: Browser, bob: Bob) -> None:
    """The clock is changed for a whole profile, so the test has its own."""
    with chat_user(chromium_browser, system.edges[0]) as ann:
        team = bob.group("Team", ann.open().register("Ann", f"ann{bob.username}").account())
        bob.send(team, "this evening")
        ann.page.clock.install()
        ann.page.reload()
        ann.go("Team").until_received("this evening")
        line = ann.page.locator(".day-line")
        expect(line).to_have_text("today")
        time = ann.chat("Team").locator(".chat-time")
        expect(time).to_contain_text(":")
        ann.page.clock.fast_forward("24:00:00")
        expect(line).to_have_text("yesterday")
        expect(time).not_to_contain_text(":")


def test_05_it_stays_at_the_end_only_if_it_was_there(ann: ChatPage, bob: Bob, team: int) -> None:
    filled(bob, team, 30)
    opened_with_its_page(ann, 30)
    ann.page.locator(".scroller").evaluate("(scroller) => { scroller.scrollTop = scroller.scrollHeight; }")
    bob.send(team, "followed")
    expect(ann.message("followed")).to_be_in_viewport()
    ann.page.locator(".scroller").evaluate("(scroller) => { scroller.scrollTop = 200; }")
    ann.page.locator(".jump").wait_for()
    for number in range(5):
        bob.send(team, f"below {number}")
    jump = ann.page.locator(".jump")
    expect(jump).to_contain_text("5 new messages")
    expect(ann.message("below 4")).not_to_be_in_viewport()
    jump.click()
    expect(ann.message("below 4")).to_be_in_viewport()
    expect(jump).to_have_count(0)
    expect(ann.page.locator("li:focus")).to_contain_text("below 4")


def test_06_a_message_is_marked_as_unread(ann: ChatPage, bob: Bob, team: int) -> None:
    filled(bob, team, 3)
    ann.go("Team").until_received("message 3")
    expect(ann.chat("Team").locator(".badge")).to_have_count(0)
    ann.message("message 2").hover()
    ann.message("message 2").get_by_role("button", name="Actions of the message").click()
    ann.page.get_by_role("menuitem", name="Mark as unread").click()
    expect(ann.chat("Team").locator(".badge")).to_contain_text("2 unread")
    bob.send(team, "message 4")
    ann.until_received("message 4")
    ann.page.wait_for_timeout(500)
    expect(ann.chat("Team").locator(".badge"), "it stays until the chat is opened again").to_contain_text("3 unread")
    ann.page.reload()
    expect(ann.chat("Team").locator(".badge")).to_have_count(0)


def test_07_counters_are_exact_and_go_on_every_device(
    ann: ChatPage, bob: Bob, team: int, system: Cluster, chromium_browser: Browser
) -> None:
    username = str(ann.account())
    with chat_user(chromium_browser, system.edges[1]) as phone:
        phone.open().sign_in(username)
        phone.chat("Team").wait_for()
        filled(bob, team, 7)
        for device in (ann, phone):
            expect(device.chat("Team").locator(".badge")).to_contain_text("7 unread messages")
        ann.go("Team").until_received("message 7")
        for device in (ann, phone):
            expect(device.chat("Team").locator(".badge")).to_have_count(0)
        ann.page.get_by_role("link", name="Settings").click()
        bob.send(team, "one more")
        expect(phone.chat("Team").locator(".badge")).to_contain_text("1 unread message")
        ann.page.reload()
        expect(ann.chat("Team").locator(".badge")).to_contain_text("1 unread message")


def test_08_the_title_and_the_icon_show_unread_messages(ann: ChatPage, bob: Bob, team: int) -> None:
    expect(ann.page).to_have_title("Dragoman")
    icon = ann.page.locator("link[rel=icon]")
    usual = str(icon.evaluate("(one) => one.href"))
    filled(bob, team, 2)
    expect(ann.page).to_have_title("(2) Dragoman")
    unread = str(icon.evaluate("(one) => one.href"))
    assert unread != usual
    ann.go("Team").until_received("message 2")
    expect(ann.page).to_have_title("Dragoman")
    expect(icon).to_have_attribute("href", usual)
    for address in (usual, unread):
        assert ann.page.request.get(address).headers["content-type"] == "image/svg+xml"


def test_14_a_quote_leads_to_the_original(ann: ChatPage, bob: Bob, team: int) -> None:
    first = bob.send(team, "the original")
    filled(bob, team, 250)
    bob.send(team, "the answer", reply_to=first)
    ann.go("Team").to_last("the answer")
    expect(ann.chat("Team").locator(".badge")).to_have_count(0)
    ann.page.get_by_role("link", name="Settings").click()  # of a chat that was left, 100 messages stay in memory
    ann.go("Team").until_received("the answer")
    assert ann.page.evaluate(LOWEST) > first, "it has to be loaded"
    ann.message("the answer").locator(".quote").click()
    expect(ann.message("the original").first).to_be_in_viewport()
    assert ann.page.evaluate("document.activeElement.dataset.key") == f"message {first}"


def test_09_a_link_to_a_message_leads_to_it_in_the_chat_that_is_open(ann: ChatPage, bob: Bob, team: int) -> None:
    filled(bob, team, 60)
    ann.open(f"/{team}/7").until_received("message 7")
    ann.go("Team").to_last("message 60")
    ann.page.go_back()
    expect(ann.message("message 7").first).to_be_in_viewport()


def test_24_messages_of_other_chats_are_not_announced_after_the_login(ann: ChatPage, bob: Bob, team: int) -> None:
    ann.page.evaluate(HELD_ANNOUNCEMENTS)
    bob.send(team, "hello")
    expect(ann.chat("Team")).to_contain_text("hello")
    ann.log_out()
    ann.page.get_by_role("button", name="Create account").wait_for()
    ann.page.evaluate("announcements.forEach((announce) => announce())")
    ann.page.evaluate(FRAMES)
    assert ann.page.locator("[role=status].unseen").inner_text() == ""


def test_24_a_screen_reader_hears_a_new_message_once_the_author_first(ann: ChatPage, bob: Bob, team: int) -> None:
    ann.go("Team")
    ann.page.evaluate(
        "window.heard = []; new MutationObserver((changes) => {"
        " for (const { addedNodes } of changes) for (const { innerText } of addedNodes)"
        " if (innerText) window.heard.push(innerText); })"
        ".observe(document.querySelector('[role=log]'), { childList: true })"
    )
    for number in range(40):
        bob.send(team, f"message {number // 2}")
    ann.page.wait_for_function("() => window.heard.length >= 40")
    ann.page.locator(".scroller").evaluate("(scroller) => { scroller.scrollTop = 0; }")
    ann.page.evaluate(FRAMES)
    assert ann.page.evaluate("window.heard") == [f"Bob: message {number // 2}" for number in range(40)]


def test_23_of_many_messages_few_are_in_the_page(ann: ChatPage, bob: Bob, team: int) -> None:
    filled(bob, team, 150)
    ann.go("Team").to_last("message 150")
    while (first := ann.page.evaluate(FIRST)) > 1:
        ann.page.locator(".scroller").evaluate("(scroller) => { scroller.scrollTop = 0; }")
        ann.page.locator(".row-earlier button").evaluate_all("(found) => found[0]?.click()")
        ann.page.wait_for_function(f"(first) => {FIRST} < first", arg=first)
        assert ann.page.locator(".rows > li").count() < 60
    ann.until_received("message 1\nand a line")


def test_23_a_message_that_comes_makes_the_browser_compute_few_layouts(ann: ChatPage, bob: Bob, team: int) -> None:
    """Each time that a size is read between two changes of the elements, the browser computes one more."""
    filled(bob, team, 40)
    opened_with_its_page(ann, 40)
    ann.page.wait_for_function(READ, arg=40)
    cdp = ann.page.context.new_cdp_session(ann.page)
    cdp.send("Performance.enable")
    before = metric(cdp, "LayoutCount")
    for index in range(41, 61):
        bob.send(team, "one more")
        ann.page.wait_for_function(READ, arg=index)
    assert (metric(cdp, "LayoutCount") - before) / 20 <= 5
