"""Tests which replies of search the drills accept."""

from itertools import count
from typing import Any

import pytest

from tests.deploy import watched_search
from tests.deploy.watched_search import SearchWrong, WatchedSearch
from tests.support.native_http import Posted
from tests.support.waiting import until

BEGIN = 1_000_000
UNAVAILABLE = Posted(503, {"error": {"code": "unavailable"}})


class FakeEdge:
    """An edge whose user posts one message a second. `replies` are the replies to searches, of which the last one is
    repeated. Without replies, search finds all messages."""

    def __init__(self) -> None:
        self.numbers = count(1)
        self.posted = self.searches = 0
        self.replies: list[Posted] = []

    def post(self, _: str, operation: str, _token: str, **members: Any) -> Posted:
        if operation == "search":
            self.searches += 1
            if not self.replies:
                return self.found(self.posted, BEGIN + 1000 * self.posted + 1, members.get("page"))
            return self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
        if operation == "send":
            self.posted = next(self.numbers)
            return Posted(200, {"index": self.posted, "time": BEGIN + 1000 * self.posted})
        return Posted(200, {"chat": 5})

    @staticmethod
    def found(last: int, indexed_to: int, page: int | None = None) -> Posted:
        newest = last if page is None else page
        hits = [{"index": index} for index in range(newest, max(0, newest - 50), -1)]
        following = {"next": {"page": newest - 50}} if newest > 50 else {}
        return Posted(200, {"hits": hits, "indexed_to": indexed_to} | following)


@pytest.fixture
def edge(monkeypatch: pytest.MonkeyPatch) -> FakeEdge:
    fake = FakeEdge()
    monkeypatch.setattr(watched_search, "post", fake.post)
    monkeypatch.setattr(watched_search, "register", lambda _: {"token": "t"})
    monkeypatch.setattr(watched_search, "BACK_SECONDS", 0.2)
    return fake


@pytest.fixture
def watched(edge: FakeEdge) -> WatchedSearch:
    watched = WatchedSearch("ws://edge")
    watched.start()
    return watched


def test_an_index_that_is_behind_shows_it_or_is_unavailable(edge: FakeEdge, watched: WatchedSearch) -> None:
    edge.replies = [UNAVAILABLE, edge.found(0, 0), edge.found(0, BEGIN)]
    watched.post()
    for _ in range(3):
        watched.search()
    seen = watched.seen
    assert (watched.wrong, seen.searches, seen.unavailable, seen.unknown) == ("", 3, 1, 1)
    assert seen.behind > 0


def test_a_message_before_indexed_to_is_found(edge: FakeEdge, watched: WatchedSearch) -> None:
    edge.replies = [edge.found(0, BEGIN + 1001)]
    watched.post()
    watched.search()
    assert watched.wrong == "a search did not find the messages [1], which are older than its `indexed_to`"


def test_a_new_message_is_found_by_one_request_after_many_messages(edge: FakeEdge, watched: WatchedSearch) -> None:
    for _ in range(120):
        watched.post()
    watched.come_back()
    assert edge.searches == 3 + 1, "three pages of earlier messages"


def test_a_page_shows_the_newest_messages_only(edge: FakeEdge, watched: WatchedSearch) -> None:
    for _ in range(60):
        watched.post()
    watched.search()
    assert not watched.wrong
    edge.replies = [edge.found(59, BEGIN + 60_001)]
    watched.search()
    assert "the messages [60]" in watched.wrong


async def test_a_disturbed_search_is_rejected_as_unavailable_only(edge: FakeEdge, watched: WatchedSearch) -> None:
    edge.replies = [Posted(400, {"error": {"code": "invalid"}})]
    with pytest.raises(SearchWrong, match="was rejected"):
        async with watched.watching():
            await until(lambda: watched.wrong)


def test_search_comes_back_and_finds_a_new_message_in_time(
    edge: FakeEdge, watched: WatchedSearch, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched.come_back()
    monkeypatch.setattr(watched_search, "FOUND_SECONDS", 0.0)
    with pytest.raises(SearchWrong, match="a new message only after"):
        watched.come_back()
    edge.replies = [UNAVAILABLE]
    with pytest.raises(SearchWrong, match="does not find 2 of 2"):
        watched.come_back()
