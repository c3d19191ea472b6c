"""Tests the partitions of chats and their leaders."""

from collections import Counter

import pytest

from shared.contract.ids import ChatId
from shared.partitions import LEASE_SECONDS, STOPPING, LiveReplicas, PartitionTable, partition_of

PARTITIONS = 256
REPLICAS = ("a1", "b2", "c3", "d4")
CHATS = [ChatId(number) for number in range(1, 5_001)]


def table_of(*replicas: str) -> PartitionTable:
    table = PartitionTable(PARTITIONS)
    for replica in replicas:
        table.add(replica)
    return table


def leaders(table: PartitionTable) -> list[str]:
    return [table.leader(chat) for chat in CHATS]


def live_replicas(*replicas: str) -> LiveReplicas:
    live = LiveReplicas(PARTITIONS)
    for replica in replicas:
        live.heartbeat(replica, PARTITIONS, 0.0)
    return live


def test_the_partition_of_a_chat_never_changes() -> None:
    """Data may be placed according to the partition."""
    assert [partition_of(ChatId(number), 256) for number in (1, 2, 3, 1_000, 2**62)] == [158, 60, 218, 8, 64]
    assert [partition_of(ChatId(number), 1) for number in (1, 2**62)] == [0, 0]


@pytest.mark.parametrize("step", [1, 2, 256, 1_000])
def test_chats_are_spread_over_all_partitions(step: int) -> None:
    sizes = Counter(partition_of(ChatId(number * step), PARTITIONS) for number in range(1, 25_601))
    assert set(sizes) == set(range(PARTITIONS))
    assert max(sizes.values()) < 200


def test_replicas_own_similar_numbers_of_partitions() -> None:
    table = table_of(*REPLICAS)
    led = [table.led(replica) for replica in REPLICAS]
    assert sum(led) == PARTITIONS
    assert min(led) > 40


def test_the_leaders_do_not_depend_on_the_order_of_arrival() -> None:
    expected = leaders(table_of(*REPLICAS))
    assert leaders(table_of(*reversed(REPLICAS))) == expected
    table = table_of("gone", *REPLICAS)
    table.discard("gone")
    assert leaders(table) == expected


def test_a_replica_that_comes_or_goes_moves_only_its_own_chats() -> None:
    before, after = leaders(table_of(*REPLICAS[:3])), leaders(table_of(*REPLICAS))
    assert {then: now for then, now in zip(before, after, strict=True) if then != now}.keys() == set(REPLICAS[:3])
    assert {now for then, now in zip(before, after, strict=True) if then != now} == {"d4"}


def test_the_replica_after_the_leader_is_the_leader_without_it() -> None:
    table = table_of(*REPLICAS)
    for chat in CHATS[:100]:
        ranked = [table.leader(chat)]
        while len(ranked) < len(REPLICAS):
            ranked.append(table.after(chat, ranked[-1]))
        assert table.after(chat, ranked[-1]) == ranked[0]
        assert table.after(chat, "unknown") == ranked[0]
        fewer = table_of(*ranked[1:])
        assert fewer.leader(chat) == ranked[1]
        assert fewer.after(chat, ranked[0]) == ranked[1]


def test_after_the_only_replica_comes_the_same() -> None:
    assert (table_of("a1").after(CHATS[0], "a1"), table_of().after(CHATS[0], "")) == ("a1", "")


def test_without_replicas_there_is_no_leader() -> None:
    table = table_of("a1")
    table.discard("a1")
    assert set(leaders(table)) == {""}


def test_a_replica_is_live_until_its_lease_ends() -> None:
    live = live_replicas("a1", "b2")
    live.heartbeat("b2", PARTITIONS, 1.0)
    assert {live.leader(chat, LEASE_SECONDS) for chat in CHATS} == {"a1", "b2"}
    assert {live.leader(chat, LEASE_SECONDS + 0.1) for chat in CHATS} == {"b2"}
    assert ("a1" in live, live.led("b2", LEASE_SECONDS + 0.1)) == (False, PARTITIONS)
    assert {live.leader(chat, LEASE_SECONDS + 1.1) for chat in CHATS} == {""}
    live.heartbeat("a1", PARTITIONS, 10.0)
    assert {live.leader(chat, 10.0) for chat in CHATS} == {"a1"}


@pytest.mark.parametrize("partitions", [0, 128])
def test_without_agreement_on_the_number_of_partitions_there_is_no_leader(partitions: int) -> None:
    """A replica with 0 partitions is of a version without partitions, or has the permissions of such a version.

    The few replicas that agree on a number may not be able to serve all chats.
    """
    live = live_replicas("a1", "b2")
    live.heartbeat("c3", partitions, 0.1)
    assert {live.leader(chat, 0.2) for chat in CHATS} == {""}
    assert live.led("a1", 0.2) == 0
    for replica in ("a1", "b2"):
        live.heartbeat(replica, PARTITIONS, LEASE_SECONDS)
    assert {live.leader(chat, LEASE_SECONDS + 0.2) for chat in CHATS} == {"a1", "b2"}


def test_a_replica_that_stops_leads_nothing_any_more() -> None:
    live = live_replicas("a1", "b2")
    live.heartbeat("a1", STOPPING, 0.1)
    assert {live.leader(chat, 0.2) for chat in CHATS} == {"b2"}
    assert live.is_sole


def test_a_replica_that_disappears_without_a_word_is_missed_for_a_minute() -> None:
    """The replica may still be in queue groups."""
    live = live_replicas("a1", "b2")
    sole = []
    for second in range(70):
        live.heartbeat("b2", PARTITIONS, float(second))
        live.leader(CHATS[0], float(second))
        sole.append(live.is_sole)
    assert sole == [False] * 61 + [True] * 9


def test_a_suspended_replica_leads_nothing_until_a_heartbeat_after_the_suspension() -> None:
    live = live_replicas("a1", "b2")
    live.suspend("a1", 1.0)
    live.heartbeat("a1", PARTITIONS, 0.9)
    assert ({live.leader(chat, 1.1) for chat in CHATS}, live.is_sole) == ({"b2"}, False)
    live.heartbeat("a1", PARTITIONS, 1.9)
    assert {live.leader(chat, 1.9) for chat in CHATS} == {"a1", "b2"}


def test_while_all_are_suspended_there_is_no_leader() -> None:
    live = live_replicas("a1", "b2")
    for replica in ("a1", "b2", "unknown"):
        live.suspend(replica, 1.0)
    assert {live.leader(chat, 0.5) for chat in CHATS} == {""}


def test_a_standby_leads_nothing_while_there_is_a_leader() -> None:
    live = live_replicas("a1", "b2")
    live.heartbeat("c3", PARTITIONS, 0.0, standby=True)
    assert {live.leader(chat, 0.0) for chat in CHATS} == {"a1", "b2"}
    assert live.led("c3", 0.0) == 0
    live.heartbeat("a1", PARTITIONS, 0.0, standby=True)
    assert {live.leader(chat, 0.0) for chat in CHATS} == {"b2"}
    live.heartbeat("c3", PARTITIONS, 0.0)
    assert {live.leader(chat, 0.0) for chat in CHATS} == {"b2", "c3"}


def test_standbys_take_over_at_once_where_no_leader_is_left() -> None:
    live = live_replicas("a1")
    for standby in ("b2", "c3"):
        live.heartbeat(standby, PARTITIONS, 0.0, standby=True)
    assert live.after(CHATS[0], "a1", 0.0) in {"b2", "c3"}
    live.suspend("a1", 10.0)
    assert {live.leader(chat, 0.0) for chat in CHATS} == {"b2", "c3"}
    live.resume("a1")
    assert {live.leader(chat, 0.0) for chat in CHATS} == {"a1"}
    live.heartbeat("a1", STOPPING, 0.0)
    assert {live.leader(chat, 0.0) for chat in CHATS} == {"b2", "c3"}


def test_a_suspended_standby_comes_back_as_one() -> None:
    live = live_replicas("a1")
    live.heartbeat("b2", PARTITIONS, 0.0, standby=True)
    live.suspend("b2", 1.0)
    live.heartbeat("b2", PARTITIONS, 2.0, standby=True)
    live.heartbeat("a1", PARTITIONS, 2.0)
    assert {live.leader(chat, 2.0) for chat in CHATS} == {"a1"}
    assert live.leads("b2")
