"""The decision records have one form and are listed."""

import re
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "docs" / "adr"
INDEX = (FOLDER / "README.md").read_text()
RECORDS = sorted(FOLDER.glob("[0-9]*.md"))


def test_records_are_numbered_without_a_hole() -> None:
    assert [int(path.name[:4]) for path in RECORDS] == list(range(1, len(RECORDS) + 1))


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: path.stem)
def test_a_record_is_one_page_of_four_parts(path: Path) -> None:
    text = path.read_text()
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == ["Context", "Decision", "Evidence", "Consequence"]
    assert text.count("\n") <= 60
    heading = re.match(r"# (\d{4}) (.+)\n", text)
    assert heading is not None
    assert f"- [{heading[1]}]({path.name}) {heading[2]}\n" in INDEX
