"""The site has all pages; building it is left to `./dev docs --site`, which downloads its tools."""

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from docs.site import ROOT, broken, stage, translated

CONFIGURATION = tomllib.loads((ROOT / "docs" / "site.toml").read_text())["project"]
IMAGE_BYTES = 300_000


def menu(entries: list[dict[str, Any]]) -> Iterator[str]:
    for entry in entries:
        for value in entry.values():
            yield from menu(value) if isinstance(value, list) else [value]


def test_the_menu_has_every_page_but_the_decisions_one_by_one(tmp_path: Path) -> None:
    stage(tmp_path)
    pages = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.md")}
    assert sorted(menu(CONFIGURATION["nav"])) == sorted(page for page in pages if "/adr/0" not in page)


def test_pages_are_translated_from_the_markdown_of_git_hub() -> None:
    page = "[all](protocols/README.md#messages)\n- a\n  - b\n\n```text\n  - README.md)\n```\n"
    assert translated(page) == "[all](protocols/index.md#messages)\n- a\n    - b\n\n```text\n  - README.md)\n```\n"


def test_broken_links_are_found(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text(
        '<h1 id="top">x</h1> <a href="#top">1</a> <a href="a/index.html#b">2</a> <a href="a/">3</a> <a href="https://x/">4</a>'
        '<a href="#no">5</a> <a href="a/index.html#no">6</a> <img src="no.png"> <a href="no/">8</a>'
    )
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "index.html").write_text('<h1 id="b">x</h1> <a href="../index.html#top">9</a>')
    assert sorted(broken(tmp_path)) == [
        "index.html: #no", "index.html: a/index.html#no", "index.html: no.png", "index.html: no/",
    ]  # fmt: skip


def test_pictures_are_small() -> None:
    """They are made by `./dev screens`."""
    pictures = [*(ROOT / "docs" / "images").iterdir()]
    assert {picture.name for picture in pictures} == {"dashboard.png", "first-page.png", "first-page.webp"}
    assert [picture.name for picture in pictures if picture.stat().st_size > IMAGE_BYTES] == []
