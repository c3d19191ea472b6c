import pytest

from bench.measurements.connect import ConnectOptions, connect
from bench.report.progress import ProgressLine
from bench.system.system import MeasuredSystem
from clients.errors import Unreachable

pytestmark = pytest.mark.xdist_group("bench")


@pytest.mark.parametrize(("rate", "dialects"), [(0.0, ["service", "pipe"]), (20.0, ["v2", "v1", "v0"])])
async def test_all_connections_are_accepted(target: MeasuredSystem, rate: float, dialects: list[str]) -> None:
    result = await connect(target, ProgressLine(), ConnectOptions(12, dialects, 2, 4, rate, warm_up=0.0, seconds=1.0))
    assert result.passed, result
    assert not result.refusals
    logins = result.measures["login"].count
    assert logins == pytest.approx(20, abs=1) if rate else logins > 0
    assert result.figures["logins/s of an edge"] == pytest.approx(result.figures["logins/s"] / 2, abs=0.1)


async def test_an_absent_server_is_reported() -> None:
    with pytest.raises(Unreachable, match="cannot be reached"):
        await connect(
            MeasuredSystem(["ws://127.0.0.1:9"]), ProgressLine(), ConnectOptions(2, ["pipe"], 1, 1, 0.0, 0.0, 1.0)
        )
