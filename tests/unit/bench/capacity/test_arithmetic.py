import msgspec
import pytest

from bench.capacity.arithmetic import KINDS, Habits, limits, needs
from services.message.adapters.roster_cache import _MAX_MEMBERS
from tests.unit.bench.capacity.samples import COSTS

_HABITS = Habits(messages_per_minute=6.0, recipients=3.0, logins_per_hour=3.6)
"""For 10,000 users: 1,000 messages, 3,000 deliveries, 10 logins per second."""


def test_rates_follow_from_habits() -> None:
    need = needs(COSTS, _HABITS, 10_000)
    assert [need.messages, need.deliveries, need.logins] == pytest.approx([1_000, 3_000, 10])


def test_cores_are_what_everything_costs_together() -> None:
    cores = needs(COSTS, _HABITS, 10_000).cores
    besides = 2_000 * 5 + 10 * 300 + 10_000 * 2
    assert list(cores["edge"]) == pytest.approx([(1_000 * 40 + besides) / 1e6, (1_000 * 400 + besides) / 1e6])
    assert list(cores["session"]) == pytest.approx([0.002, 0.002])
    assert cores["message"][1] == pytest.approx(1.001)


def test_bytes_are_those_of_messages_and_of_further_deliveries() -> None:
    need = needs(COSTS, _HABITS, 10_000)
    assert need.nats == 1_000 * 2_000 + 2_000 * 10
    assert need.clients == 1_000 * 500 + 2_000 * 200
    assert need.edge_memory == 10_000 * 8 * 1024
    assert need.message_bytes_a_day == pytest.approx(1_000 * 28_800 * 200)
    assert need.account_bytes == 50_000 * (400 + 30 * 50)


def test_there_are_enough_processes_for_the_most_and_always_one_to_spare() -> None:
    few, many = needs(COSTS, _HABITS, 10), needs(COSTS, _HABITS, 1_000_000)
    assert few.processes == {kind: 3 if kind == "nats" else 2 for kind in KINDS}
    assert many.processes["message"] == 167  # 100.1 cores at 0.6 each
    assert many.databases == 4  # 100,000 messages per second at 30,000 each


def test_an_edge_is_full_of_connections_without_any_message() -> None:
    quiet = _HABITS._replace(messages_per_minute=0.001, logins_per_hour=0.001)
    assert needs(COSTS, quiet, 1_500_000).processes["edge"] == 100


def test_heartbeats_grow_with_the_pairs_of_replicas_and_other_processes() -> None:
    once, ten = needs(COSTS, _HABITS, 1e6), needs(COSTS, _HABITS, 1e7)
    assert ten.heartbeats / once.heartbeats == pytest.approx(100, rel=0.05)


def test_the_first_limit_comes_first_and_is_where_it_is_full() -> None:
    found = limits(COSTS, _HABITS)
    assert [limit.users for limit in found] == sorted(limit.users for limit in found)
    by_name = {limit.what: limit.users for limit in found}
    assert by_name["one message database"] == pytest.approx(300_000, rel=0.02)
    assert by_name["one Valkey"] == pytest.approx(6_000_000, rel=0.02)
    assert by_name["the 10 Gbit/s of one NATS server"] == pytest.approx(750e6 / 202, rel=0.02)


@pytest.mark.parametrize("name", ["one replica of message", "heartbeats, as many bytes as messages"])
def test_a_more_expensive_system_is_full_sooner(name: str) -> None:
    def full(factor: float) -> float:
        dearer = {kind: factor * cost for kind, cost in COSTS.batched.items()}
        alone = {kind: factor * cost for kind, cost in COSTS.alone.items()}
        found = limits(msgspec.structs.replace(COSTS, batched=dearer, alone=alone), _HABITS)
        return next(limit.users for limit in found if limit.what == name)

    assert full(10.0) < full(1.0)


def test_session_reads_the_rosters_that_no_replica_has_cached() -> None:
    priced = msgspec.structs.replace(COSTS, roster=1_000.0)
    few = needs(priced, _HABITS._replace(roster_members=1e9), 10_000)
    assert list(few.cores["session"]) == pytest.approx([0.002, 0.002])
    none = needs(priced, _HABITS._replace(roster_members=1.0), 10_000)
    assert list(none.cores["session"]) == pytest.approx([0.002, 1.002], abs=1e-4)
    # Two replicas with half of the 1.5 M memberships.
    half = needs(priced, _HABITS._replace(roster_members=375_000.0), 10_000)
    assert half.cores["session"][1] == pytest.approx(0.502)


def test_a_login_reads_each_chat() -> None:
    priced = msgspec.structs.replace(COSTS, login_chat={"session": 10.0})
    assert needs(priced, _HABITS, 10_000).cores["session"][0] == pytest.approx(0.002 + 10 * 29 * 10 / 1e6)


def test_the_supposed_cache_is_that_of_message() -> None:
    assert Habits().roster_members == _MAX_MEMBERS
