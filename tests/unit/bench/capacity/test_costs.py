import pytest

from bench.capacity.costs import Costs, MeasuredCosts, derived

_BRISK = {"µs of a message in edge-1": 20.0, "µs of a message in edge-2": 20.0, "µs of a message in message": 20.0}
_SLOW = {
    "µs of a message in edge-1": 200.0, "µs of a message in edge-2": 100.0, "µs of a message in message": 1_000.0,
    "bytes read of a message in nats": 1_000.0, "bytes written of a message in nats": 1_000.0,
    "bytes read of a message in edge-1": 900.0, "bytes written of a message in edge-2": 600.0,
    "idle cores of edge-1": 0.01, "idle cores of edge-2": 0.01,
}  # fmt: skip
_GROUP = {
    "µs of a message in edge-1": 600.0, "µs of a message in edge-2": 600.0, "µs of a message in message": 1_100.0,
    "bytes read of a message in nats": 1_200.0, "bytes written of a message in nats": 1_200.0,
    "bytes read of a message in edge-1": 900.0, "bytes written of a message in edge-2": 18_800.0,
}  # fmt: skip
_CROWD = {
    "µs of a login in edge-1": 300.0, "µs of a login in session": 200.0, "KiB of a login in edge-1": 5.0,
    "KiB of a login in edge-2": 4.0, "idle cores of edge-1": 0.02, "idle cores of edge-2": 0.02,
}  # fmt: skip
_CHATS = {"µs of a login in edge-1": 329.0, "µs of a login in edge-2": 29.0, "µs of a login in session": 780.0}
_COLD = {"µs of a message in session": 60.0, "rosters of a message": 0.2}


@pytest.fixture
def costs() -> Costs:
    rows = {"account": 400.0, "membership": 50.0, "message": 200.0}
    found = MeasuredCosts(_BRISK, _SLOW, _GROUP, 102, _CROWD, 1_000, _CHATS, 30, _COLD)
    return derived(found, rows, "a machine", "today", 150)


def test_processes_of_a_kind_are_one(costs: Costs) -> None:
    assert costs.batched == {"edge": 40.0, "message": 20.0}
    assert costs.alone == {"edge": 300.0, "message": 1_000.0}
    assert costs.login == {"edge": 300.0, "session": 200.0}
    assert costs.kib == 9.0


def test_a_further_chat_has_its_share_of_what_a_login_with_many_costs_more(costs: Costs) -> None:
    assert costs.login_chat == pytest.approx({"edge": 2.0, "session": 20.0})


def test_a_roster_costs_session_what_messages_to_cold_chats_cost_it(costs: Costs) -> None:
    assert costs.roster == pytest.approx(300.0)


def test_the_extra_cost_of_a_group_is_divided_among_its_further_members(costs: Costs) -> None:
    assert costs.delivery == {"edge": 9.0, "message": 1.0}
    assert costs.nats == (2_000.0, 4.0)


def test_traffic_outside_the_broker_is_the_clients(costs: Costs) -> None:
    assert costs.client == (500.0, 180.0)


def test_the_cost_of_idle_connections_is_that_of_further_ones(costs: Costs) -> None:
    assert costs.idle == pytest.approx(20.0)
