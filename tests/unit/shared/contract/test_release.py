"""Services of this version and of the last release understand each other: nothing is renamed, retyped or removed.

What the last release says is in released.json. Once the next one is out, `python -m tests.unit.shared.contract.release`
writes down what that one says.
"""

from typing import Any

import msgspec
import pytest
from msgspec import defstruct

from tests.unit.shared.contract.release import PLACES, RELEASED, Release, misread, missed, present, samples, unknown

LAST = msgspec.json.decode(RELEASED.read_bytes(), type=Release)
PRESENT = present()

UNDERSTOOD_ONLY: dict[str, int] = {}
"""By place: how many samples of it are of new kinds (of a notice, an error, a role …), which the last release does not
understand. This version understands them and says them to nobody; the next one may say them."""


@pytest.mark.parametrize("place", LAST.said)
def test_what_the_last_release_says_is_understood(place: str) -> None:
    assert misread(LAST.said[place], PLACES[place]) == []


@pytest.mark.parametrize("place", LAST.said)
def test_the_last_release_finds_all_it_looks_for(place: str) -> None:
    assert missed(LAST.said[place], PRESENT.said[place]) == []


@pytest.mark.parametrize("place", LAST.said)
def test_what_the_last_release_does_not_understand_is_not_said_yet(place: str) -> None:
    assert len(unknown(LAST.said[place], PRESENT.said[place])) == UNDERSTOOD_ONLY.get(place, 0)


@pytest.mark.parametrize("user", LAST.rights)
def test_processes_of_the_last_release_may_say_and_hear_what_they_must(user: str) -> None:
    for then, now in zip(LAST.rights[user], PRESENT.rights[user], strict=True):
        assert set(then) - set(now) == set()


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
def test_a_change_is_told_as_what_it_is(change: str) -> None:
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
