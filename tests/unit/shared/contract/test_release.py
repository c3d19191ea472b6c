"""Services of this version and of the last release can be mixed: nothing that they send is renamed, retyped or removed.

released.json contains samples of the last release. After the next release, `python -m
tests.unit.shared.contract.release` writes its samples.
"""

from typing import Any

import msgspec
import pytest
from msgspec import defstruct

from tests.unit.shared.contract.release import PLACES, RELEASED, Release, misread, missed, present, samples, unknown

LAST = msgspec.json.decode(RELEASED.read_bytes(), type=Release)
PRESENT = present()

UNDERSTOOD_ONLY: dict[str, int] = {}
"""By place, the number of its samples that have new kinds (of an event, an error, a role …), which the last release
cannot decode.

This version decodes these kinds but never sends them. The next version may send them.
"""


def test_messages_of_the_last_release_are_decoded() -> None:
    for place, then in LAST.encoded.items():
        assert misread(then, PLACES[place]) == [], place


def test_the_last_release_finds_all_it_looks_for() -> None:
    for place, then in LAST.encoded.items():
        assert missed(then, PRESENT.encoded[place]) == [], place


def test_no_message_is_sent_that_the_last_release_cannot_decode() -> None:
    for place, then in LAST.encoded.items():
        assert len(unknown(then, PRESENT.encoded[place])) == UNDERSTOOD_ONLY.get(place, 0), place


def test_processes_of_the_last_release_keep_their_grants() -> None:
    for user, rights in LAST.rights.items():
        for then, now in zip(rights, PRESENT.rights[user], strict=True):
            assert set(then) - set(now) == set(), user


# The rule itself

NAME: list[Any] = [("number", int), ("name", str, "")]
CHANGES: dict[str, tuple[list[Any], set[str]]] = {
    "none": (NAME, set()),
    "a new field with a default": ([*NAME, ("more", int, 0)], set()),
    "a new field that is required": ([("number", int), ("more", int), ("name", str, "")], {"misread"}),
    "renamed": ([("number", int), ("title", str, "")], {"misread", "missed", "unknown"}),
    "retyped": ([("number", int), ("name", bytes, b"")], {"misread", "missed", "unknown"}),
    "removed": ([("number", int)], {"misread", "missed", "unknown"}),
    "a new kind": ([("number", int), ("name", str | None, "")], {"unknown"}),
}


@pytest.mark.parametrize("change", CHANGES)
def test_each_kind_of_change_is_reported(change: str) -> None:
    fields, broken = CHANGES[change]
    type_ = defstruct("Named", fields)
    then, now = samples(defstruct("Named", NAME)), samples(type_)
    found = {"misread": misread(then, type_), "missed": missed(then, now), "unknown": unknown(then, now)}
    assert {name for name, samples in found.items() if samples} == broken


@pytest.mark.parametrize(
    ("fields", "sound"),
    [
        ([("number", int), ("name", str), ("more", int, 0)], True),
        ([("number", int), ("more", int, 0), ("name", str, "")], False),
        ([("number", int)], False),
    ],
)
def test_where_fields_are_known_by_their_position_new_ones_come_last(fields: list[Any], sound: bool) -> None:
    type_ = defstruct("Named", fields, array_like=True)
    then = samples(defstruct("Named", [("number", int), ("name", str)], array_like=True))
    assert (misread(then, type_) == [] and missed(then, samples(type_)) == []) == sound


def test_a_type_within_itself_has_an_end() -> None:
    assert len(samples(PLACES["message.sync reply"])) > 0
