import re
import xml.etree.ElementTree as ElementTree

from bench.report.growth import growth_table
from bench.report.page import page
from tests.unit.bench.report.samples import growth

_GROWN = growth([(10, 50.0), (100, 500.0), (5_000, 25_000.0)], limit=0.1)


def test_the_table_has_every_point_and_ends_with_the_result() -> None:
    text = growth_table(_GROWN)
    assert re.search(r"5,000 +25,000", text)
    assert "linear (exponent 1.00, limit 0.10); 500 times as much" in text
    assert text.endswith("FAILED: the cost grows more than the limit")


def test_the_plot_is_sound_and_stays_inside() -> None:
    (plot,) = re.findall(r"<svg.*?</svg>", page([_GROWN]))
    (line,) = [one for one in ElementTree.fromstring(plot) if one.tag.endswith("polyline")]  # noqa: S314
    points = [tuple(map(float, point.split(","))) for point in line.attrib["points"].split()]
    assert len(points) == 3
    assert points[0][0] == 64, "the axis begins where the points do"
    assert all(0 <= x <= 640 and 0 <= y <= 260 for x, y in points)
    assert points[0][0] < points[1][0] < points[2][0]
    assert points[0][1] > points[1][1] > points[2][1]
