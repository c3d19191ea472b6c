import math

import pytest

from bench.measurements.overload import Bounds, FloodResult, OverloadOptions, flood, max_connections, overload
from bench.report.progress import ProgressLine
from bench.system.system import SystemSize, own_system
from tests.unit.bench.faulty_server import faulty_server, honest

pytestmark = pytest.mark.xdist_group("bench")

_STRAIN = OverloadOptions(40, ["pipe", "ourchat-v2"], 1, 150, window=2, factor=2.0, calm=2.0, seconds=1.5)
_ANY_SPEED = Bounds(goodput=0.0, slack_seconds=60.0, recovery_seconds=math.inf)


async def test_nothing_is_lost_or_unanswered_under_overload() -> None:
    """The test does not check speed, because other programs may keep the machine busy."""
    settings = [
        f"edge.max_connections={max_connections(_STRAIN, 2)}",
        "auth.argon2_memory_kib=8",
        "auth.argon2_iterations=1",
        "limits.rates=false",  # all connections come from one address
    ]
    async with own_system(SystemSize(2), settings, ProgressLine().print) as target:
        result = await overload(target, ProgressLine(), _STRAIN, _ANY_SPEED)
    assert not result.faults.any(), result
    assert not [remark for remark in result.remarks if "1013" in remark or "grew" in remark or "waited" in remark]
    figures = result.figures
    assert figures["offered messages/s"] == 2 * figures["saturated messages/s"] > 0
    assert figures["goodput messages/s"] > 0
    assert figures["connections closed with 1013"] == 16
    assert figures["connections let in"] == max_connections(_STRAIN, 2)
    assert figures["MiB grown, message"] > 0


async def test_a_server_without_a_limit_is_flagged() -> None:
    async with faulty_server(honest) as address:
        assert await flood(address, 5, seconds=0.2) == FloodResult(21, 0, 0)
