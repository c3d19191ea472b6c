"""Tests how users write messages: drafts, edits, replies, reactions and emoji."""

import re
import secrets

import pytest
from playwright.sync_api import Browser, FilePayload, expect

from tests.support.chat_page import ChatPage, chat_user
from tests.support.cluster import Cluster
from tests.system.chat.conftest import Bob
from tests.system.chat.held_replies import HeldReplies

_SYNCED = """([account, chat]) => JSON.parse(localStorage.getItem(`dragoman.${account}.draft.${chat}`))?.synced"""
"""A script that returns the part of a draft that the server has."""

pytestmark = pytest.mark.xdist_group("chat")


def test_01_a_draft_survives_a_reload_and_never_moves(ann: ChatPage, bob: Bob, team: int) -> None:
    bob.group("Other", ann.account())
    ann.go("Team").field.press_sequentially("half a sen")
    ann.go("Other")
    expect(ann.field).to_have_value("")
    ann.field.press_sequentially("another")
    expect(ann.chat("Team")).to_contain_text("Draft: half a sen")
    ann.page.reload()
    expect(ann.field).to_have_value("another")
    ann.go("Team")
    expect(ann.field).to_have_value("half a sen")


def test_01_two_tabs_have_one_draft(ann: ChatPage, bob: Bob, team: int) -> None:
    ann.go("Team").field.press_sequentially("half")
    other = ann.another_tab().go("Team")
    expect(other.field).to_have_value("half")
    other.field.blur()
    ann.field.press_sequentially(" a sentence")
    expect(other.field).to_have_value("half a sentence")
    ann.field.blur()
    other.field.press_sequentially("!")
    expect(ann.field).to_have_value("half a sentence!")
    other.field.press("Enter")
    expect(ann.field).to_have_value("")
    ann.until_sent("half a sentence!")
    assert bob.texts(team) == ["half a sentence!"]


def test_01_writing_goes_on_when_the_storage_is_full(ann: ChatPage, bob: Bob, team: int) -> None:
    bob.group("Other", ann.account())
    ann.go("Team")
    ann.page.evaluate(
        "() => { Storage.prototype.setItem = () => { throw new DOMException('full', 'QuotaExceededError'); }; }"
    )
    ann.field.press_sequentially("still written")
    ann.go("Other").go("Team")
    expect(ann.field).to_have_value("still written")
    ann.field.press("Enter")
    ann.until_sent("still written")
    assert bob.texts(team) == ["still written"]


def test_02_a_draft_is_on_all_devices_and_never_replaces_newer_text(
    ann: ChatPage, team: int, system: Cluster, chromium_browser: Browser
) -> None:
    with chat_user(chromium_browser, system.edges[1]) as phone:
        phone.open().sign_in(str(ann.account()))
        phone.chat("Team").wait_for()
        ann.go("Team").field.press_sequentially("from the desk")
        expect(phone.chat("Team")).to_contain_text("Draft: from the desk")
        phone.go("Team")
        expect(phone.field).to_have_value("from the desk")
        ann.field.fill("newer at the desk")
        phone.field.fill("newer on the phone")
        ann.page.wait_for_timeout(3500)
        expect(ann.field).to_have_value("newer at the desk")
        expect(phone.field).to_have_value("newer on the phone")


def test_02_a_draft_that_another_device_has_sent_or_changed_is_not_shown_as_it_was(
    ann: ChatPage, bob: Bob, team: int, system: Cluster, chromium_browser: Browser
) -> None:
    """The first device has no connection meanwhile."""
    other = bob.group("Other", ann.account())
    with chat_user(chromium_browser, system.edges[1]) as phone:
        phone.open().sign_in(str(ann.account()))
        for name, text in (("Team", "see you"), ("Other", "half")):
            ann.go(name).field.press_sequentially(text)
            expect(phone.chat(name)).to_contain_text(f"Draft: {text}")
        ann.page.goto("about:blank")
        phone.go("Team").field.press("Enter")
        phone.until_sent("see you")
        phone.go("Other").field.fill("half a sentence")
        phone.go("Team")
        phone.until(lambda: phone.page.evaluate(_SYNCED, [phone.account(), other]) == "half a sentence")
    ann.open(f"/{team}").until_connected()
    expect(ann.field).to_have_value("")
    ann.go("Other")
    expect(ann.field).to_have_value("half a sentence")


def test_02_a_draft_goes_from_the_device_that_wrote_it_when_another_one_sends_it(
    ann: ChatPage, bob: Bob, team: int, system: Cluster, chromium_browser: Browser
) -> None:
    bob.group("Other", ann.account())
    with chat_user(chromium_browser, system.edges[1]) as phone:
        phone.open().sign_in(str(ann.account()))
        ann.go("Team").field.press_sequentially("see you")
        expect(phone.chat("Team")).to_contain_text("Draft: see you")
        ann.go("Other")
        phone.go("Team").field.press("Enter")
        phone.until_sent("see you")
        expect(ann.chat("Team")).not_to_contain_text("Draft")
        phone.go("Other")
        ann.go("Team").field.press_sequentially("soon")
        expect(phone.chat("Team")).to_contain_text("Draft: soon")


def test_02_a_draft_that_was_sent_without_a_network_does_not_come_back(ann: ChatPage, bob: Bob, team: int) -> None:
    """Another page sends it."""
    ann.go("Team").field.press_sequentially("see you")
    ann.until(lambda: ann.page.evaluate(_SYNCED, [ann.account(), team]) == "see you")
    ann.page.context.set_offline(True)
    ann.field.press("Enter")
    expect(ann.page.locator(".drawer-line")).to_contain_text("1 message is waiting")
    ann.page.goto("about:blank")
    ann.page.context.set_offline(False)
    ann.open(f"/{team}").until_connected().until_sent("see you")
    ann.page.reload()
    ann.until_connected().until_received("see you")
    ann.field.press_sequentially("soon")
    ann.field.press("Enter")
    ann.until_sent("soon")
    assert bob.texts(team) == ["see you", "soon"]
    ann.complaints.clear()


def test_02_a_draft_goes_with_its_rejected_message(
    ann: ChatPage, bob: Bob, team: int, system: Cluster, chromium_browser: Browser
) -> None:
    bob.call("silence", chat=team, account=ann.account(), until=4_000_000_000_000)
    with chat_user(chromium_browser, system.edges[1]) as phone:
        phone.open().sign_in(str(ann.account()))
        ann.go("Team").field.press_sequentially("may I?")
        expect(phone.chat("Team")).to_contain_text("Draft: may I?")
        ann.until(lambda: ann.page.evaluate(_SYNCED, [ann.account(), team]) == "may I?")
        ann.field.press("Enter")
        ann.page.locator(".message-rejected").get_by_role("button", name="Remove").click()
        expect(phone.chat("Team")).not_to_contain_text("Draft")


def test_11_arrow_up_edits_the_last_message_and_no_text_is_lost(ann: ChatPage, bob: Bob, team: int) -> None:
    ann.go("Team").send("a mistke")
    ann.until_sent("a mistke")
    ann.field.press("ArrowUp")
    expect(ann.field).to_have_value("a mistke")
    ann.field.fill("a mistake")
    ann.field.press("Enter")
    expect(ann.message("a mistake").locator(".edited")).to_be_visible()
    assert bob.texts(team) == ["a mistake"]
    expect(ann.field).to_have_value("")
    ann.field.press_sequentially("kept")
    ann.message("a mistake").hover()
    ann.message("a mistake").get_by_role("button", name="Actions of the message").click()
    ann.page.get_by_role("menuitem", name="Edit").click()
    ann.page.keyboard.press("Escape")
    expect(ann.field).to_have_value("kept")


def test_11_what_is_sent_as_the_page_goes_is_sent_once(ann: ChatPage, bob: Bob, team: int) -> None:
    ann.go("Team").field.fill("at the last moment")
    ann.page.evaluate(
        "() => { IDBFactory.prototype.open = () => { throw new Error('too late'); };"
        " IDBDatabase.prototype.transaction = () => { throw new Error('too late'); };"
        " WebSocket.prototype.send = () => {}; }"
    )
    ann.field.press("Enter")
    ann.page.reload()
    ann.until_sent("at the last moment")
    assert bob.texts(team) == ["at the last moment"]
    expect(ann.field).to_have_value("")


def test_11_an_edit_and_files_wait_while_another_chat_is_shown(ann: ChatPage, bob: Bob, team: int) -> None:
    bob.group("Other", ann.account())
    ann.go("Team").send("a mistke")
    ann.until_sent("a mistke")
    ann.page.locator("input[type=file]").set_input_files(_file("notes.txt"))
    ann.field.press("ArrowUp")
    ann.field.fill("a mistake")
    ann.go("Other")
    expect(ann.field).to_have_value("")
    expect(ann.page.locator(".attachments li")).to_have_count(0)
    ann.go("Team")
    expect(ann.field).to_have_value("a mistake")
    expect(ann.page.locator(".attachments li")).to_contain_text("notes.txt")
    ann.field.press("Enter")
    expect(ann.message("a mistake").locator(".edited")).to_be_visible()


def test_11_a_text_that_is_changed_while_an_edit_is_saved_is_not_lost(
    bob: Bob, system: Cluster, chromium_browser: Browser
) -> None:
    held = HeldReplies(lambda command: command["op"] == "edit")
    with chat_user(chromium_browser, system.edges[0]) as ann:
        ann.page.route_web_socket("**/ws/native", held.forward)
        team = bob.group("Team", ann.open().register("Ann", f"ann{secrets.token_hex(4)}").account())
        ann.go("Team").send("a mistke")
        ann.until_sent("a mistke")
        ann.field.press("ArrowUp")
        ann.field.fill("a mistake")
        ann.field.press("Enter")
        ann.until(lambda: held.is_held)
        ann.field.fill("a mistake of mine")
        held.release()
        bob.send(team, "after the reply")
        ann.until_received("after the reply")
        expect(ann.field).to_have_value("a mistake of mine")
        ann.field.press("Enter")
        ann.until_received("a mistake of mine")
        expect(ann.field).to_have_value("")


def test_11_a_rejected_message_comes_back_with_its_files(ann: ChatPage, bob: Bob, team: int) -> None:
    ann.go("Team").page.locator("input[type=file]").set_input_files(_file("notes.txt"))
    expect(ann.page.locator(".attachments progress")).to_have_count(0)
    bob.call("silence", chat=team, account=ann.account(), until=4_000_000_000_000)
    ann.send("may I?")
    expect(ann.page.locator(".message-rejected")).to_contain_text("notes.txt")
    ann.page.locator(".message-rejected").get_by_role("button", name="Edit").click()
    expect(ann.field).to_have_value("may I?")
    expect(ann.page.locator(".attachments li")).to_contain_text("notes.txt")
    bob.call("silence", chat=team, account=ann.account(), until=0)
    ann.field.press("Enter")
    expect(ann.message("may I?").get_by_text("notes.txt")).to_be_visible()


def _file(name: str) -> FilePayload:
    return FilePayload(name=name, mimeType="text/plain", buffer=b"text")


def test_15_emoji_are_found_by_name_those_of_late_come_first_and_a_skin_tone_stays(
    ann: ChatPage, bob: Bob, team: int
) -> None:
    bob.send(team, "well?")
    ann.go("Team").field.fill("Good !")
    ann.field.evaluate("(field) => field.setSelectionRange(5, 5)")
    button = ann.page.locator("dragoman-composer").get_by_role("button", name="Emoji")
    button.click()
    picker = ann.page.locator("dragoman-emojis")
    expect(picker.get_by_label("Find an emoji")).to_be_focused()
    ann.page.keyboard.type("waving")
    picker.get_by_label("Skin tone").select_option("👋🏾")
    picker.get_by_role("button", name="👋🏾").click()
    expect(ann.field).to_have_value("Good 👋🏾!")
    expect(ann.field).to_be_focused()
    ann.page.reload()
    ann.message("well?").hover()
    ann.message("well?").get_by_role("button", name="React").click()
    expect(picker.get_by_label("Skin tone")).to_have_value("4")
    expect(picker.get_by_role("group", name="Recent emoji").get_by_role("button").first).to_have_text("👋🏾")
    ann.page.keyboard.type("thumbs up")
    ann.page.keyboard.press("ArrowDown")
    ann.page.keyboard.press("Enter")
    expect(ann.message("well?").locator(".reaction")).to_have_text("👍🏾 1")


def test_16_one_click_adds_the_same_reaction(ann: ChatPage, bob: Bob, team: int) -> None:
    index = bob.send(team, "well?")
    bob.call("react", chat=team, index=index, emoji="👍")
    ann.go("Team")
    reaction = ann.message("well?").locator(".reaction")
    expect(reaction).to_have_text("👍 1")
    reaction.click()
    expect(reaction).to_have_text("👍 2")
    expect(reaction).to_have_attribute("aria-pressed", "true")
    reaction.hover()
    expect(reaction).to_have_attribute("title", re.compile("👍: (Bob, Ann|Ann, Bob)"))
    reaction.click()
    expect(reaction).to_have_text("👍 1")


def test_17_markdown_is_shown_and_copied_as_it_was_written(ann: ChatPage, team: int) -> None:
    ann.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    text = "**bold** and `code`\n> quote\n- item\n```js\nlet x = 1;\n```\nhttps://example.com/"
    ann.go("Team").send(text)
    row = ann.message("bold").first
    for element, content in (("strong", "bold"), ("code", "code"), ("blockquote", "quote"), ("li", "item")):
        expect(row.locator(element).first).to_have_text(content)
    link = row.get_by_role("link")
    assert (link.get_attribute("href"), link.get_attribute("rel")) == (
        "https://example.com/",
        "noopener noreferrer nofollow",
    )
    row.get_by_role("button", name="Copy code").click()
    assert ann.page.evaluate("navigator.clipboard.readText()") == "let x = 1;\n"
    row.hover()
    row.get_by_role("button", name="Actions of the message").click()
    ann.page.get_by_role("menuitem", name="Copy").click()
    assert ann.page.evaluate("navigator.clipboard.readText()") == text


def test_17_a_selection_over_many_messages_is_copied_whole(ann: ChatPage, bob: Bob, team: int) -> None:
    """The page has only some of these messages at any time."""
    ann.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    for number in range(80):
        bob.send(team, f"**line** {number}")
    ann.go("Team").to_last("line 79")
    ann.page.evaluate("getSelection().selectAllChildren([...document.querySelectorAll('.row-message .lines')].at(-1))")
    ann.to_top("line 0")
    ann.page.evaluate("getSelection().extend(document.querySelector('.row-message .lines'), 1)")
    ann.page.keyboard.press("Control+c")
    copied = ann.page.evaluate("navigator.clipboard.readText()")
    assert copied == "\n".join(f"Bob: **line** {number}" for number in range(80))


def test_enter_begins_a_line_if_the_user_wants_this(ann: ChatPage, bob: Bob, team: int) -> None:
    ann.page.get_by_role("link", name="Settings").click()
    ann.page.get_by_label("Enter sends").uncheck()
    ann.page.reload()
    expect(ann.page.get_by_label("Enter sends")).not_to_be_checked()
    ann.go("Team").field.press_sequentially("one")
    for key in ("Enter", "t", "w", "o", "Control+Enter"):
        ann.field.press(key)
    ann.until_sent("one")
    assert bob.texts(team) == ["one\ntwo"]


def test_16_on_a_touchscreen_the_names_are_in_the_menu(bob: Bob, system: Cluster, chromium_browser: Browser) -> None:
    with chat_user(chromium_browser, system.edges[0], 390, 844, has_touch=True, is_mobile=True) as phone:
        phone.open().register("Ann", f"ann{bob.username}")
        chat = bob.group("Team", phone.account())
        index = bob.send(chat, "well?")
        bob.call("react", chat=chat, index=index, emoji="👍")
        phone.chat("Team").locator("a").tap()
        expect(phone.message("well?").locator(".reaction")).to_have_text("👍 1")
        phone.message("well?").locator(".message-body").tap()
        phone.message("well?").get_by_role("button", name="Actions of the message").tap()
        phone.page.get_by_role("menuitem", name="Who has reacted").tap()
        expect(phone.page.locator(".reactors li")).to_have_text(["👍: Bob"])


def test_a_member_is_mentioned_by_the_begin_of_the_name(ann: ChatPage, bob: Bob, team: int) -> None:
    """The name that was chosen stays a mention after a reload, and in an edit."""
    ann.go("Team").field.press_sequentially("ann@b")
    names = ann.page.get_by_role("option")
    expect(names).to_have_count(0)
    ann.field.fill("")
    ann.field.press_sequentially("look, @b")
    expect(names).to_have_text(["Bob"])
    assert ann.field.get_attribute("aria-activedescendant") == names.first.get_attribute("id")
    ann.field.press("Escape")
    expect(names).to_have_count(0)
    ann.field.press_sequentially("o")
    expect(names).to_have_text(["Bob"])
    ann.field.press("Enter")
    expect(ann.field).to_have_value("look, @Bob ")
    ann.field.press_sequentially("@Bobby")
    ann.page.reload()
    expect(ann.field).to_have_value("look, @Bob @Bobby")
    ann.field.press("Enter")
    ann.until_sent("look, @Bob")
    expect(ann.message("look, @Bob").locator(".mention")).to_have_text("@Bob")
    (head,) = [one for one in bob.call("sync")["chats"] if one["chat"] == team]
    assert head["mentions"] == 1
    ann.field.press("ArrowUp")
    ann.field.press("End")
    ann.field.press_sequentially("!")
    ann.field.press("Enter")
    expect(ann.message("@Bobby!").locator(".mention")).to_have_text("@Bob")
    expect(ann.field).to_have_value("")
    ann.field.press("ArrowUp")
    ann.field.press("Escape")
    ann.send("@Bob is a text")
    ann.until_sent("@Bob is a text")
    expect(ann.message("@Bob is a text").locator(".mention")).to_have_count(0)


def test_members_with_one_name_are_mentioned_each(ann: ChatPage, bob: Bob, system: Cluster) -> None:
    twin = Bob(system.edges[1])
    bob.group("Twins", ann.account(), twin.account)
    ann.go("Twins")
    for key in ("Enter", "ArrowDown"):
        ann.field.press_sequentially("@b")
        expect(ann.page.get_by_role("option")).to_have_text(["Bob", "Bob"])
        ann.field.press(key)
    ann.field.press("Enter")
    ann.field.press("Enter")
    ann.until_sent("@Bob")
    assert [one["mentions"] for user in (bob, twin) for one in user.call("sync")["chats"]] == [1, 1]


def test_names_that_come_after_the_message_is_sent_are_not_shown(ann: ChatPage, team: int) -> None:
    ann.go("Team").field.evaluate("""(field) => {
        field.value = "at @b";
        field.dispatchEvent(new InputEvent("input", { bubbles: true }));
        field.dispatchEvent(new KeyboardEvent("keydown", { key: "Enter", bubbles: true, cancelable: true }));
    }""")
    ann.until_sent("at @b")
    expect(ann.page.get_by_role("option")).to_have_count(0)


def test_14_quotes_and_the_list_show_a_text_without_its_signs(ann: ChatPage, bob: Bob, team: int) -> None:
    first = bob.send(team, "**Bring** the `tea`, ~~please~~")
    bob.send(team, "I do", reply_to=first)
    ann.go("Team").until_received("I do")
    expect(ann.message("I do").locator(".quote")).to_contain_text("Bring the tea, please")
    bob.send(team, "- *one* of two")
    expect(ann.chat("Team").locator(".chat-preview")).to_have_text("Bob: one of two")


def test_20_everything_by_the_keyboard(ann: ChatPage, bob: Bob, team: int) -> None:
    bob.group("Zebras", ann.account())
    ann.chat("Zebras").wait_for()
    keys = ann.page.keyboard
    keys.press("Control+k")
    keys.type("Tea")
    keys.press("Enter")
    expect(ann.field).to_be_focused()
    expect(ann.page.get_by_role("heading", name="Team", exact=True)).to_be_visible()
    keys.type("by keyboard")
    keys.press("Enter")
    ann.until_sent("by keyboard")
    expect(ann.field).to_be_focused()
    keys.press("Shift+F6")
    keys.press("r")
    expect(ann.page.locator(".composer-note")).to_contain_text("Reply to Ann")
    keys.type("an answer")
    keys.press("Enter")
    ann.until_sent("an answer")
    keys.press("Alt+ArrowDown")
    expect(ann.page.get_by_role("heading", name="Zebras", exact=True)).to_be_visible()
    ann.page.locator("dragoman-chats a[aria-current]").focus()
    keys.press("Shift+?")
    expect(ann.page.get_by_role("dialog", name="Keys")).to_be_visible()
    keys.press("Escape")
    expect(ann.page.get_by_role("dialog")).to_have_count(0)


def test_26_enter_in_a_composition_sends_nothing(ann: ChatPage, bob: Bob, team: int) -> None:
    ann.go("Team").field.focus()
    session = ann.page.context.new_cdp_session(ann.page)
    session.send("Input.imeSetComposition", {"text": "你好", "selectionStart": 2, "selectionEnd": 2})
    enter = {"type": "rawKeyDown", "key": "Enter", "code": "Enter", "windowsVirtualKeyCode": 229}
    session.send("Input.dispatchKeyEvent", enter)
    ann.page.wait_for_timeout(300)
    assert bob.texts(team) == []
    session.send("Input.insertText", {"text": "你好"})
    ann.field.press("Enter")
    ann.until_sent("你好")
    assert bob.texts(team) == ["你好"]
