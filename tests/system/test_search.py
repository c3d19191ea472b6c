"""Search is killed or frozen, or loses its index. No message waits for it, and it recovers without help.

Search also follows a message service that is killed meanwhile. It finds exactly the messages that the history shows.
"""

import random
import shutil
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.support.cluster import RELAXED, Cluster
from tests.support.waiting import WAIT_SECONDS
from tests.system.users import NativeUser


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster(tmp_path_factory.mktemp("search") / "data", *RELAXED, edges=1) as cluster:
        yield cluster


def until_found(user: NativeUser, word: str, number: int) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while len(user.call("search", query=word, count=50).get("hits", ())) != number:
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_no_message_waits_for_search(cluster: Cluster) -> None:
    with NativeUser(cluster.edges[0]) as ann:
        ann.register()
        chat = ann.call("create", name="Fruit", members=[])["chat"]

        def send(number: int) -> None:
            assert ann.call("send", chat=chat, text=f"apple {number}", nonce=str(number))["index"] == number

        send(1)
        until_found(ann, "apple", 1)
        cluster.kill("search")
        send(2)
        until_found(ann, "apple", 2)
        cluster.signal("search", signal.SIGSTOP)
        send(3)
        cluster.signal("search", signal.SIGCONT)
        until_found(ann, "apple", 3)
        shutil.rmtree(cluster.data / "search")
        send(4)
        until_found(ann, "apple", 4)


@pytest.mark.skipif(not Path("/proc/self/autogroup").exists(), reason="this kernel does not divide the CPU by sessions")
def test_search_leaves_the_cpu_to_other_sessions(cluster: Cluster) -> None:
    def nice() -> int:
        running = cluster.process("search")
        return 0 if running is None else int(Path(f"/proc/{running.pid}/autogroup").read_text().split()[-1])

    assert cluster.wait_for(nice, WAIT_SECONDS) > 0


def test_search_follows_a_message_service_that_is_killed(cluster: Cluster) -> None:
    with NativeUser(cluster.edges[0]) as ann:
        ann.register()
        chat = ann.call("create", name="Fruit", members=[])["chat"]

        def send(number: int) -> None:
            deadline = time.monotonic() + WAIT_SECONDS
            while "index" not in ann.call("send", chat=chat, text=f"apple {number}", nonce=str(number)):
                assert time.monotonic() < deadline
                time.sleep(0.2)

        for number in range(1, 41):
            send(number)
            if number in (10, 25):
                cluster.kill("message")
        until_found(ann, "apple", 40)
        send(41)
        cluster.kill("message")  # it has not announced the message yet
        until_found(ann, "apple", 41)


def test_a_search_finds_what_history_shows(cluster: Cluster) -> None:
    """Each account finds exactly the messages that its history shows.

    The test makes random changes of messages, members, bans and blocks, and then deletes an account.
    """
    with (
        NativeUser(cluster.edges[0]) as ann, NativeUser(cluster.edges[0]) as bob, NativeUser(cluster.edges[0]) as eve,
    ):  # fmt: skip
        users = (ann, bob, eve)
        for user in users:
            user.register()
        for other in (bob, eve):
            ann.do("befriend", account=other.number)
            other.do("befriend", account=ann.number)
        group = ann.call("create", name="Fruit", members=[bob.number, eve.number])["chat"]
        private = ann.call("open", account=bob.number)["chat"]
        chance = random.Random(5)
        for number in range(80):
            _change(users, (group, private), number, chance)
            if number % 8 == 7:
                _compare(users, (group, private))
        for user in users:
            _compare_with_export(user, (group, private))
        bob.do("delete_account", secret={"scheme": "plain", "value": bob.account.secret})
        _compare((ann, eve), (group, private))


def _change(users: Sequence[NativeUser], chats: tuple[int, int], number: int, chance: random.Random) -> None:
    """Makes a random change. The system rejects some of these changes."""
    (ann, *others), (group, _) = users, chats
    user, other, chat = chance.choice(users), chance.choice(others), chance.choice(chats)
    text, index = chance.choice(("apple", "an apple a day", "pear")), chance.randint(1, 1 + number // 4)
    changes = ("send", "edit", "recall", "ban", "kick", "leave", "block", "return")
    match chance.choices(changes, (10, 3, 2, 1, 1, 1, 1, 4))[0]:
        case "send":
            user.call("send", chat=chat, text=text, nonce=str(number))
        case "edit":
            user.call("edit", chat=chat, index=index, text=text, nonce=str(number))
        case "recall":
            user.call("recall", chat=chat, index=index)
        case "leave":
            other.call("leave", chat=group)
        case "block":
            user.call("block", account=chance.choice(users).number)
        case "return":
            other.call("unblock", account=ann.number)
            ann.call("unban", chat=group, account=other.number)
            ann.call("invite", chat=group, accounts=[other.number])
        case change:
            ann.call(change, chat=group, account=other.number)


def _compare(users: Sequence[NativeUser], chats: Sequence[int]) -> None:
    for user in users:
        shown = {place for chat in chats for place in _apples(user.call("history", chat=chat, count=200))}
        deadline = time.monotonic() + WAIT_SECONDS
        while (found := {(one["chat"], one["index"]) for one in _hits(user)}) != shown:
            assert found < shown, "what may not be read is never found"
            assert time.monotonic() < deadline
            time.sleep(0.2)


def _compare_with_export(user: NativeUser, chats: Sequence[int]) -> None:
    """Checks that an account's export has exactly those of its own messages that a search finds."""
    exported = {place for chat in chats for place in _apples(user.call("export_messages", chat=chat))}
    shown = {place for chat in chats for place in _apples(user.call("history", chat=chat, count=200))}
    found = {(one["chat"], one["index"]) for one in _hits(user) if one["sender"] == user.number}
    assert found == exported & shown


def _apples(page: Mapping[str, Any]) -> Iterator[tuple[int, int]]:
    """Yields the chat and the index of each message about apples. Yields nothing if the reply is an error."""
    for message in page.get("messages", ()):
        if any("apple" in segment.get("text", "") for segment in message["segments"]):
            yield message["chat"], message["index"]


def _hits(user: NativeUser) -> list[dict[str, int]]:
    hits: list[dict[str, int]] = user.call("search", query="apple", count=50)["hits"]
    return hits
