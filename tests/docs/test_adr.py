"""The decision records (ADR) have one form, and the index lists all of them."""

import re
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "docs" / "adr"
INDEX = (FOLDER / "README.md").read_text()
RECORDS = sorted(FOLDER.glob("[0-9]*.md"))


def test_each_record_has_a_number_of_its_own() -> None:
    numbers = [path.name[:4] for path in RECORDS]
    assert len(set(numbers)) == len(numbers)


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: path.stem)
def test_a_record_is_one_page_of_four_parts_or_a_short_one_of_a_removal(path: Path) -> None:
    text = path.read_text()
    parts = re.findall(r"^## (.+)$", text, re.MULTILINE)
    assert parts == ["Context", "Decision", "Evidence", "Consequence"] or (not parts and "removed" in text)
    assert text.count("\n") <= (60 if parts else 20)
    assert re.search(r"^Date: 20\d\d-\d\d-\d\d\.", text, re.MULTILINE)
    heading = re.match(r"# (\d{4}) (.+)\n", text)
    assert heading is not None
    assert f"- [{heading[1]}]({path.name}) {heading[2]}\n" in INDEX
