"""Errors of users, machines and servers. The page describes each error in a sentence, and continues to work."""

import base64

import pytest
from playwright.sync_api import Browser, FilePayload, expect

from tests.support.chat_page import ChatPage, chat_user
from tests.support.cluster import Cluster
from tests.system.chat.conftest import Bob

pytestmark = pytest.mark.xdist_group("chat")

_PICTURE = """() => {
  const canvas = document.createElement("canvas");
  canvas.getContext("2d").fillRect(0, 0, 9, 9);
  return canvas.toDataURL("image/png").split(",")[1];
}"""


def test_a_page_that_does_not_load_explains_it(system: Cluster, chromium_browser: Browser) -> None:
    with chat_user(chromium_browser, system.edges[0]) as page:
        page.page.route("**/assets/*.js", lambda route: route.abort())
        page.open().page.get_by_text("This browser is too old").wait_for()
        page.page.unroute("**/assets/*.js")
        page.page.reload()
        page.page.get_by_role("button", name="Create account").wait_for()
        expect(page.page.get_by_text("This browser is too old")).to_be_hidden()


def test_a_blocked_websocket_is_named(ann: ChatPage) -> None:
    ann.page.add_init_script(
        "WebSocket = class extends WebSocket {"
        " constructor() { super(`${location.origin.replace('http', 'ws')}/none`); } }"
    )
    ann.page.reload()
    blocked = ann.page.locator(".drawer-line").get_by_text("A proxy or an extension may block it.")
    blocked.wait_for()
    ann.complaints.clear()


def test_a_wrong_clock_is_named(ann: ChatPage) -> None:
    ann.page.add_init_script("{ const now = Date.now; Date.now = () => now() - 600_000; }")
    ann.page.reload()
    ann.until_connected().page.get_by_role("link", name="Settings").click()
    ann.page.get_by_text("The clock of this machine is wrong by 10 minutes.").wait_for()


def test_a_link_to_a_chat_of_others_explains_itself(ann: ChatPage, bob: Bob) -> None:
    ann.open(f"/{bob.group('Secret')}").page.get_by_text("Ask a member to invite you.").wait_for()


def test_a_file_that_is_too_large_and_a_broken_picture_are_named(ann: ChatPage, team: int) -> None:
    ann.go("Team").page.route("**/media/uploads?*", lambda route: route.fulfill(status=413))
    files = ann.page.locator("input[type=file]")
    files.set_input_files(FilePayload(name="film.mkv", mimeType="video/x-matroska", buffer=b"film"))
    ann.page.get_by_text("film.mkv is too large for this server.").wait_for()
    ann.page.get_by_role("button", name="Remove film.mkv").click()
    ann.page.unroute("**/media/uploads?*")
    content = base64.b64decode(ann.page.evaluate(_PICTURE))
    files.set_input_files(FilePayload(name="torn.png", mimeType="image/png", buffer=content[:60]))
    expect(ann.page.locator(".attachments progress")).to_have_count(0)
    ann.send("look")
    ann.until_sent("look")
    expect(ann.message("look").get_by_alt_text("Picture: torn.png")).to_be_visible()
    ann.complaints.clear()


def test_a_long_name_is_rejected_with_its_reason(ann: ChatPage) -> None:
    """The field accepts fewer characters, but a script or another browser may send more."""
    ann.page.get_by_role("link", name="People").click()
    name = ann.page.get_by_label("Name that others see")
    name.evaluate("(field) => field.removeAttribute('maxlength')")
    name.fill("😀" * 500)
    ann.page.get_by_role("button", name="Save").click()
    expect(ann.page.locator(".said")).to_contain_text("at most 64 characters")
