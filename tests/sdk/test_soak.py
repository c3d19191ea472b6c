"""A short soak of the Python client.

tests/system/test_javascript_soak.py is the soak of the JavaScript client. `python -m tests.sdk.soak` is a long soak of
both.
"""

from pathlib import Path

import pytest

from tests.sdk.soak import PYTHON, soak_once

pytestmark = pytest.mark.xdist_group("soak")


async def test_nothing_is_lost_or_doubled_and_nothing_waits_in_the_end(tmp_path: Path) -> None:
    reported = list[str]()
    assert await soak_once(12.0, 4, tmp_path, reported.append, (PYTHON, PYTHON)) == [], reported
