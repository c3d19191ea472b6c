"""Tests searches in each language.

The cases are the table of docs/reference/search-languages.md, which is made from the rules of the scripts.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from services.search.text.matches import marks
from services.search.text.query import parse

TABLE: dict[str, Any] = json.loads(Path(__file__).with_name("languages.json").read_text(encoding="utf-8"))
CASES: list[dict[str, Any]] = TABLE["cases"]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case['language']}: {case['rule']}")
def test_what_is_found(case: dict[str, Any]) -> None:
    found = {query: marks(case["text"], parse(query)) for query in [*case["found"], *case["missed"]]}
    assert [query for query in case["found"] if not found[query]] == []
    assert [query for query in case["missed"] if found[query]] == []


def test_the_table_names_its_sources() -> None:
    assert {case["source"] for case in CASES} == set(TABLE["sources"])
    assert len({case["language"] for case in CASES}) >= 40
