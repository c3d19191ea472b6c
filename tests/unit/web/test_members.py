"""Tests in a browser the list of a chat's members."""

from playwright.sync_api import expect

from tests.unit.web.bundled_page import needs_browser, page_with

pytestmark = needs_browser

_BEGIN = """() => {
  const asked = (window.asked = []);
  const pages = { 0: { members: [], more: true, after: 5000 }, 5000: { members: [{ account: 7000 }], more: false } };
  const call = async (_, { after = 0 }) => pages[(asked.push(after), after)];
  const head = { chat: 5, kind: "group", owner: 1 };
  const model = { me: 1, wire: { call }, people: { get: () => ({ nickname: "Zoe", avatar: "" }) } };
  const chat = { head: { value: head, peek: () => head } };
  document.body.append(Object.assign(document.createElement("dragoman-members"), { model, chat }));
}"""


def test_a_search_goes_on_after_a_page_that_has_found_nobody() -> None:
    """A page of the server examines a limited number of members."""
    with page_with("parts/members.ts", "Module") as page:
        page.evaluate(_BEGIN)
        page.get_by_role("button", name="Load").click()
        expect(page.locator(".people li")).to_contain_text("Zoe")
        expect(page.get_by_role("button", name="Load")).to_have_count(0)
        assert page.evaluate("asked") == [0, 5000]
