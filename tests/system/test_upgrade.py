"""A data directory of an earlier commit keeps its accounts, chats, messages, read state, files and webhooks under this
version.

`data-ff153765.zip` was written by `dragoman up` of commit ff153765, the first from which databases are upgraded: Ann
(ocid 1) and Bob (2) in chat 2, four messages that both have read, two that Bob has not, a file and an incoming webhook
of Ann's.
"""

from collections.abc import Iterator
from pathlib import Path
from zipfile import ZipFile

import pytest

from tests.support.cluster import Cluster
from tests.system.test_hooks import post_hook
from tests.system.test_media import PNG, http
from tests.system.users import NativeUser, V2User, account_of

ARCHIVE = Path(__file__).with_name("data-ff153765.zip")
ANN, BOB, CHAT = account_of("ann", 1), account_of("bob", 2), 2
FILE, HOOK = "823100e175691f2dfb39a5d8c9570cdc", "7ACtIti1haLOVSyYX4i41nwDbJbuQFAu"


@pytest.fixture
def upgraded(tmp_path: Path) -> Iterator[Cluster]:
    data = tmp_path / "data"
    data.mkdir(mode=0o700)
    with ZipFile(ARCHIVE) as archive:
        archive.extractall(data)
    with Cluster(data, edges=1) as cluster:
        yield cluster


def test_unread_messages_of_the_release_before_arrive_at_login_and_new_ones_follow(upgraded: Cluster) -> None:
    with V2User(upgraded.edges[0]) as ann, V2User(upgraded.edges[0]) as bob:
        ann.login(ANN)
        bob.login(BOB)
        bob.list_session(CHAT)
        assert [bob.receive_text(f"unread {number}")["msg_id"] for number in range(2)] == ["5", "6"]
        ann.list_session(CHAT)
        assert ann.post(CHAT, "after the upgrade")["msg_id"] == "7"
        assert bob.receive_text("after the upgrade")["sender"]["ocid"] == "0000000001"
        bob.receive_nothing()


def test_what_is_read_begins_where_the_one_state_of_the_release_before_stood(upgraded: Cluster) -> None:
    """What a client receives from then on is delivered, and not read."""
    with V2User(upgraded.edges[0]) as ann, V2User(upgraded.edges[0]) as bob, NativeUser(upgraded.edges[0]) as web:
        ann.login(ANN)
        ann.list_session(CHAT)
        web.call("login", identifier=BOB.email, secret={"scheme": "sha256", "value": BOB.secret})
        (head,) = (one for one in web.call("sync")["chats"] if one["chat"] == CHAT)
        assert (head["head"], head["read"], head["unread"]) == (6, 4, 2)
        bob.login(BOB)
        bob.list_session(CHAT)
        assert [bob.receive_text(f"unread {number}")["msg_id"] for number in range(2)] == ["5", "6"]
        bob.connection.close()
        assert {"chat": CHAT, "unread": 2, "mentions": 0} in web.call("unread")["chats"]
        assert web.call("read", chat=CHAT, index=5)["unread"] == 1


def test_files_are_served_and_webhooks_post(upgraded: Cluster) -> None:
    (edge,) = upgraded.edges
    assert http(edge, "GET", f"/media/{FILE}") == (200, PNG)
    with V2User(edge) as ann:
        ann.login(ANN)
        ann.list_session(CHAT)
        assert post_hook(edge, HOOK, "Disk full").status == 200
        assert ann.receive_text("Disk full")["msg_id"] == "7"
