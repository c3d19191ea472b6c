"""Checks names, comments and docstrings: they use the words of the glossary, and each class name is used only once.

`python -m tests.house.vocabulary [PATH ...]` prints each violation as `file:line: message`, and exits with status 1 if
there is one. Names are read from the syntax tree. In prose, only old words without an ordinary meaning count.
`tests/docs/test_pages.py` checks the pages.
"""

import ast
import gc
import io
import re
import sys
import tokenize
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
_GENERATED = Path("dragoman_client/native.py")
"""A generated file. Its classes come from the table of operations."""
PRODUCT = ("dragoman", "dragoman_client", "bench", "services", "local", "shared", "docs", "deploy", "dev")
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
    "hook": "webhook", "hooks": "webhooks",
    "notice": "event or announcement", "notices": "events or announcements",
    "town": "cluster", "world": "backend or model",
    "who": "the sender, recipient, caller or peer", "whom": "the recipient", "whose": "the owner",
}  # fmt: skip
"""For each word of the old vocabulary, the word of the glossary."""

PROSE = {
    "trials?": "end-to-end test, or drill",
    "former": "previous, or past",
    "anew": "again",
    "event-loop ticks?|ticks? of the event loop": "event-loop iteration",
    "rights": "permissions",
    "spares?": "standby",
    "rosters?": "member list",
    "envelopes?": "delivery batch",
    "backlogs?": "unread messages",
    "look-ups?": "lookup",
    "processor time": "CPU time",
    "prototype": "baseline",
    "operations page": "status page",
    "way of a message": "message path",
    "the version before": "the previous version",
    "heals?|mends?": "recover, or fix",
    "(?:incoming|outgoing) hooks?": "webhook",
    "doubled": "duplicated",
    "violated": "failed",
    "proven": "passed",
}
"""For each old word without an ordinary meaning here, as a regular expression, the word of the glossary."""

INTERFACE = {
    **dict.fromkeys(
        (
            "hook",
            "hooks",
            "outgoing_hooks",
            "list_hooks",
            "delete_hook",
            "CreateHookParameters",
            "CreateHookResult",
            "CreateOutgoingHookParameters",
            "CreateOutgoingHookResult",
            "DeleteHookParameters",
            "HookInfo",
            "HooksResult",
            "MadeHookInfo",
            "OutgoingHookInfo",
            "OutgoingHooksResult",
            "ReplayOutgoingHookParameters",
            "ReplayOutgoingHookResult",
        ),
        "operations and members of native, fields on the bus, and tables",
    ),
    "face": "field on the bus (Draft, Delivery)",
    "faces": "field on the bus (ProfileSummaries)",
    "outcome": "field on the bus (Opened)",
    "refuse_common_passwords": "setting of auth",
    "NoticeEvent": "type of an event of native",
    "notice": "column of a table",
    "people": "option --people of dragoman bench",
    "refusals": "field of the result of dragoman bench (--json)",
}
"""Identifiers that other versions, operators or protocols depend on, each with the reason."""


_OLD = re.compile(rf"\b(?:{'|'.join(PROSE)})\b", re.IGNORECASE)
_QUOTED = re.compile(r"`[^`]*`|\"(?!\"\")[^\"]*\"")


class NameViolation(NamedTuple):
    file: Path
    line: int
    text: str


class Identifier(NamedTuple):
    name: str
    line: int
    is_class: bool = False


def identifiers(tree: ast.AST) -> Iterator[Identifier]:
    """Yields each name that the module defines: classes, functions, parameters, variables, and attributes of `self`."""
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
    """Splits a name into its words: `MessageBatch` and `message_batch` both give message and batch."""
    return [word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)]


def old_words(file: Path, tree: ast.AST) -> Iterator[NameViolation]:
    for identifier in identifiers(tree):
        if identifier.name in INTERFACE:
            continue
        text = identifier.name.replace("dead_letter", "").replace("DeadLetter", "").replace("DEAD_LETTER", "")
        for word in words(text):
            if word in REPLACED:
                yield NameViolation(file, identifier.line, f"{identifier.name}: {word} is {REPLACED[word]}")


def old_prose(file: Path, text: str) -> Iterator[NameViolation]:
    """Yields the old words in comments and docstrings, except those in quotations."""
    if not _OLD.search(text):
        return
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        is_docstring = token.type == tokenize.STRING and token.line.lstrip("r").lstrip().startswith('"""')
        if is_docstring or token.type == tokenize.COMMENT:
            for found in _OLD.finditer(_QUOTED.sub("", token.string)):
                word = next(new for old, new in PROSE.items() if re.fullmatch(old, found[0], re.IGNORECASE))
                yield NameViolation(file, token.start[0], f"{found[0]} is {word}")


def repeated_classes(trees: dict[Path, ast.AST]) -> Iterator[NameViolation]:
    """Checks only classes at module level. A nested class has its owner's name before its own."""
    seen: dict[str, Path] = {}
    for file, tree in trees.items():
        for node in ast.iter_child_nodes(tree):
            if isinstance(node, ast.ClassDef) and file != _GENERATED:
                if node.name in seen:
                    yield NameViolation(file, node.lineno, f"class {node.name} is also in {seen[node.name]}")
                seen.setdefault(node.name, file)


def read(roots: tuple[str, ...]) -> dict[Path, ast.AST]:
    """Reads the sources. `roots` are directories of the repository, or files."""
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
            yield from old_prose(file, (ROOT / file).read_text(encoding="utf-8"))
        yield from repeated_classes(trees)


def main(arguments: list[str]) -> int:
    gc.disable()  # all trees stay in memory, so a garbage collection would find nothing
    found = [one for one in violations() if not arguments or any(str(one.file).startswith(path) for path in arguments)]
    for file, line, text in found:
        print(f"{file}:{line}: {text}")  # noqa: T201
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
