"""Friends, requests, the user's own profile, and the members of a chat."""

import secrets

import pytest
from playwright.sync_api import expect

from tests.support.chat_page import ChatPage
from tests.system.chat.conftest import Bob

pytestmark = pytest.mark.xdist_group("chat")


def test_a_request_is_seen_at_once_and_a_friend_is_written_to(ann: ChatPage, bob: Bob) -> None:
    bob.call("befriend", account=ann.account(), text="shall we?")
    ann.page.get_by_role("link", name="People (1)").click()
    request = ann.page.locator(".people li", has_text="shall we?")
    request.get_by_role("button", name="Accept").click()
    friend = ann.page.locator(".people li", has=ann.page.get_by_role("button", name="Remove friend"))
    expect(friend).to_contain_text("Bob")
    expect(ann.page.get_by_role("link", name="People", exact=True)).to_be_visible()
    assert bob.call("friends")["friends"] == [ann.account()]
    friend.get_by_role("button", name="Write").click()
    ann.page.get_by_role("heading", name="Bob", level=1).wait_for()
    ann.send("Hello, friend!")
    ann.until_sent("Hello, friend!")
    bob.call("unfriend", account=ann.account())
    ann.page.get_by_role("link", name="People").click()
    expect(friend).to_have_count(0)


def test_a_profile_is_changed_and_its_new_name_is_shown(ann: ChatPage, bob: Bob, team: int) -> None:
    ann.go("Team").send("by any name")
    ann.until_sent("by any name")
    ann.page.get_by_role("link", name="People").click()
    ann.page.get_by_text(f"On IRC: {bob.call('profile', account=ann.account())['nick']}", exact=True).wait_for()
    ann.page.get_by_label("Name that others see").fill("Annabel")
    ann.page.get_by_label("Signature").fill("at sea")
    ann.page.get_by_role("button", name="Save").click()
    ann.page.get_by_text("Saved").wait_for()
    profile = bob.call("profile", account=ann.account())
    assert (profile["nickname"], profile["signature"]) == ("Annabel", "at sea")
    expect(ann.go("Team").message("by any name").locator(".message-author")).to_have_text("Annabel")


def test_members_are_invited_and_leave_after_a_question(ann: ChatPage, bob: Bob, team: int) -> None:
    zoe = Bob(bob.address, "Zoe")
    ann.go("Team").page.get_by_role("button", name="Members").click()
    side = ann.page.get_by_role("complementary", name="Members")
    side.get_by_text("owner").wait_for()
    handle = f"t{secrets.token_hex(4)}"
    bob.call("set_chat", chat=team, handle=handle)
    side.get_by_text(f"On IRC: #{handle}").wait_for()
    expect(side.get_by_role("button", name="Invite")).to_have_count(0)
    bob.call("role", chat=team, account=ann.account(), role="admin")
    side.get_by_label("Find by user name, mail or number").fill(zoe.username)
    side.get_by_role("button", name="Invite").click()
    ann.page.locator(".said", has_text="friend").wait_for()
    zoe.call("befriend", account=ann.account())
    ann.page.get_by_role("link", name="People (1)").click()
    ann.page.get_by_role("button", name="Accept").click()
    ann.page.get_by_role("button", name="Remove friend").wait_for()
    ann.go("Team").page.get_by_role("button", name="Members").click()
    side.get_by_label("Find by user name, mail or number").fill(zoe.username)
    side.get_by_role("button", name="Invite").click()
    side.locator("li", has_text="Zoe").wait_for()
    zoe.send(team, "thank you")
    ann.until_received("thank you")
    side.locator("li", has_text="Zoe").get_by_role("button", name="Write").click()
    ann.page.get_by_role("heading", name="Zoe", level=1).wait_for()
    ann.send("welcome")
    ann.until_sent("welcome")
    ann.go("Team")
    leave = side.get_by_role("button", name="Leave the chat")
    leave.click()  # a dialog that the test does not handle is dismissed
    ann.page.once("dialog", lambda dialog: dialog.accept())
    expect(ann.chat("Team")).to_be_visible()
    leave.click()
    ann.chat("Team").wait_for(state="detached")
    expect(ann.field).to_have_count(0)
