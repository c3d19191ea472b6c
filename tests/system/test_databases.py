"""`dragoman up` with two databases of message: users notice nothing, also of a database that is away, save for its own
chats."""

import signal
from collections.abc import Iterator

import pytest

from shared.contract.ids import ChatId
from shared.partitions import partition_of
from tests.drills.cluster import Cluster
from tests.system.conftest import Dial
from tests.system.users import V2User

_SECONDS = 20.0


@pytest.fixture(scope="module")
def halves(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    data = tmp_path_factory.mktemp("databases") / "data"
    settings = {
        "main.url": f"sqlite:///{data}/message-main.db",
        "main.partitions": "0-127",
        "second.url": f"sqlite:///{data}/message-second.db",
        "second.partitions": "128-255",
    }
    flags = [part for name, value in settings.items() for part in ("--set", f"message.databases.{name}={value}")]
    with Cluster(data, "--no-limits", *flags) as cluster:
        yield cluster


@pytest.fixture
def pair(halves: Cluster, dial: Dial) -> tuple[V2User, V2User, int, int]:
    """Two users on two edges, and two sessions of theirs: the first in the database main, the other in second."""
    one, two = (dial(edge).register() for edge in halves.edges)
    sessions: dict[bool, int] = {}
    while len(sessions) < 2:
        session = one.session(two)
        sessions[partition_of(ChatId(session), 256) < 128] = session
    return one, two, sessions[True], sessions[False]


def test_each_database_has_a_replica(halves: Cluster) -> None:
    assert [name for name in halves.names() if name.startswith("message")] == ["message-main", "message-second"]


def test_messages_of_both_databases_arrive_and_are_kept(
    halves: Cluster, dial: Dial, pair: tuple[V2User, V2User, int, int]
) -> None:
    one, two, *sessions = pair
    for number in range(10):
        for session in sessions:
            one.post(session, f"{session} {number}")
    texts = [f"{session} {number}" for number in range(10) for session in sessions]
    assert [two.receive_code(0)["msg"][0]["text"] for _ in texts] == texts
    two.connection.close()
    for number in range(10, 13):
        for session in sessions:
            one.post(session, f"{session} {number}")
    again = dial(halves.edges[0])
    again.login(two.account)
    for session in sessions:
        again.list_session(session)
    missed = [again.receive_code(0)["msg"][0]["text"] for _ in range(6)]
    assert sorted(missed) == sorted(f"{session} {number}" for number in range(10, 13) for session in sessions)
    again.receive_nothing()


def test_a_database_without_replica_concerns_its_own_chats_only(
    halves: Cluster, dial: Dial, pair: tuple[V2User, V2User, int, int]
) -> None:
    """The others go on, also for users who log in meanwhile; and it loses nothing."""
    one, two, in_main, in_second = pair
    one.post(in_second, "before")
    two.receive_text("before")
    two.connection.close()
    one.post(in_main, "missed in main")
    one.post(in_second, "missed in second")
    with halves.unsupervised():
        halves.signal("message-second", signal.SIGKILL)
        for number in range(5):
            one.post(in_main, str(number))
        again = dial(halves.edges[0])
        again.login(two.account)
        again.list_session(in_main)
        again.list_session(in_second)
        assert again.receive_code(0)["msg"][0]["text"] == "missed in main"
        for number in range(5):
            again.receive_text(str(number))
        one.post(in_main, "live")
        again.receive_text("live")
        one.send(one.text_frame(in_second, "after"))
    again.receive_text("missed in second", _SECONDS)
    one.receive_text("after", _SECONDS)
    again.receive_text("after")
