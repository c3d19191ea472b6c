"""The site has all pages. These tests do not build it: `./dev docs --site` does, and downloads its tools."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from docs.site import ROOT, broken, configuration, foreign, stage, translated

IMAGE_BYTES = 250_000


def menu(entries: list[dict[str, Any]]) -> Iterator[str]:
    for entry in entries:
        for value in entry.values():
            yield from menu(value) if isinstance(value, list) else [value]


def test_the_menu_has_every_page_but_records(tmp_path: Path) -> None:
    stage(tmp_path)
    pages = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.md")}
    listed = menu(tomllib.loads(configuration(tmp_path))["project"]["nav"])
    assert sorted(listed) == sorted(page for page in pages if "/adr/0" not in page and "/evidence/" not in page)


def test_every_link_leads_to_a_file_of_the_site(tmp_path: Path) -> None:
    stage(tmp_path)
    links = [
        (page, link)
        for page in tmp_path.rglob("*.md")
        for link in re.findall(
            r"\]\(([^)#:]+)[)#]", re.sub(r"^ *```.*?^ *```|`[^`]*`", "", page.read_text(), flags=re.S | re.M)
        )
    ]
    assert len(links) > 500
    assert [(page.name, link) for page, link in links if not (page.parent / link).exists()] == []


def test_pages_are_translated_from_the_markdown_of_git_hub() -> None:
    page = "[all](protocols/README.md#messages)\n- a\n  - b\n\n```text\n  - README.md)\n```\n"
    assert translated(page) == "[all](protocols/index.md#messages)\n- a\n    - b\n\n```text\n  - README.md)\n```\n"


def test_programs_one_after_the_other_stand_side_by_side() -> None:
    page = "Send:\n\n```sh\nsend\n```\n\n```js\nsend();\n```\n\nDone.\n\n```sh\nalone\n```\n"
    assert translated(page) == (
        'Send:\n\n=== "curl"\n\n    ```sh\n    send\n    ```\n\n=== "JavaScript"\n\n    ```js\n    send();\n    ```\n'
        "\nDone.\n\n```sh\nalone\n```\n"
    )


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


def test_what_comes_from_another_server_is_found(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text(
        '<script src="https://a/x.js"></script><link rel="stylesheet" href="https://b/x.css"><a href="https://c/">1</a>'
        '<link rel="canonical" href="https://d/"><img src="own.png">'
    )
    (tmp_path / "own.css").write_text("@font-face { src: url('https://e/font') }")
    assert list(foreign(tmp_path)) == [
        "index.html: https://a/x.js",
        "index.html: https://b/x.css",
        "own.css: https://e/font",
    ]


def test_pictures_are_small() -> None:
    """`./dev screens` makes the screenshots, and `./dev docs` makes the diagrams."""
    pictures = [*(ROOT / "docs" / "images").iterdir()]
    assert [picture.name for picture in pictures if picture.stat().st_size > IMAGE_BYTES] == []
