"""The operator's and the wire's interface is a superset of the released one: nothing is renamed, retyped or removed.

`released_interface.json` holds the lists of the release; `python -m tests.house.released_interface` writes it again.
"""

import json
from typing import Any

import pytest

from tests.house.released_interface import RELEASED, current


def keeps(now: Any, released: Any) -> bool:
    """Whether the present value keeps the released one. A list, such as a command's options, can have got more
    entries."""
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
