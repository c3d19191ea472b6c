"""Tests searches while the user types: a late reply must not replace the result of a later search."""

import secrets
from collections.abc import Iterator
from typing import Literal

import pytest
from playwright.sync_api import expect

from tests.support.chat_page import ChatPage
from tests.system.chat.conftest import Bob, SharedProfile
from tests.system.chat.held_replies import HeldReplies

pytestmark = pytest.mark.xdist_group("chat")

_SEARCHES = ("members", "find")


@pytest.fixture
def held() -> HeldReplies:
    return HeldReplies(lambda command: command["op"] in _SEARCHES and bool(command.get("query")))


@pytest.fixture
def ann(profile: SharedProfile, held: HeldReplies) -> Iterator[ChatPage]:
    page = profile.open()
    page.page.route_web_socket("**/ws/native", held.forward)
    yield page.open().register("Ann", f"ann{secrets.token_hex(4)}")
    profile.clear()


@pytest.mark.parametrize(("role", "name", "field", "found"), [
    ("button", "Members", "Find a member", ".side .people li"),
    ("button", "New chat", "Find by user name, mail or number", "dialog .choices li"),
    ("link", "People", "Find by user name, mail or number", ".screen form + .people li"),
])  # fmt: skip
def test_a_late_reply_replaces_no_later_one(
    ann: ChatPage,
    bob: Bob,
    team: int,
    held: HeldReplies,
    role: Literal["button", "link"],
    name: str,
    field: str,
    found: str,
) -> None:
    ann.go("Team").page.get_by_role(role, name=name).click()
    search, hits = ann.page.get_by_label(field).first, ann.page.locator(found)
    for query, is_done in ((bob.username, lambda: held.is_held), ("nobody-at-all", lambda: held.later > 0)):
        search.fill(query)
        if name == "People":
            search.press("Enter")  # only this field needs Enter; the others search while the user types
        ann.until(is_done)
    held.release()
    expect(hits).to_have_count(0)
    bob.send(team, "after the reply")
    expect(ann.page.locator(".chat-row", has_text="after the reply")).to_have_count(1)
    expect(hits).to_have_count(0)
