"""The operator's and the wire's interface is a superset of the released one: nothing is renamed, retyped or removed.

`released_interface.json` holds the lists of the release; `python -m tests.house.released_interface` writes it anew.
"""

import json

import pytest

from tests.house.released_interface import RELEASED, current


@pytest.mark.parametrize("part", list(current()))
def test_what_the_release_has_is_still_there(part: str) -> None:
    released = json.loads(RELEASED.read_text())[part]
    now = current()[part]
    assert {name: now.get(name) for name in released} == released


def test_every_part_is_written_down() -> None:
    assert sorted(json.loads(RELEASED.read_text())) == sorted(current())
