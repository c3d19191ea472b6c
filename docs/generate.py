"""Puts the frames of tests/vectors into the pages of docs/protocols, so that what the pages show is what is tested.

A page says where: what stands between `<!-- frames: SECTION -->` and `<!-- end -->` is replaced by the section's
shown vectors. Run it from the root: `python -m docs.generate`.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PAGES = ROOT / "docs" / "protocols"
VECTORS = ROOT / "tests" / "vectors"

_PLACE = re.compile(r"(<!-- frames: (?P<section>.+?) -->\n).*?(<!-- end -->)", re.DOTALL)
_WIDTH = 110


def filled(page: str, vectors: list[dict[str, Any]]) -> str:
    """The page with its frames as the vectors have them."""

    def fill(place: re.Match[str]) -> str:
        blocks = [block(vector) for vector in vectors if vector["section"] == place["section"] and vector.get("shown")]
        return place[1] + "".join(blocks) + "\n" + place[3]

    return _PLACE.sub(fill, page)


def block(vector: dict[str, Any]) -> str:
    """One vector as a caption and its frames: from the client (→), from the server (←)."""
    name, lines = vector["name"], "\n".join(shown_lines(vector))
    return f"\n{name[0].upper()}{name[1:]}:\n\n```text\n{lines}\n```\n"


def shown_lines(vector: dict[str, Any]) -> Iterator[str]:
    if "in" in vector:
        yield arrow("→", vector["in"])
    for frame in vector.get("out", []):
        yield arrow("←", frame)
    for number, reply in enumerate(vector.get("replies", [])):
        if number:
            yield f"or, {reason(reply)}"
        for frame in reply["out"]:
            yield arrow("←", frame)
        if not reply["out"]:
            yield "(nothing yet)"


def reason(reply: dict[str, Any]) -> str:
    """What makes this reply another than the first."""
    if "failure" in reply:
        return f"{reply['failure']['code'].replace('_', ' ')}:"
    ((kind, _),) = reply["answer"].items()
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", kind).lower() + ":"


def arrow(direction: str, frame: Any) -> str:
    if isinstance(frame, str):
        return f"{direction} {frame}"
    line = json.dumps(frame, ensure_ascii=False)
    if len(line) > _WIDTH:
        line = json.dumps(frame, ensure_ascii=False, indent=2).replace("\n", "\n  ")
    return f"{direction} {line}"


def pages() -> Iterator[tuple[Path, str]]:
    """Every page that has vectors, and its text as it should be."""
    for page in sorted(PAGES.glob("*.md")):
        vectors = VECTORS / f"{page.stem.replace('-', '_')}.json"
        if vectors.exists():
            text = page.read_text(encoding="utf-8")
            yield page, filled(text, json.loads(vectors.read_text(encoding="utf-8"))["vectors"])


def main() -> None:
    for page, text in pages():
        page.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
