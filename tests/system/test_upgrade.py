"""A data directory of an earlier commit keeps its accounts, chats, messages, read state, files and webhooks in this
version.

`data-9456d506.zip` was written by `dragoman up` of commit 9456d506. Databases can be upgraded from this commit on. The
directory contains Ann (ocid 1) and Bob (2) in chat 2, four messages that both have read, two that Bob has not read, a
file, and an incoming webhook of Ann's.
"""

from collections.abc import Iterator
from pathlib import Path
from zipfile import ZipFile

import pytest

from tests.support.cluster import Cluster
from tests.system.test_incoming_webhooks import post_to_webhook
from tests.system.test_media import PNG, http
from tests.system.users import NativeUser, V2User, account_of

ARCHIVE = Path(__file__).with_name("data-9456d506.zip")
ANN, BOB, CHAT = account_of("ann", 1), account_of("bob", 2), 2
FILE, WEBHOOK = "b3abcb6c9501f6c95fb7f8652f4493f7", "7QqEMX0Gqmaq9INbRSdevuz_f3FKc3Wj"


@pytest.fixture
def upgraded(tmp_path: Path) -> Iterator[Cluster]:
    data = tmp_path / "data"
    data.mkdir(mode=0o700)
    with ZipFile(ARCHIVE) as archive:
        archive.extractall(data)
    with Cluster(data, edges=1) as cluster:
        yield cluster


def test_what_an_earlier_version_has_stored_is_there_and_goes_on(upgraded: Cluster) -> None:
    """Messages that a client receives after the upgrade are delivered, but not read."""
    (edge,) = upgraded.edges
    with NativeUser(edge) as web:
        web.call("login", identifier=BOB.email, secret={"scheme": "sha256", "value": BOB.secret})
        (head,) = (one for one in web.call("sync")["chats"] if one["chat"] == CHAT)
        assert (head["head"], head["read"], head["unread"]) == (6, 4, 2)
        with V2User(edge) as bob:
            bob.login(BOB)
            bob.list_session(CHAT)
            assert [bob.receive_text(f"unread {number}")["msg_id"] for number in range(2)] == ["5", "6"]
        assert {"chat": CHAT, "unread": 2, "mentions": 0} in web.call("unread")["chats"]
        assert web.call("read", chat=CHAT, index=5)["unread"] == 1
    with V2User(edge) as ann, V2User(edge) as bob:
        for user, account in ((ann, ANN), (bob, BOB)):
            user.login(account)
            user.list_session(CHAT)
        assert ann.post(CHAT, "after the upgrade")["msg_id"] == "7"
        assert bob.receive_text("after the upgrade")["sender"]["ocid"] == "0000000001"
        bob.receive_nothing()
        assert http(edge, "GET", f"/media/{FILE}") == (200, PNG)
        assert post_to_webhook(edge, WEBHOOK, "Disk full").status == 200
        assert ann.receive_text("Disk full")["msg_id"] == "8"
