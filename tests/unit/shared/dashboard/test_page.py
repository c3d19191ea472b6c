"""Tests the status page in a browser, or with a parser if there is no browser."""

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from html.parser import HTMLParser

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from shared.dashboard.panels import Dashboard, PanelGroup, gauge, percentiles, rate
from shared.ops import PAGE, policy_of
from tests.support.browser import CHROMIUM, Browser
from tests.unit.shared.test_ops import serving

DASHBOARD = Dashboard(
    "talk",
    (
        PanelGroup("Talk", (gauge("People", "users", by="room"), percentiles("Time", "took_seconds"))),
        PanelGroup("Trouble", (rate("Quarrels", "quarrels", bad=True),)),
    ),
    "talk-1",
)
needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium to open the page with")


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with Browser(tmp_path_factory.mktemp("chromium")) as browser:
        yield browser


class Talk:
    """A fake service that has metrics and a status page."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.users = Gauge("users", "People", ["room"], registry=self.registry)
        self.took = Histogram("took_seconds", "Time", buckets=(0.1, 0.2), registry=self.registry)
        self.quarrels = Counter("quarrels", "Quarrels", registry=self.registry)
        self.wrong = ""
        self.url = ""

    async def check(self) -> None:
        if self.wrong:
            raise ConnectionError(self.wrong)


@pytest.fixture
async def talk() -> AsyncIterator[Talk]:
    talk = Talk()
    async with serving({"nats": talk.check}, talk.registry, DASHBOARD) as ops:
        talk.url = f"http://127.0.0.1:{ops.port}/"
        yield talk


def value(title: str) -> str:
    """Returns an expression for the value under a title."""
    found = (
        f"[...document.querySelectorAll('.tile')].find((tile) => tile.querySelector('h3').textContent === '{title}')"
    )
    return f"{found}?.querySelector('.value')?.textContent"


@needs_browser
async def test_numbers_are_shown_as_they_change(talk: Talk, browser: Browser) -> None:
    browser.complaints.clear()
    await asyncio.to_thread(browser.open, talk.url)
    await asyncio.to_thread(browser.wait_for, f"{value('Quarrels')} === '0/s'")
    assert not await asyncio.to_thread(browser.evaluate, "document.querySelector('.hot')")
    talk.users.labels("<kitchen>").set(3)
    talk.users.labels("garden").set(12_000)
    talk.quarrels.inc(10)
    await asyncio.to_thread(browser.wait_for, "document.querySelector('.hot h3')?.textContent === 'Quarrels'")
    text = await asyncio.to_thread(browser.text)
    for shown in ("talk-1", "ready", "garden", "12 k", "<kitchen>", "3"):
        assert shown in text
    assert browser.complaints == []


@needs_browser
async def test_errors_and_silence_are_shown(talk: Talk, browser: Browser) -> None:
    talk.wrong = "refused"
    await asyncio.to_thread(browser.open, talk.url)
    state = "document.getElementById('state')?.textContent"
    await asyncio.to_thread(browser.wait_for, f"{state} === 'not ready – nats: ConnectionError: refused'")
    talk.wrong = ""
    await asyncio.to_thread(browser.wait_for, f"{state} === 'ready'")
    async with serving({}, dashboard=DASHBOARD) as other:
        url = f"http://127.0.0.1:{other.port}/"
        await asyncio.to_thread(browser.open, url)
        await asyncio.to_thread(browser.wait_for, f"{state} === 'ready'")
    await asyncio.to_thread(browser.wait_for, f"{state}?.startsWith('no answer for ')")
    assert await asyncio.to_thread(browser.evaluate, "document.querySelector('#groups.stale') !== null")


@needs_browser
@pytest.mark.parametrize(("width", "dark"), [(390, False), (1400, True)])
async def test_it_fits_its_window_in_light_and_dark(talk: Talk, browser: Browser, width: int, dark: bool) -> None:
    talk.users.labels("a room with a name that is longer than any tile could ever be").set(1)
    await asyncio.to_thread(lambda: browser.open(talk.url, width, 800, dark=dark))
    await asyncio.to_thread(browser.wait_for, "document.querySelectorAll('.tile').length === 3")
    assert await asyncio.to_thread(browser.evaluate, "document.documentElement.scrollWidth") == width
    ground = await asyncio.to_thread(browser.evaluate, "getComputedStyle(document.body).backgroundColor")
    assert (max(map(int, re.findall(r"\d+", ground))) < 80) is dark


class Looker(HTMLParser):
    """A parser that collects the elements of a page, and all addresses in them."""

    def __init__(self) -> None:
        super().__init__()
        self.elements: list[str] = []
        self.targets: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(tag)
        self.targets += [value or "" for name, value in attrs if name in ("href", "src")]
        assert not [name for name, _ in attrs if name == "style" or name.startswith("on")]


def test_it_refers_to_nothing_outside() -> None:
    looker = Looker()
    looker.feed(PAGE.read_text())
    assert looker.elements.count("script") == looker.elements.count("style") == 1
    assert all(target.startswith(("/", "data:")) for target in looker.targets)


def test_it_may_run_only_what_is_its_own() -> None:
    policy = policy_of(PAGE.read_text())
    assert policy.startswith("default-src 'none'; connect-src 'self'; script-src 'sha256-")
    assert "unsafe" not in policy
