"""Maps of databases: which are accepted, and what replicas' announcements make of them."""

import pytest

from shared.contract.edge import Placement
from shared.contract.ids import ChatId
from shared.partitions import partition_of
from shared.placement import DatabaseDirectory, check_map, format_ranges, parse_ranges, to_partitions, to_ranges

CHATS = [ChatId(number) for number in range(1, 200)]


@pytest.mark.parametrize(
    ("text", "ranges"),
    [("", []), ("0-127", [(0, 127)]), ("5", [(5, 5)]), ("0-3, 8-9,12", [(0, 3), (8, 9), (12, 12)])],
)
def test_ranges_are_read_and_written(text: str, ranges: list[tuple[int, int]]) -> None:
    assert parse_ranges(text) == ranges
    assert parse_ranges(format_ranges(ranges)) == ranges
    assert to_ranges(to_partitions(ranges)) == ranges


@pytest.mark.parametrize("text", ["a", "1-", "-1", "3-1", "1--2", "1-2-3", "1;2", "²"])
def test_other_texts_are_no_ranges(text: str) -> None:
    with pytest.raises(ValueError, match="range"):
        parse_ranges(text)


@pytest.mark.parametrize(
    ("ranges", "problem"),
    [
        ({"a": [(0, 9)], "b": [(9, 15)]}, "partition 9 is given to two databases, a and b"),
        ({"a": [(0, 9)], "b": [(11, 14)]}, "no database is given partitions 10,15"),
        ({"a": [(0, 9)], "b": [(10, 16)]}, "database b has partitions 10-16, but the last of 16 partitions"),
        ({"a": []}, "no database is given partitions 0-15"),
    ],
)
def test_a_map_has_each_partition_once(ranges: dict[str, list[tuple[int, int]]], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        check_map(ranges, 16)


def test_a_database_may_have_no_partition_at_first() -> None:
    check_map({"a": [(0, 15)], "b": []}, 16)


def test_the_higher_version_is_right() -> None:
    """Whatever the order of the announcements: a replica that has not heard of a move goes on announcing the former
    placement."""
    announcements = [
        Placement("a", 1, 256, [(0, 255)]),
        Placement("b", 1, 256, []),
        Placement("b", 4, 256, [(0, 127)]),
        Placement("a", 3, 256, [(128, 255)]),
    ]
    for order in (announcements, announcements[::-1]):
        directory = DatabaseDirectory()
        for placement in order:
            directory.claim(placement)
        for chat in CHATS:
            assert directory.database_of(chat) == ("b" if partition_of(chat, 256) < 128 else "a")


def test_news_differ_from_repetitions() -> None:
    directory = DatabaseDirectory()
    assert not directory
    assert directory.claim(Placement("a", 2, 256, [(0, 255)]))
    assert directory
    assert not directory.claim(Placement("a", 2, 256, [(0, 255)]))
    assert not directory.claim(Placement("a", 1, 256, []))


def test_a_partition_that_nobody_claims_has_no_database() -> None:
    directory = DatabaseDirectory()
    assert directory.database_of(CHATS[0]) == ""
    directory.claim(Placement("a", 1, 256, []))
    assert directory.database_of(CHATS[0]) == ""
