"""Every command on the pages exists, and so do all its options."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from dragoman.main import main
from tests.drills.__main__ import drills
from tests.support.commands import subcommands

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob(".github/**/*.md")])
DEV = re.compile(r'^ +"(\w+)": Command\(', re.MULTILINE)
_FENCED = re.compile(r"^ *```(?:sh|console)\n(.*?)^ *```", re.DOTALL | re.MULTILINE)
_INLINE = re.compile(r"`([^`\n]+(?:\n[^`\n]+)?)`")
_COMMAND = re.compile(r"^(?:\$ )?(dragoman|\./dev) ([a-z].*)")
_END = re.compile(r" (?:[|>&#;]|--? )|$")
PLACEHOLDER = re.compile(r"[A-Z…\[<\"'$(]")


def commands(page: Path) -> Iterator[tuple[str, list[str]]]:
    """Yields each command on a page: the program, and the words that follow it."""
    text = page.read_text()
    shown = [line for block in _FENCED.findall(text) for line in block.replace("\\\n", " ").splitlines()]
    shown += [found.replace("\n", " ") for found in _INLINE.findall(_FENCED.sub("", text))]
    for line in shown:
        if found := _COMMAND.search(line):
            end = _END.search(found[2])
            assert end is not None
            yield found[1], found[2][: end.start()].split()


def unknown_of(command: click.Command, words: Sequence[str]) -> str:
    """Returns the first word that is neither a command nor an option, or an empty string."""
    for word in words:
        if isinstance(command, click.Group):
            if PLACEHOLDER.match(word) or word.startswith("-"):
                return ""
            alternatives = word.split("|")
            if wrong := [one for one in alternatives if one not in subcommands(command)]:
                return wrong[0]
            command = subcommands(command)[alternatives[0]]
        elif word.startswith("--") and len(word) > 2:
            name = re.split(r"[=\])]", word.strip("[]()`,."))[0]
            known = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
            if name not in known | {"--help"}:
                return f"{command.name} {name}"
    return ""


def unknown(program: str, words: list[str]) -> str:
    if program == "dragoman":
        return unknown_of(main, words)
    name, *rest = words
    if name == "drill":
        return unknown_of(drills, rest)
    if name in subcommands(main):
        return unknown_of(main, words)
    return "" if name in DEV.findall((ROOT / "dev").read_text()) else name


def test_every_command_of_a_page_exists() -> None:
    shown = [(page, program, words) for page in PAGES for program, words in commands(page)]
    wrong = [(page, program, words, found) for page, program, words in shown if (found := unknown(program, words))]
    assert wrong == []


def test_wrong_commands_are_noticed() -> None:
    assert unknown("dragoman", ["fly"]) == "fly"
    assert unknown("dragoman", ["admin", "chat", "fly"]) == "fly"
    assert unknown("dragoman", ["up", "--fly=1"]) == "up --fly"
    assert unknown("./dev", ["drill", "fly"]) == "fly"
    assert unknown("./dev", ["bench", "pairs", "--fly"]) == "pairs --fly"
    assert sum(1 for page in PAGES for _ in commands(page)) > 200
