"""The first page in a real browser, used as visitors use it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, BrowserContext, BrowserType, Page, TimeoutError, expect, sync_playwright

from tests.support.browser import CHROMIUM

AXE = Path(__file__).parents[2] / "node_modules" / "axe-core" / "axe.min.js"
"""The accessibility checker axe, which `./dev setup` installs."""

_MILLISECONDS = 45_000
NO_GPU = "--disable-gpu"
"""The option for tests. With it, the whole Chromium takes a tenth less CPU time. The headless shell is unaffected."""
TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
SUMMARY = "(axe) => axe.violations.flatMap((rule) => rule.nodes.map((node) => `${rule.id}: ${node.target}`))"


class FirstPage:
    """One tab with the first page.

    `complaints` are errors on the console, including violations of the Content-Security-Policy.
    """

    def __init__(self, page: Page) -> None:
        self.page = page
        self.complaints: list[str] = []
        page.set_default_timeout(_MILLISECONDS)
        page.on("console", lambda line: self.complaints.append(line.text) if line.type == "error" else None)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def open(self, address: str) -> "FirstPage":
        self.page.goto(address)
        return self

    def user(self, name: str) -> "PageUser":
        return PageUser(self.page, name)

    @property
    def counters(self) -> str:
        return self.page.locator(".counters").inner_text()

    def until_counted(self, lost: int = 0) -> None:
        """Waits until the counters of the page show that all messages were received, and how many were lost.

        Some may have been received twice.
        """
        try:
            self._wait_for_counters(lost)
        except TimeoutError as error:
            panes = "\n\n".join(self.page.locator("person-pane").all_inner_texts())
            raise AssertionError(f"{self.counters}; not {lost} lost\n{panes}") from error

    def _wait_for_counters(self, lost: int) -> None:
        self.page.wait_for_function(
            "(lost) => { const found = /sent (\\d+) · received (\\d+) of (\\d+) · lost (\\d+)/"
            ".exec(document.querySelector('.counters')?.textContent);"
            " return found && found[1] > 0 && found[2] === found[3] && Number(found[4]) === lost; }",
            arg=lost,
        )

    def kill(self, process: str) -> None:
        menu = self.page.locator("process-list")
        if menu.locator("details").get_attribute("open") is None:
            menu.locator("summary").click()
        menu.get_by_role("button", name=f"Kill {process}", exact=True).click()

    @property
    def trouble(self) -> str:
        return self.page.locator("#trouble").inner_text()

    def until_trouble(self, text: str) -> None:
        self.page.locator("#trouble", has_text=text).wait_for()

    def is_too_wide(self) -> bool:
        """Returns whether the page can be scrolled sideways."""
        return bool(self.page.evaluate("document.documentElement.scrollWidth > innerWidth"))

    def violations(self) -> Sequence[str]:
        """Returns the violations of the Web Content Accessibility Guidelines 2.2, level AA, that axe finds."""
        self.page.evaluate(AXE.read_text())
        options = {"runOnly": {"type": "tag", "values": TAGS}}
        found: list[str] = self.page.evaluate(f"async (options) => ({SUMMARY})(await axe.run(options))", options)
        return found


class PageUser:
    """One user's part of the first page."""

    def __init__(self, page: Page, name: str) -> None:
        self._pane = page.locator("person-pane", has=page.get_by_role("heading", name=name, exact=True))
        self.field = page.get_by_label(f"Message of {name}")
        self.menu = self._pane.locator("select")

    def send(self, text: str) -> None:
        self.field.fill(text)
        self.field.press("Enter")

    def until_received(self, text: str) -> None:
        self._pane.locator(".log .text", has_text=text).first.wait_for()

    def until_acknowledged(self, text: str) -> None:
        self._pane.locator(".log li", has_text=text).locator(".acknowledged").first.wait_for()

    def speak(self, dialect: str) -> None:
        self.menu.select_option(dialect)
        self._pane.locator("header .state.connected").wait_for()

    def frames(self) -> Sequence[str]:
        return self._pane.locator(".frames code").all_inner_texts()


@contextmanager
def chromium(*options: str) -> Iterator[Browser]:
    with sync_playwright() as playwright, launched(playwright.chromium, CHROMIUM, NO_GPU, *options) as browser:
        yield browser


@contextmanager
def launched(kind: BrowserType, program: str | None, *options: str) -> Iterator[Browser]:
    expect.set_options(timeout=_MILLISECONDS)  # the default is five seconds
    arguments = ["--no-sandbox", "--no-proxy-server", *options]
    browser = kind.launch(executable_path=program, args=arguments)
    yield browser
    browser.close()


@contextmanager
def visitor(browser: Browser, width: int = 1280, height: int = 900, **options: Any) -> Iterator[FirstPage]:
    """A visitor who has no history."""
    context: BrowserContext = browser.new_context(viewport={"width": width, "height": height}, **options)
    yield FirstPage(context.new_page())
    context.close()
