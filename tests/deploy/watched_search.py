"""Checks what search promises while an installation is disturbed.

A user posts and searches all the time:

- A search is rejected as unavailable, or it finds every acknowledged message that is older than its `indexed_to`.
- After a disturbance, search finds all earlier messages without help, within BACK_SECONDS.
- Then it finds a new message within FOUND_SECONDS.

The same rules apply under Compose, Kubernetes and systemd.
"""

import asyncio
import http.client
import secrets
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import count
from typing import Any

from tests.support.native_http import Posted, post, register

FOUND_SECONDS = 2.0
"""The longest time from the reply to a new message until a search finds it."""
BACK_SECONDS = 120.0
"""The longest time after a disturbance until a search finds all earlier messages."""
_INTERVAL_SECONDS = 1.0
_PAUSE_SECONDS = 0.05
_PAGE = 50


class SearchWrong(Exception):
    """Search broke a promise."""


class SearchSeen:
    """Counts what a user saw of search during one step."""

    def __init__(self) -> None:
        self.searches = 0
        self.unavailable = 0
        self.unknown = 0
        """The number of replies whose `indexed_to` is 0: it is not known which messages the index has."""
        self.behind = 0.0
        """The longest time in seconds by which `indexed_to` was behind."""
        self.back = self.found = 0.0
        """The seconds until all earlier messages were found, and until a new one was."""

    def __str__(self) -> str:
        unknown = f", {self.unknown} with `indexed_to` 0" if self.unknown else ""
        return f"{self.unavailable} of {self.searches} unavailable{unknown}, at most {self.behind:.1f} s behind"


class WatchedSearch:
    """A user who posts and searches. `edge` is the address of the edges."""

    def __init__(self, edge: str) -> None:
        self._edge = edge
        self._word = secrets.token_hex(6)
        self._token, self._chat, self._numbers = "", 0, count(1)
        self._posts: dict[int, int] = {}
        """The time of each acknowledged message, by its index."""
        self.seen = SearchSeen()
        self.wrong = ""
        """A promise that search broke during this step, or empty."""

    def start(self) -> None:
        """Registers the user. Raises AssertionError, OSError."""
        self._token = register(self._edge)["token"]
        created = post(self._edge, "create", self._token, name="Searched", members=[])
        assert created.status == 200, created.body
        self._chat = created.body["chat"]

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        """Posts and searches repeatedly inside this context, which is one step of the drill. Raises SearchWrong."""
        self.seen, self.wrong = SearchSeen(), ""
        over = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            for act in (self.post, self.search):
                group.create_task(_repeat(act, over))
            try:
                yield
            finally:
                over.set()
        if self.wrong:
            raise SearchWrong(self.wrong)

    def come_back(self) -> None:
        """Waits until search finds all earlier messages, and then a new one. Raises SearchWrong."""
        began, earlier = time.monotonic(), set(self._posts)
        self._until_found(earlier, BACK_SECONDS)
        self.seen.back = time.monotonic() - began
        new = self.post()
        while new is None and time.monotonic() < began + BACK_SECONDS:
            new = self.post()
        if new is None:
            raise SearchWrong("no message was acknowledged after the step")
        replied = time.monotonic()
        self._until_found({new}, BACK_SECONDS)
        self.seen.found = time.monotonic() - replied
        if self.seen.found > FOUND_SECONDS:
            raise SearchWrong(f"search found a new message only after {self.seen.found:.1f} s")

    def _until_found(self, wanted: set[int], seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while missing := wanted - self._found(wanted):
            if time.monotonic() > deadline:
                raise SearchWrong(f"after {seconds:.0f} s, search does not find {len(missing)} of {len(wanted)}")
            time.sleep(_PAUSE_SECONDS)

    def _found(self, wanted: set[int]) -> set[int]:
        """Reads pages, the newest first, until they have these messages. Returns the indexes of all that it has read.

        If search becomes unavailable, returns those of the pages before.
        """
        found, page = set[int](), dict[str, Any]()
        while not wanted <= found:
            reply = self._request("search", query=self._word, count=_PAGE, **page)
            if reply is None or reply.status != 200:
                return found
            found |= {hit["index"] for hit in reply.body["hits"]}
            if "next" not in reply.body:
                break
            page = reply.body["next"]
        return found

    def post(self) -> int | None:
        """Posts a message, and returns its index. Returns None if it is not acknowledged."""
        number = next(self._numbers)
        reply = self._request("send", chat=self._chat, text=f"{self._word} {number}", nonce=str(number))
        if reply is None or reply.status != 200:
            return None
        index: int = reply.body["index"]
        self._posts[index] = reply.body["time"]
        return index

    def search(self) -> None:
        """Searches, and compares the hits with what the reply says about the index."""
        earlier, now = dict(self._posts), time.time()
        reply = self._request("search", query=self._word, count=_PAGE)
        if reply is None:
            return
        self.seen.searches += 1
        if reply.status != 200:
            self.seen.unavailable += 1
            if reply.body["error"]["code"] != "unavailable":
                self.wrong = f"a search was rejected: {reply.body['error']}"
            return
        hits, indexed_to = {hit["index"] for hit in reply.body["hits"]}, reply.body["indexed_to"]
        if indexed_to:
            self.seen.behind = max(self.seen.behind, now - indexed_to / 1000)
        else:
            self.seen.unknown += 1
        oldest = min(hits) if "next" in reply.body and hits else 0
        missing = [index for index, at in earlier.items() if at < indexed_to and index >= oldest and index not in hits]
        if missing:
            self.wrong = f"a search did not find the messages {missing}, which are older than its `indexed_to`"

    def _request(self, operation: str, **members: object) -> Posted | None:
        """Returns the reply, or None if there is no reply of an edge."""
        try:
            return post(self._edge, operation, self._token, **members)
        except (OSError, http.client.HTTPException, ValueError):
            return None


async def _repeat(act: Callable[[], object], over: asyncio.Event) -> None:
    while not over.is_set():
        await asyncio.to_thread(act)
        await asyncio.sleep(_INTERVAL_SECONDS)
