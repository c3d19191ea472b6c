"""Fills the pages of docs/ with tested frames, and with tables that are made from the code.

The text between `<!-- KIND: NAME -->` and `<!-- end -->` on a page is replaced.
- `frames: SECTION`: the section's shown vectors of the page's dialect
- `table: NAME`: a table of docs/interop.py
- `lacking: DIALECT`: the events and requests for which the dialect has no frames, from docs/interop.py
- `source: PATH`: the text of that file
- `reference: NAME`: a table of `_REFERENCE`
Run it from the root: `python -m docs.generate`.
"""

import json
import re
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from docs.bus_document import bus_document
from docs.diagrams import diagrams
from docs.interop import TABLES, lacking
from docs.native import operations
from docs.native_documents import documents
from docs.reference import alerts, commands, exit_codes, languages, metrics, packages
from services.edge.dialects.registry import DIALECTS
from tests import vectors

ROOT = Path(__file__).parents[1]
PROTOCOLS = ROOT / "docs" / "protocols"
_PLACE = re.compile(
    r"(<!-- (?P<kind>frames|table|lacking|source|reference): (?P<name>.+?) -->\n)"
    r".*?(<!-- end -->)",
    re.DOTALL,
)


def _dialect(page: Path) -> str:
    """The dialect of the frames on a page; empty if it has none."""
    folder = page.relative_to(ROOT / "docs").parts[:-1]
    if folder in (("build",), ("protocols", "native")):
        return "native"
    if page.name == "dialect-tutorial.md":
        return "sample-irc"
    return page.stem if folder == ("protocols",) and page.name != "README.md" else ""


PAGES: Mapping[Path, str] = {
    page: _dialect(page)
    for page in sorted((ROOT / "docs").rglob("*.md"))
    if _PLACE.search(page.read_text(encoding="utf-8"))
}
"""Each page that has places to fill, with the dialect of its frames."""

_REFERENCE = {
    "operations": operations, "commands": commands, "exit codes": exit_codes, "metrics": metrics, "alerts": alerts,
    "packages": packages, "languages": languages,
}  # fmt: skip
_WIDTH = 110
_ANY_TIME = "the service did not answer in time"
"""The error that each operation may have at any time. It is not shown as the error of an operation."""
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
        case "reference":
            return "\n" + _REFERENCE[name]()
        case "lacking":
            return "\n" + lacking(next(entry for entry in DIALECTS if entry.name == name))
        case _:
            source = (ROOT / name).read_text(encoding="utf-8")
            return f"\n```{_LANGUAGES[Path(name).suffix]}\n{source}```\n"


def block(vector: dict[str, Any]) -> str:
    """A vector as text: a caption, and the frames from the client (→) and from the server (←)."""
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
        if number and (error := native_error(reply["out"])):
            if _ANY_TIME not in error:
                yield f"or, {error}"
            continue
        if number:
            yield f"or, {reason(reply)}"
        yield from (arrow("←", frame) for frame in reply["out"])
        for action in reply.get("then", []):
            yield from reply_lines(action.get("request", {}))
            if "disconnect" in action:
                yield f"(the connection closes with {action['disconnect'][0]})"
        if not (reply["out"] or reply.get("then")):
            yield nothing


def native_error(frames: list[Any]) -> str:
    """The error of native in one line, because all errors of native have one shape. Empty for any other reply."""
    match frames:
        case [{"re": _, "error": {"code": code, "text": text, **more}}]:
            why = f", {more.pop('reason')}" if "reason" in more else ""
            members = ", ".join(f"{name} {json.dumps(value, ensure_ascii=False)}" for name, value in more.items())
            return f"{code}{why}: {text}" + (f" ({members})" if members else "")
        case _:
            return ""


def reason(reply: dict[str, Any]) -> str:
    """The words before an alternative reply, which say when it is sent. They are its error or its type."""
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
    return f"{direction} {laid_out(frame)}"


def laid_out(value: Any, indent: int = 2) -> str:
    """JSON on one line if it fits, otherwise with each member on its own line."""
    line = json.dumps(value, ensure_ascii=False)
    if len(line) + indent <= _WIDTH or not isinstance(value, dict | list):
        return line
    margin = " " * (indent + 2)
    if isinstance(value, dict):
        parts = [f"{json.dumps(name)}: {laid_out(one, indent + 2)}" for name, one in value.items()]
        return "{\n" + ",\n".join(f"{margin}{part}" for part in parts) + f"\n{' ' * indent}}}"
    parts = [laid_out(one, indent + 2) for one in value]
    if any(isinstance(one, dict | list) for one in value):
        return "[\n" + ",\n".join(f"{margin}{part}" for part in parts) + f"\n{' ' * indent}]"
    filled_lines = textwrap.fill(", ".join(parts), _WIDTH, initial_indent=margin, subsequent_indent=margin)
    return f"[\n{filled_lines}\n{' ' * indent}]"


def pages() -> Iterator[tuple[Path, str]]:
    """Every page with something to fill in, and its up-to-date text."""
    for page, dialect in PAGES.items():
        shown = json.loads(vectors.path_of(dialect).read_bytes())["vectors"] if dialect else []
        yield page, filled(page.read_text(encoding="utf-8"), shown)


def files() -> Iterator[tuple[Path, str]]:
    """Every page, and the documents of the native dialect and the bus for programs."""
    yield from pages()
    yield ROOT / "docs" / "bus.asyncapi.json", bus_document()
    yield from diagrams()
    for path, text in documents().items():
        yield ROOT / path, text


def main() -> None:
    for page, text in files():
        page.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
