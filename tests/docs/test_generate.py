import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from docs.generate import PAGES, files, filled
from services.edge.dialects.registry import DIALECTS
from tests import vectors

PAGE = """# Talk

<!-- frames: Greetings -->
old
<!-- end -->

Words.

<!-- frames: Farewells -->
<!-- end -->
"""
FRAMES = re.compile(r"<!-- frames: (.+) -->")
VECTORS: list[dict[str, Any]] = [
    {"section": "Greetings", "name": "hello", "shown": True, "in": {"say": "你好"}, "replies": [
        {"answer": {"DoneSoFar": {}}, "out": ["ok|1"]},
        {"failure": {"code": "rate_limited", "text": "slow"}, "out": []},
    ]},
    {"section": "Greetings", "name": "not for readers", "in": {"say": "x"}, "error": "invalid"},
    {"section": "Farewells", "name": "bye", "shown": True, "event": {"Left": {}}, "out": [{"bye": True}]},
]  # fmt: skip


@cache
def made() -> dict[Path, str]:
    return dict(files())


def test_every_file_is_that_of_today() -> None:
    """If this test fails, run `python -m docs.generate` to write the files again."""
    assert [str(file) for file, text in made().items() if file.read_text(encoding="utf-8") != text] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_place_is_filled(page: Path) -> None:
    text = made()[page]
    kinds = "frames|table|lacking|source|operations|languages|reference"
    places = re.findall(rf"^<!-- (?:{kinds}): .+ -->$", text, re.MULTILINE)
    assert len(places) == text.count("<!-- end -->") == text.count("<!--") / 2 > 0
    assert "```text\n\n" not in text
    assert "-->\n\n<!-- end -->" not in text, "a place without content"


@pytest.mark.parametrize("dialect", sorted({*PAGES.values()} - {""}))
def test_every_shown_vector_has_its_place(dialect: str) -> None:
    sections = [vector.section for vector in vectors.load(dialect).vectors if vector.shown]
    places = [found for page in PAGES if PAGES[page] == dialect for found in re.findall(FRAMES, made()[page])]
    assert sorted(places) == sorted(set(sections))


def test_each_dialect_has_pages() -> None:
    assert {entry.name for entry in DIALECTS} <= set(PAGES.values())


def test_a_source_is_shown_as_it_is() -> None:
    page = filled("<!-- source: tests/vectors/sample_irc.json -->\nold\n<!-- end -->", [])
    assert page.startswith("<!-- source: tests/vectors/sample_irc.json -->\n\n```json\n{\n")
    assert page.endswith("}\n```\n\n<!-- end -->")


def test_frames_are_put_where_the_page_wants_them() -> None:
    page = filled(PAGE, VECTORS)
    assert "old" not in page
    assert '→ {"say": "你好"}\n← ok|1\nor, rate limited:\n(nothing yet)\n' in page
    assert "not for readers" not in page
    assert page.index("Words.") < page.index('← {"bye": true}')
    assert filled(page, VECTORS) == page


def test_long_frames_are_broken_into_lines() -> None:
    frame = {"key": "x" * 200}
    page = filled(PAGE, [{"section": "Greetings", "name": "long", "shown": True, "in": frame}])
    assert '→ {\n    "key": ' in page
