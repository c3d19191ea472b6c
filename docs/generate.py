"""Fills the pages of docs/ with frames and tables that are tested or computed from the code.

The text between `<!-- KIND: NAME -->` and `<!-- end -->` on a page is replaced.
- `frames: SECTION`: the section's shown vectors of the page's dialect
- `table: NAME`: a table of docs/interop.py
- `operations: native`: the table of the operations of that dialect
- `lacking: DIALECT`: what that dialect has no frames for, from docs/interop.py
- `source: PATH`: that file
- `capacity: NAME`: a table of docs/capacity.py
- `languages: NAME`: a table of docs/languages.py
Run it from the root: `python -m docs.generate`.
"""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from docs.bus_document import bus_document
from docs.capacity import CAPACITY
from docs.interop import TABLES, lacking
from docs.languages import languages
from docs.native import operations
from docs.native_documents import documents
from services.edge.dialects.registry import DIALECTS
from tests import vectors

ROOT = Path(__file__).parents[1]
PROTOCOLS = ROOT / "docs" / "protocols"
PAGES: Mapping[Path, str] = {
    **{PROTOCOLS / f"{entry.name}.md": entry.name for entry in DIALECTS},
    PROTOCOLS / "README.md": "",
    ROOT / "docs" / "adding-a-dialect.md": "sample-irc",
    ROOT / "docs" / "capacity.md": "",
    ROOT / "docs" / "search-languages.md": "",
}
"""Each page with the dialect of its frames."""

_PLACE = re.compile(
    r"(<!-- (?P<kind>frames|table|lacking|source|capacity|operations|languages): (?P<name>.+?) -->\n).*?(<!-- end -->)",
    re.DOTALL,
)
_WIDTH = 110
_LANGUAGES = {".py": "python", ".json": "json"}


def filled(page: str, shown: list[dict[str, Any]]) -> str:
    """The page with the frames of these vectors and the present tables and sources."""

    def fill(place: re.Match[str]) -> str:
        return place[1] + content(place["kind"], place["name"], shown) + "\n" + place[4]

    return _PLACE.sub(fill, page)


def content(kind: str, name: str, shown: list[dict[str, Any]]) -> str:
    match kind:
        case "frames":
            return "".join(block(vector) for vector in shown if vector["section"] == name and vector.get("shown"))
        case "table":
            return "\n" + TABLES[name](DIALECTS)
        case "operations":
            return "\n" + operations()
        case "capacity":
            return "\n" + CAPACITY[name]()
        case "languages":
            return "\n" + languages(name)
        case "lacking":
            return "\n" + lacking(next(entry for entry in DIALECTS if entry.name == name))
        case _:
            source = (ROOT / name).read_text(encoding="utf-8")
            return f"\n```{_LANGUAGES[Path(name).suffix]}\n{source}```\n"


def block(vector: dict[str, Any]) -> str:
    """One vector as a caption and its frames: from the client (→), from the server (←)."""
    name, lines = vector["name"], "\n".join(shown_lines(vector))
    return f"\n{name[0].upper()}{name[1:]}:\n\n```text\n{lines}\n```\n"


def shown_lines(vector: dict[str, Any]) -> Iterator[str]:
    if "in" in vector:
        yield arrow("→", vector["in"])
    for frame in vector.get("out", []):
        yield arrow("←", frame)
    if "closed" in vector:
        yield "(the connection closes with {}: {})".format(*vector["closed"])
    yield from reply_lines(vector)
    for action in vector.get("actions", []):
        yield from (arrow("←", frame) for frame in action.get("reply", []))
        yield from reply_lines(action.get("request", {}))
        if "disconnect" in action:
            yield f"(the connection closes with {action['disconnect'][0]})"
    for request in vector.get("requests", []):
        yield from reply_lines(request, "(nothing)")
    if vector.get("actions") == []:
        yield "(no reply)"


def reply_lines(request: dict[str, Any], nothing: str = "(nothing yet)") -> Iterator[str]:
    """The frames of each reply to a request."""
    for number, reply in enumerate(request.get("replies", [])):
        if number:
            yield f"or, {reason(reply)}"
        for frame in reply["out"]:
            yield arrow("←", frame)
        if not reply["out"]:
            yield nothing


def reason(reply: dict[str, Any]) -> str:
    """The condition of a reply other than the first."""
    if "failure" in reply:
        return f"{reply['failure']['code'].replace('_', ' ')}:"
    ((kind, _),) = reply["answer"].items()
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", kind).lower() + ":"


def arrow(direction: str, frame: Any) -> str:
    if isinstance(frame, str):
        return f"{direction} {frame}"
    if "binary" in frame:
        return f"{direction} (binary) {frame['binary']}"
    if "announcement" in frame:
        return f"{arrow(direction, frame['announcement'])}\n{direction} (binary frames: {frame['packages']})"
    line = json.dumps(frame, ensure_ascii=False)
    if len(line) > _WIDTH:
        line = json.dumps(frame, ensure_ascii=False, indent=2).replace("\n", "\n  ")
    return f"{direction} {line}"


def pages() -> Iterator[tuple[Path, str]]:
    """Every page with something to fill in, and its up-to-date text."""
    for page, dialect in PAGES.items():
        shown = json.loads(vectors.path_of(dialect).read_bytes())["vectors"] if dialect else []
        yield page, filled(page.read_text(encoding="utf-8"), shown)


def files() -> Iterator[tuple[Path, str]]:
    """Every page, and what the native dialect and the bus have for programs."""
    yield from pages()
    yield ROOT / "docs" / "bus.asyncapi.json", bus_document()
    for path, text in documents().items():
        yield ROOT / path, text


def main() -> None:
    for page, text in files():
        page.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
