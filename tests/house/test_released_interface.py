"""The interface for operators and on the wire contains all of the released one: nothing was renamed, retyped or
removed.

`released_interface.json` holds the lists of the release. `python -m tests.house.released_interface` writes this file
again.
"""

import json
from typing import Any

import pytest

from tests.house.released_interface import RELEASED, current


def keeps(now: Any, released: Any) -> bool:
    """Returns whether the present value keeps the released value.

    A list, such as the options of a command, may have gained entries.
    """
    if isinstance(released, list) and isinstance(now, list):
        return all(entry in now for entry in released)
    return bool(now == released)


@pytest.mark.parametrize("part", list(current()))
def test_what_the_release_has_is_still_there(part: str) -> None:
    released = json.loads(RELEASED.read_text())[part]
    now = current()[part]
    assert [name for name, value in released.items() if not keeps(now.get(name), value)] == []


def test_every_part_is_written_down() -> None:
    assert sorted(json.loads(RELEASED.read_text())) == sorted(current())
