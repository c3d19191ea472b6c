"""The tables of docs/search-languages.md, from the cases that the tests use."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

_FILE = Path(__file__).parents[1] / "tests" / "unit" / "services" / "search" / "text" / "languages.json"


def _cases(table: dict[str, Any]) -> str:
    head = "| language | rule | text | found by | not by | source |\n|---|---|---|---|---|---|\n"
    return head + "".join(_row(case) for case in table["cases"])


def _row(case: dict[str, Any]) -> str:
    found, missed = (" ".join(f"`{query}`" for query in case[kind]) for kind in ("found", "missed"))
    return f"| {case['language']} | {case['rule']} | {case['text']} | {found} | {missed} | {case['source']} |\n"


def _sources(table: dict[str, Any]) -> str:
    return "".join(f"- **{name}**: {text}\n" for name, text in table["sources"].items())


_TABLES: Mapping[str, Callable[[dict[str, Any]], str]] = {"cases": _cases, "sources": _sources}


def languages(name: str) -> str:
    return _TABLES[name](json.loads(_FILE.read_text(encoding="utf-8")))
