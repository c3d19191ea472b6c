"""Checks the names in the code: the glossary's words, and each class name for one thing only.

`python -m tests.house.vocabulary [PATH ...]` prints each violation as `file:line: message` and exits 1 if there is one.
Only identifiers are read, by AST: prose may use a word in its ordinary sense.
"""

import ast
import gc
import re
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
PRODUCT = ("dragoman", "bench", "services", "local", "shared", "clients", "docs", "deploy", "dev")
TESTS = ("tests",)

REPLACED = {
    "say": "send", "says": "sends", "said": "sent", "saying": "message",
    "tell": "notify, push or publish", "tells": "notifies", "told": "notified", "telling": "notifying",
    "ask": "request", "asks": "requests", "asked": "requested", "asking": "request",
    "face": "profile summary", "faces": "profile summaries",
    "resident": "local account", "residents": "local accounts", "whereabouts": "presence snapshot", "homes": "nodes",
    "refuse": "reject", "refuses": "rejects", "refused": "rejected",
    "refusal": "error reply", "refusals": "error replies",
    "outcome": "result", "outcomes": "results", "verdict": "decision", "verdicts": "decisions",
    "withhold": "hold pending verification", "withheld": "pending verification",
    "board": "dashboard", "boards": "dashboards", "herald": "system account", "letter": "mail", "letters": "mails",
    "people": "users", "somebody": "a user", "anybody": "any user", "everybody": "all members", "whoever": "the caller",
    "town": "cluster", "world": "backend or model",
    "who": "the sender, recipient, caller or peer", "whom": "the recipient", "whose": "the owner",
}  # fmt: skip
"""A word of the old vocabulary, and the glossary's."""

INTERFACE = {
    "face": "field on the bus (Draft, Delivery)",
    "faces": "field on the bus (ProfileSummaries)",
    "outcome": "field on the bus (Opened)",
    "refuse_common_passwords": "setting of auth",
    "people": "option --people of dragoman bench",
    "refusals": "field of the result of dragoman bench (--json)",
}
"""Identifiers that other versions, operators or protocols depend on, and the reason."""


class NameViolation(NamedTuple):
    file: Path
    line: int
    text: str


class Identifier(NamedTuple):
    name: str
    line: int
    is_class: bool = False


def identifiers(tree: ast.AST) -> Iterator[Identifier]:
    """Each name that the module defines: classes, functions, parameters, variables, attributes of self."""
    for node in ast.walk(tree):
        match node:
            case ast.ClassDef():
                yield Identifier(node.name, node.lineno, is_class=True)
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                yield Identifier(node.name, node.lineno)
            case ast.arg():
                yield Identifier(node.arg, node.lineno)
            case ast.Name(ctx=ast.Store()):
                yield Identifier(node.id, node.lineno)
            case ast.Attribute(value=ast.Name(id="self"), ctx=ast.Store()):
                yield Identifier(node.attr, node.lineno)
            case _:
                pass


def words(name: str) -> list[str]:
    """`MessageBatch` and `message_batch` are both message, batch."""
    return [word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)]


def old_words(file: Path, tree: ast.AST) -> Iterator[NameViolation]:
    for identifier in identifiers(tree):
        if identifier.name in INTERFACE:
            continue
        text = identifier.name.replace("dead_letter", "").replace("DeadLetter", "").replace("DEAD_LETTER", "")
        for word in words(text):
            if word in REPLACED:
                yield NameViolation(file, identifier.line, f"{identifier.name}: {word} is {REPLACED[word]}")


def repeated_classes(trees: dict[Path, ast.AST]) -> Iterator[NameViolation]:
    """Module-level classes only: a nested class bears its owner's name."""
    seen: dict[str, Path] = {}
    for file, tree in trees.items():
        for node in ast.iter_child_nodes(tree):
            if isinstance(node, ast.ClassDef):
                if node.name in seen:
                    yield NameViolation(file, node.lineno, f"class {node.name} is also in {seen[node.name]}")
                seen.setdefault(node.name, file)


def read(roots: tuple[str, ...]) -> dict[Path, ast.AST]:
    """`roots`: directories of the repository, or files."""
    paths = [ROOT / root for root in roots]
    files = [file for path in paths for file in ([path] if path.is_file() else sorted(path.rglob("*.py")))]
    return {file.relative_to(ROOT): parsed(file) for file in files if "migrations" not in file.parts}


@cache
def parsed(file: Path) -> ast.AST:
    return ast.parse(file.read_text())


def violations() -> Iterator[NameViolation]:
    for roots in (PRODUCT, TESTS):
        trees = read(roots)
        for file, tree in trees.items():
            yield from old_words(file, tree)
        yield from repeated_classes(trees)


def main(arguments: list[str]) -> int:
    gc.disable()  # all trees are kept
    found = [one for one in violations() if not arguments or any(str(one.file).startswith(path) for path in arguments)]
    for file, line, text in found:
        print(f"{file}:{line}: {text}")  # noqa: T201
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
