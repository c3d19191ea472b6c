"""axe checks every screen, in two sizes and two themes. Also tests a deep link, dangerous texts, and the languages."""

import json
import secrets
from typing import Literal

import pytest
from playwright.sync_api import Browser, FilePayload, Locator, expect

from tests.support.chat_page import PASSWORD, ChatPage, chat_user
from tests.support.cluster import Cluster
from tests.support.first_page import AXE
from tests.system.chat.conftest import Bob
from tests.system.chat.dialect_writer import DIALECTS, DialectWriter

pytestmark = pytest.mark.xdist_group("chat")

HOSTILE = (
    "<img src=x onerror=alert(1)>",
    "<script>alert(1)</script>",
    "javascript:alert(1)",
    "[x](javascript:alert(1))",
    "{{constructor.constructor('alert(1)')()}}",
    "\u202egnp.exe\u200b\u200d" + "\u0301" * 300,
    "👩‍👩‍👧‍👦" * 500,
    "W" * 4000,
)
_EDGES = "new Set([...document.querySelectorAll('.card')].map((card) => card.getBoundingClientRect().left)).size"
"""A script that returns the number of different left edges of the cards on a screen."""
_KEEP_TOAST = """{
  const later = setTimeout;
  window.setTimeout = (work, milliseconds, ...more) => (milliseconds === 8000 ? 0 : later(work, milliseconds, ...more));
}"""
"""A script that keeps a message to the user on the page until the user dismisses it."""

_UNDER_TOAST = """() => {
  const { left, right, top, bottom } = document.querySelector(".said p").getBoundingClientRect();
  const found = new Set();
  for (let x = left + 1; x < right; x += 8)
    for (let y = top + 1; y < bottom; y += 8)
      for (const one of document.elementsFromPoint(x, y))
        if (one.matches("input, textarea, select, button, a") && !one.closest(".said")) found.add(one.outerHTML);
  return [...found];
}"""
"""A script that returns the fields and buttons that a message to the user covers."""


@pytest.mark.skipif(not AXE.exists(), reason="axe is not installed: ./dev setup")
@pytest.mark.parametrize(("theme", "width"), [("dark", 320), ("light", 1280)])
def test_no_screen_has_a_violation(
    system: Cluster, chromium_browser: Browser, bob: Bob, theme: Literal["light", "dark"], width: int
) -> None:
    with chat_user(chromium_browser, system.edges[0], width, color_scheme=theme, service_workers="allow") as page:
        page.open()
        page.page.get_by_label("Password").wait_for()
        assert page.violations() == []
        page.register("Ann", f"ann{secrets.token_hex(4)}")
        chat = bob.group("Team", page.account())
        index = bob.send(chat, "**Hello** `code` https://example.com/\n> quote\n- list\n```\nfence\n```")
        bob.call("react", chat=chat, index=index, emoji="👍")
        bob.send(chat, "an answer", reply_to=index)
        page.chat("Team").wait_for()
        assert page.violations() == []
        page.go("Team").send("mine")
        page.until_sent("mine")
        page.page.locator(".drawer-line").click()
        assert page.violations() == []
        page.page.locator(".drawer-line").click()
        page.message("an answer").hover()
        page.message("an answer").get_by_role("button", name="Actions of the message").click()
        assert page.violations() == []
        page.page.keyboard.press("Escape")
        page.page.get_by_role("button", name="Members").click()
        page.page.get_by_text("owner").wait_for()
        assert page.violations() == []
        page.page.get_by_role("button", name="Close").click()
        for dialog in ("Control+k", "Shift+?"):
            page.page.locator(".conversation-bar button").first.or_(page.page.locator("nav button").first).first.focus()
            page.page.keyboard.press(dialog)
            page.page.get_by_role("dialog").wait_for()
            assert page.violations() == []
            page.page.keyboard.press("Escape")
        for screen in ("people", "devices", "settings"):
            page.open(f"/{screen}").page.get_by_role("heading", level=1).wait_for()
            page.until_connected()
            assert page.violations() == []
            assert not page.is_too_wide()
            assert page.page.evaluate(_EDGES) <= 1
        assert page.page.locator("input[type=time]").first.evaluate("(one) => one.clientWidth") > 60
        assert page.complaints == []
        assert page.reports() == []


def test_a_message_to_the_user_covers_no_field(system: Cluster, chromium_browser: Browser, bob: Bob) -> None:
    """The message stays on the page while the user opens other screens."""
    with chat_user(chromium_browser, system.edges[0], 320, 568, service_workers="allow") as page:
        page.page.add_init_script(_KEEP_TOAST)
        page.open().register("Ann", f"ann{secrets.token_hex(4)}")
        bob.group("Team", page.account())
        toast = page.page.locator(".said p")
        page.page.get_by_role("link", name="People").click()
        page.page.get_by_role("button", name="Save").click()
        expect(toast).to_be_in_viewport(ratio=1)
        assert page.page.evaluate(_UNDER_TOAST) == []
        page.page.get_by_role("button", name="Back").click()
        expect(page.page.get_by_label("Find a chat")).to_be_in_viewport(ratio=1)
        assert page.page.evaluate(_UNDER_TOAST) == []
        page.go("Team").page.route("**/media/uploads?*", lambda route: route.fulfill(status=413))
        film = FilePayload(name=f"{'W' * 100}.mkv", mimeType="video/x-matroska", buffer=b"film")
        page.page.locator("input[type=file]").set_input_files(film)
        expect(toast).to_contain_text("is too large for this server")
        expect(toast).to_be_in_viewport(ratio=1)
        expect(page.field).to_be_in_viewport(ratio=1)
        assert page.page.evaluate(_UNDER_TOAST) == []
        assert not page.is_too_wide()
        toast.get_by_role("button", name="Dismiss").click()
        expect(toast).to_have_count(0)


def test_a_deep_link_returns_after_sign_in(
    ann: ChatPage, bob: Bob, team: int, system: Cluster, chromium_browser: Browser
) -> None:
    first = bob.send(team, "the one")
    for number in range(60):
        bob.send(team, f"later {number}")
    with chat_user(chromium_browser, system.edges[1]) as page:
        page.open(f"/{team}/{first}").sign_in(str(ann.account()))
        expect(page.message("the one")).to_be_in_viewport()


def test_an_account_is_downloaded_and_deleted(ann: ChatPage, bob: Bob, team: int) -> None:
    ann.go("Team").send("mine")
    ann.until_sent("mine")
    ann.page.get_by_role("link", name="Settings").click()
    with ann.page.expect_download() as download:
        ann.page.get_by_role("button", name="Download a copy").click()
    found = json.loads(download.value.path().read_text())
    assert found["account"] == ann.account()
    assert [message["segments"][0]["text"] for message in found["messages"]] == ["mine"]
    ann.page.on("dialog", lambda dialog: dialog.accept())
    end = ann.page.locator("dragoman-account form")
    for password in ("wrong", PASSWORD):
        end.get_by_label("Password").fill(password)
        end.get_by_role("button", name="Delete account").click()
        if password == "wrong":
            ann.page.get_by_text("The password is wrong.").wait_for()
    ann.page.locator("form").get_by_role("button", name="Sign in").wait_for()
    assert bob.call("profile", account=found["account"])["deleted"]
    assert bob.texts(team) == ["mine"]


def test_hostile_texts_and_names_do_nothing(ann: ChatPage, bob: Bob, team: int) -> None:
    bob.call("set_profile", nickname=HOSTILE[0])
    for text in HOSTILE:
        bob.send(team, text)
    ann.go("Team")
    ann.page.locator(".scroller").evaluate("(scroller) => { scroller.scrollTop = scroller.scrollHeight; }")
    ann.until_received("WWWW")
    assert not ann.is_too_wide()
    assert ann.page.locator(".message-body img, .message-body script, .message-body a").count() == 0
    assert ann.reports() == []
    assert ann.complaints == []


def test_hostile_texts_names_and_files_of_every_dialect_do_nothing(ann: ChatPage, bob: Bob, system: Cluster) -> None:
    tag = secrets.token_hex(4)
    named = {dialect: HOSTILE[0] for dialect in ("ourchat-v1", "ourchat-v2")}
    writers = [DialectWriter(system.edges, dialect, tag, named.get(dialect, "")) for dialect in DIALECTS]
    chat = bob.group(HOSTILE[1], ann.account(), *(writer.number for writer in writers))
    for dialect, writer in zip(DIALECTS, writers, strict=True):
        for text in HOSTILE[:4]:
            writer.write(chat, f"{dialect} {text}")
        writer.close()
    ann.go(HOSTILE[1])
    for dialect in DIALECTS:
        ann.until_received(f"{dialect} {HOSTILE[3]}")
    drawing = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
    ann.page.locator("input[type=file]").set_input_files(
        FilePayload(name=f"{HOSTILE[0]}.svg", mimeType="image/svg+xml", buffer=drawing)
    )
    expect(ann.page.locator(".attachments progress")).to_have_count(0)
    ann.send("a drawing")
    ann.until_sent("a drawing")
    address = str(ann.message("a drawing").locator("a.file").evaluate("(one) => one.href"))
    assert ann.page.context.request.get(address).headers["content-disposition"].startswith("attachment")
    assert ann.page.locator(".message-body img, .message-body script, .message-body a:not(.file)").count() == 0
    assert not ann.is_too_wide()
    assert ann.reports() == []
    assert ann.complaints == []


def test_the_chinese_of_a_chinese_browser(system: Cluster, chromium_browser: Browser) -> None:
    context = chromium_browser.new_context(locale="zh-CN")
    page = ChatPage(context.new_page(), system.edges[0]).open()
    page.page.get_by_role("button", name="登录").wait_for()
    assert page.page.locator("html").get_attribute("lang") == "zh"
    context.close()


def test_22_on_a_phone_a_chat_is_a_layer_and_the_field_stands_above_the_keyboard(
    system: Cluster, chromium_browser: Browser, bob: Bob
) -> None:
    with chat_user(chromium_browser, system.edges[0], 390, 844, has_touch=True, is_mobile=True) as phone:
        phone.open().register("Ann", f"ann{secrets.token_hex(4)}")
        chat = bob.group("Team", phone.account())
        bob.send(chat, "hello")
        phone.chat("Team").locator("a").tap()
        phone.until_received("hello")
        expect(phone.page.locator("nav.chats")).to_be_hidden()
        size = phone.field.evaluate("(field) => parseFloat(getComputedStyle(field).fontSize)")
        assert size >= 16, "iOS zooms into smaller fields"
        # a screen that is smaller by the height of the keyboard
        phone.page.set_viewport_size({"width": 390, "height": 420})
        expect(phone.field).to_be_in_viewport()
        expect(phone.message("hello")).to_be_in_viewport()
        phone.page.go_back()
        expect(phone.page.locator("nav.chats")).to_be_visible()


def test_22_where_a_keyboard_covers_the_page_it_takes_what_is_seen(ann: ChatPage, team: int) -> None:
    """As on iOS, which Chromium cannot imitate: what the page reads is replaced."""
    ann.go("Team").page.evaluate(
        "Object.defineProperty(visualViewport, 'height', { value: 420, configurable: true });"
        "visualViewport.dispatchEvent(new Event('resize'))"
    )
    box = ann.field.bounding_box()
    assert box
    assert box["y"] + box["height"] <= 420
    ann.page.evaluate("delete visualViewport.height; visualViewport.dispatchEvent(new Event('resize'))")
    assert ann.page.evaluate("document.querySelector('dragoman-app').clientHeight === innerHeight")


def test_an_interface_from_right_to_left(ann: ChatPage, bob: Bob, team: int) -> None:
    bob.send(team, "שלום לכולם")
    bob.send(team, "hello everybody")
    ann.page.evaluate("document.documentElement.dir = 'rtl'")
    ann.go("Team").until_received("hello")
    directions = [ann.message(text).evaluate("(row) => getComputedStyle(row).direction") for text in ("שלום", "hello")]
    assert directions == ["rtl", "ltr"]
    assert left(ann.page.locator("nav.chats")) > left(ann.page.locator("main"))
    assert left(ann.page.locator(".send")) < left(ann.field)
    ann.message("hello").hover()
    ann.message("hello").get_by_role("button", name="Actions of the message").click()
    expect(ann.page.get_by_role("menu")).to_be_in_viewport(ratio=1)
    assert not ann.is_too_wide()


def left(locator: Locator) -> float:
    box = locator.bounding_box()
    assert box
    return float(box["x"])


def test_forced_colours_show_what_is_chosen_and_what_is_unread(
    ann: ChatPage, bob: Bob, team: int, system: Cluster, chromium_browser: Browser
) -> None:
    bob.send(bob.group("Other", ann.account()), "unread")
    bob.call("react", chat=team, index=bob.send(team, "well?"), emoji="👍")
    with chat_user(chromium_browser, system.edges[0], forced_colors="active") as page:
        page.open().sign_in(str(ann.account())).go("Team").message("well?").locator(".reaction").click()
        chosen = page.message("well?").locator(".reaction[aria-pressed=true]")
        for shown in (chosen, page.chat("Other").locator(".badge"), page.page.locator(".dot")):
            assert float(shown.evaluate("(one) => parseFloat(getComputedStyle(one).borderWidth)")) > 0
        current = page.chat("Team").locator("a")
        assert current.evaluate("(one) => getComputedStyle(one).outlineStyle") == "solid"
        icon = page.page.locator(".send .icon")
        assert icon.evaluate("(one) => getComputedStyle(one).stroke === getComputedStyle(one).color")
        assert page.violations() == []


def test_at_200_percent_nothing_is_lost(
    ann: ChatPage, bob: Bob, team: int, system: Cluster, chromium_browser: Browser
) -> None:
    """First the zoom is 200 percent, which halves the page. Then only the text has twice its size."""
    bob.send(team, "a long message " * 10)
    with chat_user(chromium_browser, system.edges[0], 640, 400, device_scale_factor=2) as page:
        page.open().sign_in(str(ann.account())).go("Team").send("mine")
        page.until_sent("mine")
        for size in ("100%", "200%"):
            page.page.evaluate("(size) => document.documentElement.style.setProperty('font-size', size)", size)
            page.message("mine").scroll_into_view_if_needed()
            assert not page.is_too_wide()
            expect(page.field).to_be_in_viewport(ratio=1)
            expect(page.page.locator(".send")).to_be_in_viewport(ratio=1)
            expect(page.message("mine")).to_be_in_viewport()
            expect(page.page.get_by_role("button", name="Back")).to_be_in_viewport(ratio=1)
