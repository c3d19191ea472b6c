"""Tests in a browser the state of an account in a tab."""

from tests.unit.web.bundled_page import needs_browser, page_with

pytestmark = needs_browser

_HIDDEN = """async () => {
  performance.now = () => 0; // as if news had come just now
  window.requestAnimationFrame = () => 1;
  window.model = await Module.Model.open({ login: { value: { account: 1 } }, token: () => new Promise(() => {}) });
  const head = { chat: 5, kind: "group", name: "Team", head: 1, first: 1, rev: 1, read: 0, unread: 1, time: 1 };
  new BroadcastChannel("dragoman-1").postMessage({ kind: "news", news: [{ ev: "head", head }] });
}"""


def test_a_page_that_is_hidden_before_its_next_frame_counts_its_messages() -> None:
    """A hidden page gets no frames until it is shown again."""
    with page_with("model/model.ts", "Module") as page:
        page.evaluate(_HIDDEN)
        page.wait_for_function("model.unread.value.messages === 1")
