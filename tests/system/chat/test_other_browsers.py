"""The same working day in Firefox and WebKit: sign in, write, read, and go on without an edge."""

import secrets
from collections.abc import Iterator
from pathlib import Path
from signal import SIGKILL

import pytest

from tests.support.chat_page import ACCOUNT, PASSWORD
from tests.support.cluster import RELAXED, Cluster
from tests.support.webdriver import ENTER, DrivenBrowser, Firefox, WebKit
from tests.system.chat.conftest import Bob
from tests.system.chat.dialect_writer import DialectWriter
from tests.system.chat.test_screens import HOSTILE

_FIELD = "document.querySelector('dragoman-composer textarea')"
_FILL = (
    f"((text) => {{ {_FIELD}.value = text; {_FIELD}.dispatchEvent(new InputEvent('input', {{ bubbles: true }})); }})"
)
_THEMES = "document.querySelectorAll('dragoman-settings select')[1]"
_LINE = "document.querySelector('.drawer-line')?.textContent"
_REPORTS = """window.reports = [],
addEventListener("securitypolicyviolation", ({ violatedDirective }) => window.reports.push(violatedDirective))"""


@pytest.fixture
def system(tmp_path: Path) -> Iterator[Cluster]:
    with Cluster(tmp_path / "data", *RELAXED) as cluster:
        yield cluster


@pytest.fixture(params=[Firefox, WebKit])
def ann(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[DrivenBrowser]:
    browser: type[DrivenBrowser] = request.param
    if lacking := browser.lacking():
        pytest.skip(f"there is no {', '.join(lacking)}")
    with browser(tmp_path) as opened:
        yield opened


def named(name: str) -> str:
    """Returns an expression for the button or link with this name."""
    buttons = "[...document.querySelectorAll('button, a')]"
    return f"{buttons}.find((one) => (one.ariaLabel ?? one.textContent).trim() === '{name}')"


def shown(text: str, part: str = ".message-body") -> str:
    """Returns an expression for whether a message with this text has this part."""
    is_it = f"one.textContent.includes('{text}') && one.querySelector('{part}')"
    return f"[...document.querySelectorAll('.message')].some((one) => {is_it})"


def register(ann: DrivenBrowser, address: str) -> int:
    ann.open(address)
    ann.evaluate(_REPORTS)
    # the page may still move, so a click at the button's place could miss it
    ann.wait_for(f"!!{named('Create account')}")
    ann.evaluate(f"{named('Create account')}.click()")
    for field, text in (("nickname", "Ann"), ("username", f"ann{secrets.token_hex(4)}"), ("password", PASSWORD)):
        ann.click(f"document.querySelector('input[name={field}]')")
        ann.type(text)
    ann.type(ENTER)
    ann.wait_for("!!document.querySelector('.dot-online')")
    return int(ann.evaluate(ACCOUNT))


def write(ann: DrivenBrowser, text: str) -> None:
    ann.click(_FIELD)
    ann.type(text + ENTER)


def the_field_grows(ann: DrivenBrowser) -> None:
    low = ann.wait_for(f"{_FIELD}?.clientHeight")
    ann.evaluate(f"{_FILL}('one\\ntwo\\nthree')")
    assert ann.evaluate(f"{_FIELD}.clientHeight") > low + 20
    ann.evaluate(f"{_FILL}('')")
    assert ann.evaluate(f"{_FIELD}.clientHeight") == low


def hostile_texts_do_nothing(ann: DrivenBrowser, bob: Bob, chat: int) -> None:
    for text in HOSTILE:
        bob.send(chat, text)
    ann.wait_for(shown("WWWW"))
    assert ann.evaluate("document.querySelectorAll('.message-body :is(img, script, a)').length") == 0
    assert ann.evaluate("window.reports") == []


def it_is_dark_and_narrow(ann: DrivenBrowser, address: str) -> None:
    ann.click(named("Settings"))
    ann.wait_for(f"{_THEMES} && ({_THEMES}.value = 'dark', {_THEMES}.dispatchEvent(new Event('change')))")
    assert ann.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(22, 25, 29)"
    ann.resize(360, 640)
    ann.open(address)
    ann.wait_for(shown("WWWW"))
    assert not ann.evaluate("document.documentElement.scrollWidth > innerWidth")
    assert ann.evaluate("getComputedStyle(document.querySelector('dragoman-chats')).display") == "none"


def what_is_written_without_an_edge_waits(ann: DrivenBrowser, system: Cluster, address: str) -> None:
    ann.evaluate("navigator.serviceWorker.ready.then(() => true)")
    with system.unsupervised():
        system.signal("edge-1", SIGKILL)
        ann.wait_for("!document.querySelector('.dot-online')")
        ann.open(address)
        write(ann, "without an edge")
        for _ in ("as it is written", "as it is stored"):
            ann.wait_for(f"{_LINE}?.includes('1 message is waiting')")
            ann.open(address)
        ann.wait_for(shown("without an edge"))
    ann.wait_for(shown("without an edge", ".tick"))


def test_a_working_day_in_another_browser(ann: DrivenBrowser, system: Cluster) -> None:
    address = system.edges[0].replace("ws", "http", 1).rstrip("/") + "/chat"
    bob = Bob(system.edges[1])
    account = register(ann, address)
    writer = DialectWriter(system.edges[1:], "ourchat-v2", secrets.token_hex(4))
    chat = bob.group("Team", account, writer.number)
    ann.click("document.querySelector('.chat-row a')")
    the_field_grows(ann)
    write(ann, "from this browser")
    ann.wait_for(shown("from this browser", ".tick"))
    writer.write(chat, "from v2")
    writer.close()
    ann.wait_for(shown("from v2"))
    hostile_texts_do_nothing(ann, bob, chat)
    it_is_dark_and_narrow(ann, f"{address}/{chat}")
    what_is_written_without_an_edge_waits(ann, system, f"{address}/{chat}")
    assert bob.texts(chat) == ["from this browser", "from v2", *HOSTILE, "without an edge"]
    assert ann.evaluate(_LINE).strip().endswith("Everything is sent.")
