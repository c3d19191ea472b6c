"""Each control in the threat model names its tests, and these tests exist."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/understand/threat-model.md").read_text()
CONTROLS = dict(re.findall(r"^\| (\d+) \| (.*) \|$", PAGE, re.MULTILINE))


def test_every_named_test_exists() -> None:
    named = set(re.findall(r"`(test_\w+)`", PAGE))
    sources = "\n".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    assert len(named) > 40
    assert named - set(re.findall(r"def (test_\w+)", sources)) == set()


@pytest.mark.parametrize("number", range(1, 31))
def test_a_control_has_a_test_or_a_rule_overrides_it(number: int) -> None:
    assert re.search(r"`test_\w+`|\bRule: ", CONTROLS[str(number)])
