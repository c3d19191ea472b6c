"""Counts the words of the pages: `python -m docs.sizes` prints the numbers by folder. Evidence is counted separately,
because nobody has to read it."""

import re
import sys
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[1]
_GENERATED = re.compile(r"^<!-- \w+: .+? -->$.*?^<!-- end -->$", re.DOTALL | re.MULTILINE)


def pages() -> list[Path]:
    return sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])


def words(text: str) -> int:
    return len(text.split())


def written(page: Path) -> str:
    """The text of the page without the parts that `./dev docs` writes."""
    return _GENERATED.sub("", page.read_text(encoding="utf-8"))


def by_folder() -> Counter[str]:
    found = Counter[str]()
    for page in pages():
        found[str(page.parent.relative_to(ROOT))] += words(page.read_text(encoding="utf-8"))
    return found


def main() -> None:
    found = by_folder()
    evidence = found["docs/evidence"]
    lines = [f"{number:7,} {folder}" for folder, number in sorted(found.items())]
    sys.stdout.write("\n".join([*lines, f"{found.total() - evidence:7,} without evidence", ""]))


if __name__ == "__main__":
    main()
