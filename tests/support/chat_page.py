"""The web client in a real browser, used as people use it."""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal

from playwright.sync_api import Browser, BrowserContext, Locator, Page

from tests.support.first_page import AXE, SUMMARY, TAGS

PASSWORD = "orange juice, and pears"
_MILLISECONDS = 30_000
_REPORTS = """
window.reports = [];
addEventListener("securitypolicyviolation", ({ violatedDirective, blockedURI, sample }) => {
  window.reports.push(`${violatedDirective} ${blockedURI} ${sample}`);
});
"""

ACCOUNT = """new Promise((resolve) => { indexedDB.open("dragoman").onsuccess = ({ target: { result } }) => {
  result.transaction("facts").objectStore("facts").get("login").onsuccess = (event) => {
    resolve(event.target.result.account);
    result.close();
  };
}; })"""

_STORED = """(account) => new Promise((resolve) => {
  indexedDB.open(`dragoman-${account}`).onsuccess = ({ target: { result } }) => {
    result.transaction("messages").objectStore("messages").getAll().onsuccess = (event) => {
      resolve(event.target.result);
      result.close();
    };
  };
})"""

_COLLECT = """([wanted, milliseconds]) => {
  const shown = (row) => {
    const body = row.querySelector(".message-body").cloneNode(true);
    const reactions = [...body.querySelectorAll(".reaction")].map((one) => one.textContent.trim()).sort();
    const isRecalled = body.querySelector(".recalled") !== null;
    for (const other of body.querySelectorAll(".reactions, .quote")) other.remove();
    return [isRecalled ? "" : body.textContent.trim(), isRecalled, reactions];
  };
  const found = {};
  const end = performance.now() + milliseconds;
  const scroller = document.querySelector(".scroller");
  const collect = async () => {
    while (performance.now() < end && Object.keys(found).length < wanted) {
      for (const row of scroller.querySelectorAll(".row-message"))
        found[row.dataset.key.replace("message ", "")] = shown(row);
      const gaps = [...scroller.querySelectorAll(".row-gap button")];
      for (const load of gaps) load.click();
      const isWhole = scroller.scrollTop <= 0 && !scroller.querySelector(".row-earlier");
      const next = isWhole ? scroller.scrollHeight : scroller.scrollTop - 0.8 * scroller.clientHeight;
      if (!gaps.length) scroller.scrollTop = next;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    return found;
  };
  window.collected = collect();
}"""

Shown = tuple[str, bool, list[str]]
"""A message as the page shows it: its text, whether it is recalled, and its reactions."""

_JUMP = "[...document.querySelectorAll('.jump')].map((jump) => jump.click()).length"
_SCROLL_TO_TOP = "document.querySelector('.scroller').scrollTop = 0"
_STEPS = 300
_TURNS = 600


_IS_TOO_WIDE = """
[document.documentElement, ...document.querySelectorAll(".detail > *")].some((one) => one.scrollWidth > one.clientWidth)
"""


class ChatPage:
    """One tab with the web client. `complaints` are errors on the console and violations of the page's policies."""

    def __init__(self, page: Page, edge: str) -> None:
        self.page = page
        self.address = edge.replace("ws", "http", 1).rstrip("/") + "/chat"
        self.complaints: list[str] = []
        page.set_default_timeout(_MILLISECONDS)
        page.add_init_script(_REPORTS)
        page.on("console", lambda line: self.complaints.append(line.text) if line.type == "error" else None)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def open(self, path: str = "") -> "ChatPage":
        self.page.goto(self.address + path)
        return self

    def another_tab(self) -> "ChatPage":
        """Opens another tab in the same browser, with the same login."""
        return ChatPage(self.page.context.new_page(), self.address.removesuffix("/chat")).open().until_connected()

    def register(self, name: str, username: str) -> "ChatPage":
        self.page.get_by_role("button", name="Create account").click()
        self.page.get_by_label("Name that others see").fill(name)
        self.page.get_by_label("User name", exact=True).fill(username)
        self.page.get_by_label("Password").fill(PASSWORD)
        self.page.locator("form").get_by_role("button", name="Create account").click()
        return self.until_connected()

    def sign_in(self, username: str, password: str = PASSWORD) -> "ChatPage":
        self.page.get_by_label("User name, e-mail or number").fill(username)
        self.page.get_by_label("Password").fill(password)
        self.page.locator("form").get_by_role("button", name="Sign in").click()
        return self.until_connected()

    def log_out(self) -> None:
        self.page.get_by_role("link", name="Settings").click()
        self.page.get_by_role("button", name="Log out").click()

    def until_connected(self) -> "ChatPage":
        self.page.get_by_text("Connected", exact=False).wait_for()
        return self

    def account(self) -> int:
        """Returns the account that is signed in, as the browser stores it."""
        return int(self.page.evaluate(ACCOUNT))

    def stored(self, chat: int) -> dict[int, dict[str, Any]]:
        """Returns the messages of a chat that the browser stores, by index."""
        found: list[dict[str, Any]] = self.page.evaluate(_STORED, self.account())
        return {int(one["index"]): one for one in found if one["chat"] == chat}

    def until(self, is_so: Callable[[], object]) -> None:
        """Waits until a condition is true. Raises TimeoutError.

        A condition with an asynchronous script needs this: `wait_for_function` of Playwright takes a promise for true.
        """
        for _ in range(_TURNS):
            if is_so():
                return
            self.page.wait_for_timeout(50)
        raise TimeoutError

    @property
    def field(self) -> Locator:
        return self.page.locator("dragoman-composer textarea")

    def chat(self, name: str) -> Locator:
        """Returns the chat's row in the list of chats."""
        return self.page.locator(
            ".chat-row", has=self.page.locator(".chat-title", has_text=re.compile(f"^{re.escape(name)}$"))
        )

    def go(self, name: str) -> "ChatPage":
        self.chat(name).locator("a").click()
        self.page.locator("section.conversation").and_(self.page.get_by_label(name, exact=True)).wait_for()
        return self

    def send(self, text: str) -> "ChatPage":
        self.field.fill(text)
        self.field.press("Enter")
        return self

    def message(self, text: str) -> Locator:
        return self.page.locator(".row .message", has=self.page.locator(".message-body", has_text=text))

    def until_sent(self, text: str) -> None:
        """Waits until the message has a tick, which means that the server has committed it."""
        self.message(text).first.locator(".tick").wait_for()

    def until_received(self, text: str) -> None:
        self.message(text).first.wait_for()

    def to_end(self) -> "ChatPage":
        """Moves to the end of the messages with the button that users have for this."""
        while self.page.evaluate(_JUMP):
            self.page.wait_for_timeout(100)
        return self

    def to_last(self, text: str) -> "ChatPage":
        """Jumps to the end of the chat until this message is visible.

        The button for the jump may appear only after messages have come.
        """
        return self._move_to(text, _JUMP)

    def to_top(self, text: str) -> "ChatPage":
        """Scrolls to the top of the messages until this message is visible.

        When earlier messages are loaded, the visible part stays in place.
        """
        return self._move_to(text, _SCROLL_TO_TOP)

    def _move_to(self, text: str, step: str) -> "ChatPage":
        for _ in range(_STEPS):
            if self.message(text).first.is_visible():
                return self
            self.page.evaluate(step)
            self.page.wait_for_timeout(100)
        raise TimeoutError(f"the page does not get to {text}")

    def collect(self, wanted: int, milliseconds: int = _MILLISECONDS) -> "ChatPage":
        """Starts to scroll up from the end, which loads missing messages, until this number of messages was shown."""
        self.page.evaluate(_COLLECT, [wanted, milliseconds])
        return self

    def collected(self) -> dict[int, Shown]:
        """Returns the messages that were shown during `collect`, by index."""
        rows: dict[str, list[Any]] = self.page.evaluate("window.collected")
        return {int(index): (text, recalled, reactions) for index, (text, recalled, reactions) in rows.items()}

    def texts(self) -> Sequence[str]:
        """Returns the texts of the rows in the page, in their order on the screen."""
        found: list[str] = self.page.evaluate(
            "[...document.querySelectorAll('.rows > li')].sort((a, b) => a.dataset.index - b.dataset.index)"
            ".flatMap((row) => row.querySelector('.message-body')?.innerText.trim() ?? [])"
        )
        return found

    def violations(self) -> Sequence[str]:
        """Returns the violations of the Web Content Accessibility Guidelines 2.2, level AA, that axe finds."""
        cdp = self.page.context.new_cdp_session(self.page)
        cdp.send("Runtime.evaluate", {"expression": AXE.read_text()})
        options = {"runOnly": {"type": "tag", "values": TAGS}}
        found: list[str] = self.page.evaluate(f"async (options) => ({SUMMARY})(await axe.run(options))", options)
        return found

    def reports(self) -> Sequence[str]:
        """Returns the requests that a policy of the page has blocked."""
        found: list[str] = self.page.evaluate("window.reports")
        return found

    def is_too_wide(self) -> bool:
        """Returns whether the page or the screen in it scrolls sideways."""
        return bool(self.page.evaluate(_IS_TOO_WIDE))


@contextmanager
def chat_user(
    browser: Browser,
    edge: str,
    width: int = 1280,
    height: int = 800,
    *,
    service_workers: Literal["allow", "block"] = "block",
    **options: Any,
) -> Iterator[ChatPage]:
    """Opens the web client with a new browser profile.

    Its service worker costs CPU time, so it runs only for tests that need it.
    """
    context: BrowserContext = browser.new_context(
        viewport={"width": width, "height": height}, locale="en-GB", service_workers=service_workers, **options
    )
    yield ChatPage(context.new_page(), edge)
    context.close()
