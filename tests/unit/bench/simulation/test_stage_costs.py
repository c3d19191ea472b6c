import pytest

from bench.growth.fit import fitted
from bench.simulation.stage_costs import stage_costs
from tests.unit.bench.capacity.samples import COSTS
from tests.unit.bench.simulation.samples import STAGES, growth


def test_the_costs_behind_measured_points_are_found() -> None:
    found = stage_costs([growth()], COSTS)
    for part, stage in STAGES.items():
        for name in ("message", "requests", "commits", "envelopes"):
            assert getattr(found.stages[part], name) == pytest.approx(getattr(stage, name), abs=0.01), (part, name)
        assert found.stages[part].error < 1e-6
    assert found.stages["edge"].delivery == COSTS.delivery["edge"]
    assert found.login == COSTS.login


def test_points_without_a_database_do_not_count() -> None:
    measured = growth()
    for point in measured.curves[0].points:
        del point.parts["database"]
    with pytest.raises(ValueError, match="too few points"):
        stage_costs([measured], COSTS)


def test_no_cost_is_negative_whatever_was_measured() -> None:
    assert fitted([[1.0, 1.0], [1.0, 2.0], [1.0, 3.0]], [9.0, 6.0, 3.0])[1] == 0.0
    assert fitted([[1.0, 2.0], [2.0, 4.0]], [3.0, 6.0]) == pytest.approx([3.0, 0.0], abs=1e-6)
