"""Tests in a browser when drafts are stored at the server."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page

from tests.unit.web.bundled_page import needs_browser, page_with

pytestmark = needs_browser

_SERVER = """
window.begin = (me) => {
  const server = { rev: 0, text: "", replies: [] };
  const call = (_, { text, base }) => new Promise((resolve) => {
    const isNewest = base === server.rev;
    if (isNewest) Object.assign(server, { rev: server.rev + 1, text });
    const reply = isNewest ? { rev: server.rev } : { conflict: { rev: server.rev, text: server.text } };
    server.replies.push(() => resolve(reply));
  });
  const [drafts, heads, chats] = [new Set(), new Set(), new Map()];
  return [server, new Module.Drafts({ me, drafts, heads, chats, wire: { call } })];
};
window.answer = async ({ replies }) => {
  while (replies.length) {
    replies.shift()();
    for (let turns = 0; turns < 9; turns += 1) await null;
  }
};
"""
"""A script with a server of drafts, whose replies wait for `answer`."""


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    with page_with("model/drafts.ts", "Module", _SERVER) as opened:
        opened.clock.install()
        yield opened


def test_a_draft_is_not_its_own_conflict_when_replies_are_late(page: Page) -> None:
    page.evaluate("void ([window.server, window.drafts] = begin(1))")
    for text in ("a", "ab", "abc"):
        page.evaluate("(text) => drafts.set(1, text)", text)
        page.clock.run_for(2000)
    page.evaluate("answer(server)")
    assert page.evaluate("[server.text, drafts.offered.value.size]") == ["abc", 0]


def test_a_message_does_not_wait_for_a_late_draft_which_is_removed(page: Page) -> None:
    page.evaluate("void ([window.server, window.drafts] = begin(2))")
    page.evaluate("drafts.set(1, 'hello')")
    page.clock.run_for(2000)
    assert page.evaluate("server.text") == "hello"
    page.evaluate("drafts.clear(1, (revision) => { window.sent = [revision]; })")
    page.clock.run_for(500)
    assert page.evaluate("window.sent") == [None]
    page.evaluate("answer(server)")
    assert page.evaluate("[server.text, drafts.get(1).text]") == ["", ""]


def test_a_draft_is_stored_after_another_device_has_sent_its_beginning_and_no_empty_one_is_offered(page: Page) -> None:
    page.evaluate("void ([window.server, window.drafts] = begin(3))")
    for text, removed in (("see", False), ("see you", True)):
        if removed:
            page.evaluate("void Object.assign(server, { rev: 0, text: '' })")
        page.evaluate("(text) => drafts.set(1, text)", text)
        page.clock.run_for(2000)
        page.evaluate("answer(server)")
    assert page.evaluate("[server.text, drafts.offered.value.size]") == ["see you", 0]
