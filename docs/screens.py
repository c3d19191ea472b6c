"""Takes the pictures of docs/images from the real pages: `./dev screens`. Needs Chromium on the PATH."""

import re
import subprocess
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Browser, Page

from docs.tools import program
from tests.support.browser import CHROMIUM
from tests.support.cluster import Cluster
from tests.support.first_page import FirstPage, chromium, visitor

IMAGES = Path(__file__).parent / "images"
BYTES = 300_000
"""The most that a picture may have."""

_HEIGHT = 800
_KEY_MS, _LOOK_MS = 120, 2_000


class Film:
    """Frames of a page, each with the time for which it is shown."""

    def __init__(self, page: Page, directory: Path) -> None:
        self._page = page
        self._directory = directory
        self._count = 0

    def shoot(self, milliseconds: int = _LOOK_MS) -> None:
        self._count += 1
        self._page.screenshot(path=self._directory / f"{self._count:03}-{milliseconds}.png", caret="initial")


def play(page: FirstPage, film: Film) -> None:
    """Two users chat, one changes its dialect, a process is killed, and nothing is lost."""
    ann, bob = page.user("Ann"), page.user("Bob")
    film.shoot()
    for part in ("Look at ", "the wire ", "below."):
        ann.field.press_sequentially(part)
        film.shoot(_KEY_MS)
    ann.field.press("Enter")
    bob.until_received("Look at the wire below.")
    film.shoot()
    bob.speak("ourchat-v1")
    film.shoot(_LOOK_MS // 2)
    bob.send("Now I speak OurChat v1.")
    ann.until_received("Now I speak OurChat v1.")
    film.shoot()
    page.kill("message")
    page.page.get_by_text("message was killed").wait_for()
    film.shoot()
    page.page.locator("process-list summary").click()
    page.page.evaluate("scrollTo(0, 0)")
    film.shoot(_LOOK_MS // 2)
    page.page.get_by_role("button", name="Let them talk", pressed=False).wait_for()
    page.until_counted(lost=0)
    film.shoot(2 * _LOOK_MS)


def animation(browser: Browser, address: str) -> None:
    with tempfile.TemporaryDirectory() as scratch, visitor(browser, 1000, _HEIGHT) as page:
        begin(page, address)
        play(page, Film(page.page, Path(scratch)))
        command = [program("python"), str(Path(__file__).with_name("animation.py")), scratch]
        subprocess.run([*command, str(IMAGES / "first-page.webp")], check=True)


def begin(page: FirstPage, address: str) -> None:
    page.open(address).user("Ann").until_received("Which protocol is this?")
    page.until_counted()
    page.page.locator(".traced", has_text="acknowledged").wait_for()


def pictures(browser: Browser, address: str, dashboard: str) -> None:
    with visitor(browser, 1280, _HEIGHT) as page:
        begin(page, address)
        page.page.screenshot(path=IMAGES / "first-page.png")
        page.page.get_by_role("button", name="Let them talk").click()
        with visitor(browser, 1280, 900) as other:
            other.open(dashboard).page.get_by_role("link", name="edge-1").wait_for()
            other.page.wait_for_timeout(12_000)  # the charts show some seconds
            other.page.screenshot(path=IMAGES / "dashboard.png")


def printed(cluster: Cluster, label: str) -> str:
    """The address that `dragoman up` prints after the label."""
    found = re.search(rf"{label}: (\S+)", cluster.log.read_text())
    assert found is not None
    return found[1]


def main() -> int:
    if CHROMIUM is None:
        sys.exit("screens: there is no chromium on the PATH")
    IMAGES.mkdir(exist_ok=True)
    english = ("--set", "language=en")
    with tempfile.TemporaryDirectory() as scratch, Cluster(Path(scratch) / "data", "--no-limits", *english) as cluster:
        page, dashboard = printed(cluster, "two users in a browser"), printed(cluster, "the whole system in a browser")
        with chromium() as browser:
            pictures(browser, page, dashboard)
            animation(browser, page)
    large = [path.name for path in IMAGES.iterdir() if path.stat().st_size > BYTES]
    if large:
        sys.stdout.write(f"more than {BYTES} bytes: {', '.join(large)}\n")
    return len(large) and 1


if __name__ == "__main__":
    sys.exit(main())
