"""A data directory of the release before keeps its accounts, chats, messages and read state under this version.

`data-0.1.0.zip` was written by `dragoman up` of 0.1.0: Ann (ocid 1) and Bob (2) in chat 2, four messages that both
have read, two that Bob has not.
"""

from collections.abc import Iterator
from pathlib import Path
from zipfile import ZipFile

import pytest

from tests.drills.cluster import Cluster
from tests.system.users import V2User, account_of

ARCHIVE = Path(__file__).with_name("data-0.1.0.zip")
ANN, BOB, CHAT = account_of("ann", 1), account_of("bob", 2), 2


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
