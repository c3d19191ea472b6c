"""The files and modules exist that the pages and the docstrings of packages name."""

import ast
import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
_NAMED = re.compile(r"`((?:services|local|shared|dragoman_client|clients|bench|tests|deploy|docs)/[\w./-]*)`")
_BEGINNING = re.compile(r"[\w./]+\.py\b|(?<=[Bb]egin with `)\w+(?=`)")
PACKAGES = sorted(path for path in ROOT.glob("[a-z]*/**/__init__.py") if "node_modules" not in path.parts)
_STARTED = re.compile(r"python -m ([\w.]+)")


def test_what_a_page_names_is_there() -> None:
    for page in PAGES:
        text = page.read_text()
        started = [name.replace(".", "/") for name in _STARTED.findall(text)]
        modules = [f"{name}.py" for name in started if name.split("/")[0] in ("docs", "deploy")]
        assert [name for name in (*_NAMED.findall(text), *modules) if not (ROOT / name).exists()] == [], page


def test_what_a_package_names_is_there() -> None:
    for package in PACKAGES:
        named = _BEGINNING.findall(ast.get_docstring(ast.parse(package.read_text())) or "")
        files = [name if name.endswith(".py") else f"{name}.py" for name in named]
        assert [name for name in files if not (package.parent / name).exists()] == [], package


def test_pages_are_tracked() -> None:
    tracked = subprocess.run(["git", "ls-files", "*.md"], cwd=ROOT, capture_output=True, text=True, check=False).stdout  # noqa: S607
    assert {str(page.relative_to(ROOT)) for page in PAGES} <= set(tracked.splitlines()) or not tracked
