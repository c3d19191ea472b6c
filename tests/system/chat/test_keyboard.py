"""A user works with the keyboard alone and without a pointer, from the registration to the deletion of the account."""

import secrets

import pytest
from playwright.sync_api import Browser, expect

from tests.support.chat_page import PASSWORD, ChatPage, chat_user
from tests.support.cluster import Cluster
from tests.system.chat.conftest import Bob

pytestmark = pytest.mark.xdist_group("chat")

_MOST_TABS = 60


class Keys:
    """Presses Tab until the wanted element has the focus, as a user without a pointer does."""

    def __init__(self, page: ChatPage) -> None:
        self._page = page.page

    def press(self, *keys: str) -> "Keys":
        for key in keys:
            self._page.keyboard.press(key)
        return self

    def type(self, text: str) -> "Keys":
        self._page.keyboard.type(text)
        return self

    def to(self, role: str, name: str) -> "Keys":
        wanted = self._page.get_by_role(role, name=name, exact=True).and_(self._page.locator(":focus"))  # type: ignore[arg-type]
        for _ in range(_MOST_TABS):
            if wanted.count():
                return self
            self._page.keyboard.press("Tab")
        raise AssertionError(f"Tab does not come to the {role} {name}")


def test_a_working_day_by_the_keyboard_alone(system: Cluster, chromium_browser: Browser, bob: Bob) -> None:
    with chat_user(chromium_browser, system.edges[0], service_workers="allow") as ann:
        keys = Keys(ann.open())
        ann.page.get_by_role("button", name="Create account").wait_for()
        keys.to("button", "Create account").press("Enter")
        keys.to("textbox", "Name that others see").type("Ann")
        keys.to("textbox", "User name").type(f"ann{secrets.token_hex(4)}")
        keys.to("textbox", "Password").type(PASSWORD).press("Enter")
        ann.until_connected()
        keys.to("button", "New chat").press("Enter").type(bob.username)
        ann.page.get_by_role("button", name="Add to group").wait_for()
        keys.to("button", "Add to group").press("Enter")
        keys.to("textbox", "Name of the group").type("Team").press("Enter")
        ann.page.get_by_role("heading", name="Team", exact=True).wait_for()
        chat = int(ann.page.url.rpartition("/")[2])
        keys.press("Escape").type("Hello, Bob!").press("Enter")
        ann.until_sent("Hello, Bob!")
        bob.send(chat, "Hello, Ann!")
        ann.until_received("Hello, Ann!")
        keys.press("Shift+F6")
        expect(ann.page.locator("li.row-message:focus")).to_contain_text("Hello, Ann!")
        keys.press("r").type("How are you?").press("Enter")
        ann.until_sent("How are you?")
        keys.press("ArrowUp").type(" Well?").press("Enter")
        expect(ann.message("How are you? Well?").locator(".edited")).to_be_visible()
        keys.press("Shift+F6", "Enter")
        ann.page.get_by_role("menuitem", name="React").wait_for()
        keys.press("Enter")
        ann.page.get_by_label("Find an emoji").wait_for()
        keys.type("thumbs up").press("ArrowDown", "Enter")
        expect(ann.message("Hello, Ann!").locator(".reaction")).to_have_text("👍 1")
        keys.press("Escape")
        expect(ann.field).to_be_focused()
        keys.to("link", "Settings").press("Enter")
        keys.to("combobox", "Colours").type("dark")
        expect(ann.page.locator("html[data-theme=dark]")).to_be_attached()
        keys.to("button", "Log out").press("Enter")
        ann.page.get_by_role("button", name="Create account").wait_for()
        assert bob.texts(chat) == ["Hello, Bob!", "Hello, Ann!", "How are you? Well?"]


def test_a_recalled_message_is_neither_edited_nor_answered(ann: ChatPage, bob: Bob, team: int) -> None:
    ann.go("Team").send("a mistake")
    ann.until_sent("a mistake")
    bob.call("recall", chat=team, index=1)
    expect(ann.page.locator(".recalled")).to_be_visible()
    Keys(ann).press("Shift+F6", "e", "r", "Enter")
    expect(ann.page.get_by_role("menuitem", name="Mark as unread")).to_be_visible()
