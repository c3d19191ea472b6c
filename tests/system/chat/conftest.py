"""A system, and a browser in which the user Ann is signed in. The user Bob is a program."""

import json
import secrets
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from playwright.sync_api import Browser

from services.edge.http.chat_client import BUILT
from tests.support.browser import CHROMIUM
from tests.support.chat_page import PASSWORD, ChatPage, chat_user
from tests.support.cluster import RELAXED, Cluster
from tests.support.first_page import chromium


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "/chat/" in str(item.path):
            item.add_marker(pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium to open a page with"))
            item.add_marker(pytest.mark.skipif(not BUILT.exists(), reason="the web client is not built: ./dev setup"))


class Bob:
    """A user of native over HTTP. Bob uses the other edge."""

    def __init__(self, edge: str, nickname: str = "Bob") -> None:
        self.move(edge)
        self.token = ""
        self.username = f"bob{secrets.token_hex(4)}"
        secret = {"scheme": "plain", "value": PASSWORD}
        reply = self.call("register", nickname=nickname, username=self.username, secret=secret)
        self.account: int = reply["account"]
        self.token = reply["token"]

    def move(self, edge: str) -> None:
        self.address = edge.replace("ws", "http", 1).rstrip("/")

    def call(self, op: str, **parameters: Any) -> dict[str, Any]:
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {self.token}"}
        body = json.dumps(parameters).encode()
        request = urllib.request.Request(f"{self.address}/api/v1/{op}", body, headers)  # noqa: S310
        with urllib.request.urlopen(request, timeout=60) as response:  # noqa: S310
            reply: dict[str, Any] = json.load(response)
        return reply

    def fetch(self, url: str) -> bytes:
        """Returns a file of the server, by the path in its address."""
        with urllib.request.urlopen(f"{self.address}/media/{url.rpartition('/')[2]}", timeout=60) as response:  # noqa: S310
            content: bytes = response.read()
        return content

    def send(self, chat: int, text: str, **more: Any) -> int:
        return int(self.call("send", chat=chat, text=text, nonce=secrets.token_hex(8), **more)["index"])

    def group(self, name: str, *members: int) -> int:
        return int(self.call("create", name=name, members=list(members))["chat"])

    def texts(self, chat: int) -> list[str]:
        """Returns the texts of the chat's newest messages on the server, in order."""
        page = self.call("history", chat=chat, count=100, dir="older", **{"from": -1})
        return [
            "".join(part.get("text", "") for part in one["segments"])
            for one in sorted(page["messages"], key=lambda one: int(one["index"]))
        ]


@pytest.fixture(scope="package")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster(tmp_path_factory.mktemp("chat") / "data", *RELAXED) as cluster:
        yield cluster


@pytest.fixture(scope="package")
def chromium_browser() -> Iterator[Browser]:
    """The browser of all tests of this package. Playwright can run only once at a time, so it ends with the package."""
    with chromium("--process-per-site") as started:
        yield started


class SharedProfile:
    """A browser profile without a service worker, which one test after the other uses.

    A new profile, the process for its page and the worker take half of the CPU time of a short test. The first tab of
    the profile keeps the process.
    """

    def __init__(self, first: ChatPage, edge: str) -> None:
        self._edge, self._origin = edge, first.address.removesuffix("/chat")
        first.page.goto(f"{self._origin}/api/dragoman.js")
        self._first = first.page

    def open(self) -> ChatPage:
        return ChatPage(self._first.context.new_page(), self._edge)

    def clear(self) -> None:
        """Closes the other tabs, and deletes what their pages have stored."""
        for page in self._first.context.pages:
            if page != self._first:
                page.close()
        devtools = self._first.context.new_cdp_session(self._first)
        devtools.send("Storage.clearDataForOrigin", {"origin": self._origin, "storageTypes": "all"})
        devtools.detach()


@pytest.fixture(scope="package")
def profile(system: Cluster, chromium_browser: Browser) -> Iterator[SharedProfile]:
    with chat_user(chromium_browser, system.edges[0]) as page:
        yield SharedProfile(page, system.edges[0])


@pytest.fixture
def bob(system: Cluster) -> Bob:
    return Bob(system.edges[1])


@pytest.fixture
def ann(system: Cluster, chromium_browser: Browser, request: pytest.FixtureRequest) -> Iterator[ChatPage]:
    """Tests of the group `chat_offline` have a profile of their own, with a service worker."""
    with ExitStack() as stack:
        (group,) = request.node.get_closest_marker("xdist_group").args
        if group == "chat":
            profile: SharedProfile = request.getfixturevalue("profile")
            stack.callback(profile.clear)
            page = profile.open()
        else:
            page = stack.enter_context(chat_user(chromium_browser, system.edges[0], service_workers="allow"))
        yield page.open().register("Ann", f"ann{secrets.token_hex(4)}")
        assert page.reports() == []


@pytest.fixture
def team(ann: ChatPage, bob: Bob) -> int:
    """A group of Ann and Bob, which is already in Ann's list."""
    chat = bob.group("Team", ann.account())
    ann.chat("Team").wait_for()
    return chat
