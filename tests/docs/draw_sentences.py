"""Draws random sentences for a reader: `python -m tests.docs.draw_sentences --seed 7 --each 10`.

The reader knows chat servers but not this project, and says which sentences are understood at first reading. Each
sentence is shown with the three lines before and after it, below its heading or the signature of its function. The
lines of the sentence are marked by `>`.
"""

import argparse
import ast
import io
import random
import re
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from docs.sizes import ROOT, pages, written

CODE = ("services", "shared", "local", "bench", "dragoman", "dragoman_client", "deploy", "docs", "tests")
_MARKS = re.compile(r"(ruff|noqa|type:|mypy|fmt:|pragma|!|pyright)")
_BLOCKS = re.compile(r"^ *```.*?^ *```|^\|.*?$|^#.*?$|^<.*?$", re.DOTALL | re.MULTILINE)
_FEWEST_WORDS = 5
_LINES_AROUND = 3
_ITEMS = re.compile(r"\n\s*\n|^\s*(?:-|\d+\.) ", re.MULTILINE)
_HEADINGS = {".md": re.compile(r"##* "), ".py": re.compile(r" *(?:async )?(?:def|class) ")}
_BETWEEN_WORDS = r"""[\s#>]*["']?[\s(]*f?["']?"""


class Sentence(NamedTuple):
    text: str
    file: Path
    line: int
    """The first line of the text that contains the sentence."""

    def surroundings(self) -> str:
        text = self.file.read_text(encoding="utf-8")
        lines = text.splitlines()
        words = (re.escape(word).replace("…", ".+?") for word in self.text.split())
        start = sum(len(line) + 1 for line in lines[: self.line - 1])
        found = re.compile(_BETWEEN_WORDS.join(words)).search(text, start)
        first, last = (text.count("\n", 0, at) for at in (found.span() if found else (start, start)))
        around = range(max(first - _LINES_AROUND, 0), min(last + _LINES_AROUND + 1, len(lines)))
        shown = [f"   {'>' if first <= at <= last else ' '} {lines[at]}".rstrip() for at in around]
        depth = len(lines[first]) - len(lines[first].lstrip()) or len(lines[first])
        headings = (at for at in range(first, -1, -1) if _HEADINGS[self.file.suffix].match(lines[at][:depth]))
        heading = next(headings, around.start)
        return "\n".join(shown if heading >= around.start else [f"     {lines[heading]}", "     …", *shown])


def sentences(text: str) -> list[str]:
    """Returns the sentences of a text, without its layout and without the shortest ones."""
    parts = (re.sub(r"\s+", " ", part).strip() for part in _ITEMS.split(text))
    found = (one for part in parts for one in re.split(r"(?<=[.!?:]) (?=[A-Z`*])", part))
    return [one for one in found if len(one.split()) >= _FEWEST_WORDS]


def of_docs() -> Iterator[Sentence]:
    for page in pages():
        if "evidence" not in page.parts:
            yield from (Sentence(one, page, 1) for one in sentences(_BLOCKS.sub("", written(page))))


def of_docstrings() -> Iterator[Sentence]:
    for file, tree in trees():
        for node in ast.walk(tree):
            if (found := docstring(node)) is not None:
                yield from (Sentence(one, file, found.lineno) for one in sentences(ast.literal_eval(found)))


def docstring(node: ast.AST) -> ast.Constant | None:
    """Returns the string if it is a docstring: it stands alone in a module, class or function, or below a field."""
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
        return node.value
    return None


def of_comments() -> Iterator[Sentence]:
    for file in files():
        block, first, last = "", 1, 0
        for token in tokenize.generate_tokens(io.StringIO(file.read_text(encoding="utf-8")).readline):
            text = token.string.lstrip("# ")
            if token.type != tokenize.COMMENT or _MARKS.match(text):
                continue
            if token.start[0] != last + 1 or not token.line.lstrip().startswith("#"):
                yield from (Sentence(one, file, first) for one in sentences(block))
                block, first = "", token.start[0]
            block, last = f"{block}\n{text}", token.start[0]
        yield from (Sentence(one, file, first) for one in sentences(block))


def of_messages() -> Iterator[Sentence]:
    """Yields the texts that the product prints, logs, raises and explains.

    These are strings of words that are not docstrings.
    """
    for file, tree in trees():
        if "tests" in file.parts:
            continue
        alone = {id(found) for node in ast.walk(tree) if (found := docstring(node)) is not None}
        for node in ast.walk(tree):
            match node:
                case ast.JoinedStr(values=parts):
                    alone.update(id(part) for part in parts)
                case ast.Call(func=ast.Attribute(attr="split", value=words)):
                    alone.add(id(words))
                case _:
                    pass
            if id(node) not in alone and (text := message(node)):
                yield from (Sentence(one, file, node.lineno) for one in sentences(text))  # type: ignore[attr-defined]


def message(node: ast.AST) -> str:
    match node:
        case ast.Constant(value=str(text)):
            pass
        case ast.JoinedStr(values=values):
            text = "".join(str(one.value) if isinstance(one, ast.Constant) else "…" for one in values)
        case _:
            return ""
    is_code = re.search(r"[<>{}\\;=]|\b(SELECT|INSERT|UPDATE|DELETE|WHERE)\b|://", text)
    return "" if is_code or not re.search(r"[a-z]+ [a-z]+ [a-z]+", text) else text


def files() -> list[Path]:
    found = (file for folder in CODE for file in sorted((ROOT / folder).rglob("*.py")))
    return [file for file in found if "migrations" not in file.parts and "node_modules" not in file.parts]


def trees() -> Iterator[tuple[Path, ast.AST]]:
    return ((file, ast.parse(file.read_text(encoding="utf-8"))) for file in files())


POOLS = {"docs": of_docs, "docstrings": of_docstrings, "comments": of_comments, "messages": of_messages}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--each", type=int, default=10)
    options = parser.parse_args()
    dice = random.Random(options.seed)
    for name, pool in POOLS.items():
        found = list(pool())
        sys.stdout.write(f"\n{name}: {options.each} of {len(found):,}\n")
        for number, one in enumerate(dice.sample(found, options.each), 1):
            sys.stdout.write(f"\n{number:4} {one.text}\n     ({one.file.relative_to(ROOT)})\n{one.surroundings()}\n")


if __name__ == "__main__":
    main()
