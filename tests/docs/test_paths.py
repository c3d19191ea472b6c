"""Files and modules that the pages name are there."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
_NAMED = re.compile(r"`((?:services|local|shared|clients|bench|tests|deploy|docs)/[\w./-]*)`")
_STARTED = re.compile(r"python -m ([\w.]+)")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_what_a_page_names_is_there(page: Path) -> None:
    text = page.read_text()
    modules = [name.replace(".", "/") for name in _STARTED.findall(text) if name.split(".")[0] in ("docs", "deploy")]
    assert [name for name in _NAMED.findall(text) if not (ROOT / name).exists()] == []
    assert [name for name in modules if not (ROOT / f"{name}.py").exists()] == []


def test_pages_are_tracked() -> None:
    tracked = subprocess.run(["git", "ls-files", "*.md"], cwd=ROOT, capture_output=True, text=True, check=False).stdout  # noqa: S607
    assert {str(page.relative_to(ROOT)) for page in PAGES} <= set(tracked.splitlines()) or not tracked
