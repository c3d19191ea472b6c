"""Takes the pictures of docs/images from the real pages: `./dev screens`. Needs Chromium on the PATH, and fonts."""

import re
import subprocess
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Browser, Page

from docs.tools import program
from services.edge.http.chat_client import BUILT
from tests.support.browser import CHROMIUM
from tests.support.chat_page import chat_user
from tests.support.cluster import Cluster
from tests.support.first_page import FirstPage, chromium, visitor
from tests.system.chat.conftest import Bob

IMAGES = Path(__file__).parent / "images"
BYTES = 250_000
"""The most bytes of a picture."""

FONTS = {"zh-cn": "fonts-noto-cjk", "ar": "fonts-dejavu-core", "und-zsye": "fonts-noto-color-emoji"}
"""The languages in the pictures, by their names in fontconfig. Each has a Debian package with a suitable font."""

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
    """Films the first page: two users chat, one of them changes the dialect, and a process is killed without loss."""
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
    bob.send("Now I speak OurChat v1. 你好 👋")
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
            other.page.wait_for_timeout(12_000)  # let the charts fill for some seconds
            other.page.screenshot(path=IMAGES / "dashboard.png")


def conversation(browser: Browser, edge: str) -> None:
    """Takes a picture of the web client, in which a group of three users writes in English, Chinese and Arabic."""
    li, layla = Bob(edge, "李雷"), Bob(edge, "ليلى")
    with chat_user(browser, edge, height=_HEIGHT) as ann:
        ann.open().register("Ann", "ann.smith")
        li.send(li.group("摄影 · Photos", ann.account()), "照片在这里 📷")
        layla.send(layla.group("عائلة", ann.account()), "مساء الخير 🌙")
        chat = li.group("Weekend", ann.account(), layla.account)
        question = li.send(chat, "周六我们在公园见面吗？ 🌳")
        ann.go("Weekend").until_received("周六")
        ann.send("**Good idea!** Who brings the tea? 🎉")
        ann.until_sent("Good idea!")
        layla.send(chat, "فكرة رائعة! سأحضر الشاي 🍵", reply_to=question)
        for friend, emoji in ((li, "👍"), (layla, "🎉")):
            friend.call("react", chat=chat, index=question, emoji=emoji)
        ann.until_received("الشاي")
        ann.page.locator(".message", has_text="周六").get_by_text("👍").first.wait_for()
        ann.page.screenshot(path=IMAGES / "web-client.png")


def lacking_fonts() -> list[str]:
    """The Debian packages of missing fonts."""
    found = {language: subprocess.run(["fc-list", f":lang={language}"], capture_output=True) for language in FONTS}  # noqa: S607
    return [FONTS[language] for language, result in found.items() if not result.stdout]


def printed(cluster: Cluster, label: str) -> str:
    """The address that `dragoman up` prints after the label."""
    found = re.search(rf"{label}: (\S+)", cluster.log.read_text())
    assert found is not None
    return found[1]


def main() -> int:
    if CHROMIUM is None:
        sys.exit("screens: there is no Chromium on the PATH")
    if not BUILT.exists():
        sys.exit("screens: the web client is not built: ./dev setup")
    if packages := lacking_fonts():
        sys.exit(f"screens: fonts are missing: apt-get install {' '.join(packages)}")
    IMAGES.mkdir(exist_ok=True)
    english = ("--set", "language=en")
    with tempfile.TemporaryDirectory() as scratch, Cluster(Path(scratch) / "data", "--no-limits", *english) as cluster:
        page, dashboard = printed(cluster, "two users in a browser"), printed(cluster, "the whole system in a browser")
        with chromium() as browser:
            pictures(browser, page, dashboard)
            animation(browser, page)
            conversation(browser, cluster.edges[0])
    large = [path.name for path in IMAGES.iterdir() if path.stat().st_size > BYTES]
    if large:
        sys.stdout.write(f"more than {BYTES} bytes: {', '.join(large)}\n")
    return len(large) and 1


if __name__ == "__main__":
    sys.exit(main())
