"""Clients send many requests at once to an edge with rate limits. The edge slows them down, and rejects nothing."""

from collections.abc import Iterator

import pytest

from tests.support.cluster import Cluster
from tests.system.users import V2, NativeUser, V2User

SESSIONS = 1_000
MESSAGES = 500
RATES = ("--set", "limits.requests_per_second=250", "--set", "limits.requests_burst=50")
"""Rates that are higher than the defaults by as much as the tests need."""
VALUES = ["session_id", "name", "avatar", "avatar_hash", "time", "update_time", "members", "owner"]


@pytest.fixture
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    relaxed = ("--set", "edge.request_seconds=30", "--set", "message.queue_seconds=20")
    with Cluster(tmp_path_factory.mktemp("bursts") / "data", *RATES, *relaxed, edges=1) as cluster:
        yield cluster.edges[0]


def test_a_client_of_v2_requests_each_of_its_thousand_sessions_after_the_login(edge: str) -> None:
    """The PC client requests its account with the list of sessions, and then each session, without waiting for
    replies."""
    with V2User(edge) as user:
        user.register()
        for number in range(SESSIONS):
            user.send(V2.create_group(user.account, f"{number}", []))
        made = [user.receive_code(9)["session_id"] for _ in range(SESSIONS)]
    with V2User(edge) as again:
        again.login(user.account)
        listed = again.request({"code": 10, "ocid": str(user.account.number), "request_values": ["sessions"]}, 11)
        assert sorted(listed["data"]["sessions"]) == sorted(made)
        for session in made:
            again.send({"code": 1, "session_id": session, "request_values": VALUES})
        assert [again.receive_code(2)["data"]["session_id"] for _ in made] == made
        assert not [frame for frame in again.pending if frame["code"] == 18]


def test_an_outbox_that_is_sent_at_once_is_stored_in_order(edge: str) -> None:
    with NativeUser(edge) as ann:
        ann.register()
        chat = ann.call("create", name="Fruit")["chat"]
        for number in range(MESSAGES):
            ann.send({"op": "send", "id": 10_000 + number, "chat": chat, "text": f"{number}", "nonce": f"n{number}"})
        for number in range(MESSAGES):
            assert f'"index":{number + 1}' in ann.receive(f'{{"re":{10_000 + number},')
        page = ann.call("history", chat=chat, **{"from": MESSAGES, "count": 200})
        texts = [message["segments"][0]["text"] for message in reversed(page["messages"])]
        assert texts == [f"{number}" for number in range(MESSAGES - len(texts), MESSAGES)]
        limits = ann.call("hello")["limits"]
        assert (limits["rates"]["all"], limits["waiting"]) == ([250.0, 50], 2_000)
