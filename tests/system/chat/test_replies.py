"""The pane with the replies to a message: beside the chat, or in its place on a narrow screen."""

from collections.abc import Sequence

import pytest
from playwright.sync_api import Browser, Locator, expect

from tests.support.chat_page import ChatPage, chat_user
from tests.support.cluster import Cluster
from tests.support.first_page import AXE
from tests.system.chat.conftest import Bob
from tests.system.chat.test_reading import filled

pytestmark = pytest.mark.xdist_group("chat")


def pane(ann: ChatPage) -> Locator:
    return ann.page.get_by_role("complementary", name="Replies")


def texts(ann: ChatPage) -> Sequence[str]:
    return pane(ann).locator(".message-body").all_inner_texts()


def test_14_the_replies_to_a_message_are_beside_the_chat(ann: ChatPage, bob: Bob, team: int) -> None:
    question = bob.send(team, "who comes?")
    bob.send(team, "I do", reply_to=question)
    bob.send(team, "something else")
    ann.go("Team").message("who comes?").first.get_by_role("button", name="1 reply").click()
    assert texts(ann) == ["who comes?", "I do"]
    expect(pane(ann).locator("li.original")).to_be_focused()
    again = bob.send(team, "so do I", reply_to=question)
    expect(pane(ann).locator(".message-body")).to_have_text(["who comes?", "I do", "so do I"], use_inner_text=True)
    expect(ann.message("who comes?").first.locator(".replies")).to_have_text("2 replies")
    bob.call("recall", chat=team, index=again)
    expect(ann.message("who comes?").first.locator(".replies")).to_have_text("1 reply")
    assert texts(ann) == ["who comes?", "I do"]
    pane(ann).get_by_role("button", name="Reply", exact=True).last.click()
    expect(ann.page.locator(".composer-note")).to_contain_text("Reply to Bob")
    ann.send("me, too")
    expect(pane(ann).locator(".message-body")).to_have_text(["who comes?", "I do", "me, too"], use_inner_text=True)
    ann.page.reload()
    expect(pane(ann).locator(".message-body")).to_have_text(["who comes?", "I do", "me, too"], use_inner_text=True)
    ann.page.get_by_role("button", name="Members").click()
    expect(pane(ann)).to_have_count(0)
    expect(ann.page.get_by_role("complementary", name="Members")).to_be_visible()


def test_14_what_is_missing_between_replies_is_named_and_loaded(
    ann: ChatPage, bob: Bob, team: int, system: Cluster, chromium_browser: Browser
) -> None:
    question = bob.send(team, "who comes?")
    bob.send(team, "I do", reply_to=question)
    filled(bob, team, 150)
    bob.send(team, "so do I", reply_to=question)
    with chat_user(chromium_browser, system.edges[1]) as other:
        other.open(f"/{team}/{question}/replies").sign_in(str(ann.account()))
        expect(pane(other).locator(".message-body")).to_have_text(
            ["who comes?", "I do", "so do I"], use_inner_text=True
        )
        gap = pane(other).locator(".gap-line")
        expect(gap).to_contain_text("messages are not loaded")
        gap.get_by_role("button", name="Load").click()
        expect(gap).to_have_count(0)
        assert texts(other) == ["who comes?", "I do", "so do I"]


def test_20_replies_by_the_keyboard(ann: ChatPage, bob: Bob, team: int) -> None:
    question = bob.send(team, "who comes?")
    ann.go("Team").until_received("who comes?")
    ann.field.focus()
    bob.send(team, "I do", reply_to=question)
    ann.until_received("I do")
    keys = ann.page.keyboard
    for key in ("Shift+F6", "ArrowUp", "Enter"):
        keys.press(key)
    ann.page.get_by_role("menuitem", name="Show replies").focus()
    keys.press("Enter")
    expect(pane(ann).locator("li.original")).to_be_focused()
    keys.press("ArrowDown")
    expect(pane(ann).locator("li").last).to_be_focused()
    keys.press("F6")
    expect(ann.page.locator(".drawer-line")).to_be_focused()
    keys.press("Shift+F6")
    expect(pane(ann).locator("li").last).to_be_focused()
    keys.press("r")
    expect(ann.page.locator(".composer-note")).to_contain_text("Reply to Bob")
    keys.press("F6")
    keys.press("Escape")
    expect(pane(ann)).to_have_count(0)
    expect(ann.page.locator("li.row-message:focus")).to_contain_text("who comes?")


@pytest.mark.skipif(not AXE.exists(), reason="axe is not installed: ./dev setup")
@pytest.mark.parametrize(("theme", "width"), [("dark", 320), ("light", 1280)])
def test_14_on_a_narrow_screen_the_replies_are_a_layer(
    bob: Bob, system: Cluster, chromium_browser: Browser, theme: str, width: int
) -> None:
    with chat_user(chromium_browser, system.edges[0], width, color_scheme=theme) as ann:
        ann.open().register("Ann", f"ann{bob.username}")
        name = "A team with a name of many words"
        chat = bob.group(name, ann.account())
        question = bob.send(chat, "who comes?")
        bob.send(chat, "I do", reply_to=question)
        ann.chat(name).wait_for()
        expect(ann.go(name).page.locator(".send")).to_be_in_viewport(ratio=1)
        ann.page.get_by_role("button", name="1 reply").click()
        expect(pane(ann).locator(".message-body")).to_have_text(["who comes?", "I do"], use_inner_text=True)
        expect(ann.field).to_be_visible(visible=width > 320)
        assert ann.violations() == []
        assert not ann.is_too_wide()
        ann.page.go_back()
        expect(pane(ann)).to_have_count(0)
        ann.page.get_by_role("button", name="1 reply").click()
        pane(ann).locator("li").last.focus()
        ann.page.keyboard.press("r")
        expect(ann.field).to_be_focused()
        expect(pane(ann)).to_have_count(int(width > 320))
        assert ann.complaints == []
        assert ann.reports() == []


def test_14_the_menu_of_a_message_goes_with_its_chat(ann: ChatPage, bob: Bob, team: int) -> None:
    """Otherwise an answer would begin in the other chat, to a message of the same number."""
    bob.group("Other", ann.account())
    bob.send(team, "who comes?")
    ann.go("Other").go("Team").until_received("who comes?")
    ann.page.locator("li.row-message").focus()
    ann.page.keyboard.press("Enter")
    ann.page.get_by_role("menuitem", name="Reply").wait_for()
    ann.page.go_back()
    ann.page.get_by_role("textbox", name="Write to Other").wait_for()
    expect(ann.page.get_by_role("menu")).to_have_count(0)
