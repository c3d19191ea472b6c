"""Search is killed, frozen, or loses its index: no message waits, and it comes back by itself. It also follows a
message service that is killed meanwhile."""

import shutil
import signal
import time
from pathlib import Path

from tests.support.cluster import RELAXED, Cluster
from tests.support.waiting import WAIT_SECONDS
from tests.system.users import NativeUser


def until_found(user: NativeUser, word: str, number: int) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while len(user.call("search", query=word, count=50).get("hits", ())) != number:
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_no_message_waits_for_search(tmp_path: Path) -> None:
    with Cluster(tmp_path / "data", *RELAXED, "--no-limits", edges=1) as cluster, NativeUser(cluster.edges[0]) as ann:
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


def test_search_follows_a_message_service_that_is_killed(tmp_path: Path) -> None:
    with Cluster(tmp_path / "data", *RELAXED, "--no-limits", edges=1) as cluster, NativeUser(cluster.edges[0]) as ann:
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
