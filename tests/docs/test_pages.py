"""The pages name their readers, stay short, and have no dates. Dates belong to the pages in docs/evidence."""

import re
from pathlib import Path

import pytest

from docs.generate import PAGES as FILLED
from docs.sizes import ROOT, by_folder, pages, words, written
from tests.house.vocabulary import PROSE

MOST_WORDS = 88_000 + 4 * 3_000
"""The most words of all pages outside docs/evidence.

The native API, the web client, notifications and IRC have raised this limit.
"""
DATED = re.compile(
    r"\b20\d\d-\d\d-\d\d\b|\b\d{1,2} (?:January|February|March|April|May|June|July|August|September|October|November"
    r"|December) 20\d\d\b|\bcommit [0-9a-f]{7,40}\b|\b(?:was|were|been|is|are) tried\b"
)
REPLACED = re.compile(rf"\b(?:{'|'.join(PROSE)}|admin (?:notice|hook)|Dragoman\w+(?:Away|Stands))\b", re.IGNORECASE)
"""Words that the glossary replaces, and that have no ordinary meaning here."""
_LINK = re.compile(r"\]\([^)]*\)")
_CODE = re.compile(r"^ *```.*?^ *```|`[^`]*`", re.DOTALL | re.MULTILINE)
PRESENT = [page for page in pages() if not page.is_relative_to(ROOT / "docs" / "evidence")]
UNDATED = [page for page in PRESENT if not page.is_relative_to(ROOT / "docs" / "adr")]


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def test_the_first_sentence_names_the_readers() -> None:
    """The exceptions are the README, which is for all readers, and the decision records, whose index names their
    readers.
    """
    named = [page for page in pages() if page != ROOT / "README.md" and not page.name[0].isdigit()]
    first = {name(page): page.read_text().split("\n\n")[1] for page in named}
    assert {page: text for page, text in first.items() if not re.match(r"For [a-z]", text)} == {}


def test_a_page_is_read_in_one_sitting() -> None:
    assert [name(page) for page in PRESENT if words(written(page)) > 2000] == []


def test_all_pages_are_read_in_a_day() -> None:
    found = by_folder()
    assert found.total() - found["docs/evidence"] <= MOST_WORDS


def test_the_readme_and_the_changelog_are_short() -> None:
    readme = (ROOT / "README.md").read_text()
    assert words(readme) <= 900
    assert words(readme.partition("```sh")[0]) <= 250
    assert words((ROOT / "CHANGELOG.md").read_text()) <= 500


def test_dates_and_commits_are_evidence() -> None:
    assert [(name(page), found) for page in UNDATED for found in DATED.findall(_CODE.sub("", written(page)))] == []


def test_a_page_uses_the_words_of_the_glossary() -> None:
    texts = {name(page): _LINK.sub("]", _CODE.sub("", written(page))) for page in pages()}
    assert [(page, found) for page, text in texts.items() for found in REPLACED.findall(text)] == []


def test_generated_tables_are_marked() -> None:
    texts = {name(page): page.read_text() for page in (*FILLED, ROOT / "docs" / "reference" / "settings.md")}
    table = re.compile(r"^<!-- (?!frames|source|lacking)\w+: ", re.MULTILINE)
    with_tables = {page: " ".join(text.split()) for page, text in texts.items() if table.search(text)}
    assert [page for page, text in with_tables.items() if "`./dev docs`" not in text] == []


@pytest.mark.parametrize("text", ["on 2026-11-28", "on 26 November 2026", "commit 1f530aba", "it was tried"])
def test_a_date_is_noticed(text: str) -> None:
    assert DATED.search(text)
