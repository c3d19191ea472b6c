import pytest

from bench.capacity.cost_measurement import CostOptions, measure_costs, row_bytes
from bench.report.progress import ProgressLine

pytestmark = pytest.mark.xdist_group("bench")

_WEIGHING = CostOptions(50, 200, 2_000, 20, 200, 100, 100, seconds=1.0, rest=0.5, size=150, dialects=["pipe"])


async def test_everything_has_a_cost() -> None:
    costs = await measure_costs(_WEIGHING, [], 1, ProgressLine())
    assert costs.alone["message"] > 0
    assert costs.alone["edge"] > 0
    assert costs.batched.keys() == costs.alone.keys() == costs.delivery.keys()
    assert costs.login["edge"] > 0
    assert 0 < costs.kib < 100
    assert costs.nats[0] > 150
    assert costs.client[0] > 150
    assert costs.roster > 0
    assert costs.login_chat.keys() == costs.login.keys()


def test_rows_have_a_size() -> None:
    rows = row_bytes()
    assert 150 < rows["message"] < 400
    assert 20 < rows["membership"] < 100
    assert 100 < rows["account"] < 1_000
