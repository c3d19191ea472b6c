import re

from bench.growth.result import growth_table
from tests.unit.bench.report.samples import growth

_GROWN = growth([(10, 50.0), (100, 500.0), (5_000, 25_000.0)], limit=0.1)


def test_the_table_has_every_point_and_ends_with_the_result() -> None:
    text = growth_table(_GROWN)
    assert re.search(r"5,000 +25,000", text)
    assert "linear (exponent 1.00, limit 0.10); 500 times the size has 500.0 times the cost" in text
    assert text.endswith("FAILED: the cost grows more than the limit")
