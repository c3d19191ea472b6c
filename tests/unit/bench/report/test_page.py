import re
import xml.etree.ElementTree as ElementTree

from bench.load.verifier import Faults
from bench.report.page import page
from tests.unit.bench.report.samples import sample


def test_a_page_needs_nothing_else() -> None:
    text = page([sample(Faults(), passed=True)])
    assert not re.search(r"(src|href)=", text)
    assert "<script" not in text
    assert "12,346" in text


def test_foreign_text_is_no_markup() -> None:
    text = page([sample(Faults(), passed=True)])
    assert "<no>" not in text
    assert "&lt;no&gt;" in text


def test_a_fault_is_shown() -> None:
    assert "FAILED: doubled 3" in page([sample(Faults(doubled=3), passed=False)])


def test_plots_are_sound_and_stay_inside() -> None:
    plots = re.findall(r"<svg.*?</svg>", page([sample(Faults(), passed=True)]))
    assert len(plots) == 2
    for plot in plots:
        lines = [one for one in ElementTree.fromstring(plot) if one.tag.endswith("polyline")]  # noqa: S314
        assert lines
        for line in lines:
            points = [tuple(map(float, point.split(","))) for point in line.attrib["points"].split()]
            assert all(0 <= x <= 640 and 0 <= y <= 260 for x, y in points)
            assert len(points) > 1
