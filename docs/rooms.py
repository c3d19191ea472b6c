"""Makes the table of packages in docs/develop/map.md from the packages' docstrings."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
_BUILDINGS = (
    "dragoman",
    "services",
    "services/edge",
    "services/cli",
    "shared",
    "local",
    "dragoman_client",
    "bench",
    "tests",
)
_TOP = ("dragoman", "local", "dragoman_client")


def rooms() -> str:
    rows = [row for building in _BUILDINGS for row in _rows(ROOT / building)]
    return "| package | what is in it |\n|---|---|\n" + "".join(f"| `{name}/` | {text} |\n" for name, text in rows)


def _rows(building: Path) -> Iterator[tuple[str, str]]:
    packages = [building] if building.name in _TOP else sorted(path.parent for path in building.glob("*/__init__.py"))
    for package in packages:
        yield str(package.relative_to(ROOT)), _opening(package / "__init__.py")


def _opening(file: Path) -> str:
    """The first paragraph of a docstring, as one line of a table."""
    text = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
    return re.sub(r"\|", "&#124;", " ".join(text.split("\n\n")[0].split()))
