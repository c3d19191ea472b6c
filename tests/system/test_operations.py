"""Maintenance, the orderly end of processes, and revocations, as clients on two edges see them."""

import signal

import pytest

from tests.support.cluster import Cluster
from tests.system.conftest import Dial
from tests.system.operating import admin, await_ready
from tests.system.users import V2User

pytestmark = pytest.mark.xdist_group("system")


def test_maintenance_is_pushed_to_all_clients_and_shown_in_the_server_status(system: Cluster, dial: Dial) -> None:
    known, stranger = dial(system.edges[0]).register(), dial(system.edges[1])
    stranger.request({"code": 12}, 12)
    try:
        admin(system, "maintenance", "on")
        for client in (known, stranger):
            assert client.receive_code(12) == {"code": 12, "status": 1}
        assert dial(system.edges[1]).request({"code": 12}, 12) == {"code": 12, "status": 1}
    finally:
        admin(system, "maintenance", "off")
    for client in (known, stranger):
        assert client.receive_code(12) == {"code": 12, "status": 0}
        assert client.request({"code": 12}, 12) == {"code": 12, "status": 0}


def test_an_edge_that_ends_in_order_answers_its_accepted_frames(
    system: Cluster, couple: tuple[V2User, V2User, int]
) -> None:
    leaver, stayer, session = couple
    texts = [f"last words {number}" for number in range(50)]
    for text in texts:
        leaver.send(leaver.text_frame(session, text))
    leaver.receive_text(texts[0])
    pid = system.signal("edge-1", signal.SIGTERM)
    try:
        assert leaver.closed() == 1012
        assert [frame["msg"][0]["text"] for frame in leaver.pending if frame["code"] == 0] == texts[1:]
        for text in texts:
            stayer.receive_text(text)
    finally:
        await_ready(system, "edge-1", since=pid)


def test_a_client_of_a_draining_edge_is_served_elsewhere_at_once(
    system: Cluster, couple: tuple[V2User, V2User, int], dial: Dial
) -> None:
    """Messages that were sent while the client reconnected arrive with its login, and no message arrives twice."""
    leaver, stayer, session = couple
    stayer.post(session, "before")
    leaver.receive_text("before")
    pid = system.signal("edge-1", signal.SIGTERM)
    try:
        assert leaver.closed() == 1012
        stayer.post(session, "meanwhile")
        again = dial(system.edges[1])
        assert again.login(leaver.account)["status"] == 0
        assert again.receive_code(0)["msg"][0]["text"] == "meanwhile"
        again.receive_nothing(1.5)
    finally:
        await_ready(system, "edge-1", since=pid)
