"""Makes the table of docs/reference/search-languages.md from the cases that the tests use."""

import json
from pathlib import Path
from typing import Any

_FILE = Path(__file__).parents[1] / "tests" / "unit" / "services" / "search" / "text" / "languages.json"


def languages() -> str:
    head = "| language | rule | text | found by | not by |\n|---|---|---|---|---|\n"
    return head + "".join(map(_row, json.loads(_FILE.read_text(encoding="utf-8"))["cases"]))


def _row(case: dict[str, Any]) -> str:
    found, missed = (" ".join(map(_code, case[kind])) for kind in ("found", "missed"))
    return f"| {case['language']} | {case['rule']} | {case['text']} | {found} | {missed} |\n"


def _code(query: str) -> str:
    """A query as code. A blank at its end is shown as ␣, because Markdown would remove it."""
    return f"`{query[:-1]}␣`" if query.endswith(" ") else f"`{query}`"
