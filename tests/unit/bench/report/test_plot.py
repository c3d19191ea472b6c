import pytest

from bench.report.plot import linear, percentiles


@pytest.mark.parametrize("highest", [0.0, 0.013, 1.0, 4.9, 5.0, 37.0, 12_345.0])
def test_a_linear_axis_holds_its_values_with_few_round_ticks(highest: float) -> None:
    axis = linear("ms", highest, str)
    assert 0 <= axis.place(highest) <= 1
    assert 2 <= len(axis.ticks) <= 7
    assert axis.place(axis.ticks[-1]) == pytest.approx(1)


def test_each_nine_takes_as_much_room() -> None:
    axis = percentiles("share")
    assert [round(axis.place(share), 3) for share in (0.0, 0.9, 0.99, 0.999, 1.0)] == [0, 0.25, 0.5, 0.75, 1]
