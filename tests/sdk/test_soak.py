"""A short soak of both client libraries. `python -m tests.sdk.soak` is a long one."""

from pathlib import Path

import pytest

from tests.sdk.soak import KINDS, PYTHON, soak_once
from tests.support.javascript import NODE

pytestmark = pytest.mark.xdist_group("soak")


async def test_nothing_is_lost_or_doubled_and_nothing_waits_in_the_end(tmp_path: Path) -> None:
    reported = list[str]()
    assert await soak_once(12.0, 4, tmp_path, reported.append, KINDS if NODE else (PYTHON, PYTHON)) == [], reported
