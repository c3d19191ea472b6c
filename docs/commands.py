"""The text of docs/reference/cli.md: the commands of `dragoman` with their options, and the exit codes."""

import re
from collections import Counter
from collections.abc import Iterator

import click

from dragoman.main import main
from local.exit_status import FOUND, MEANINGS, ExitStatus

_RANGE = re.compile(r"; [-\d.<=]*x[-\d.<>=]*(?=\])| *\[[-\d.<=]*x[-\d.<>=]*\]$")
_SHORT = re.compile(r"INTEGER RANGE|INTEGER|FLOAT RANGE|FLOAT")
_SHORTER = {"INTEGER": "N", "FLOAT": "X"}
_COMMON = 5
"""An option that at least this number of commands have is listed only once."""

Found = tuple[str, click.Command]


def commands() -> str:
    found = list(_walk("", main))
    common = [one for one, number in Counter(row for _, command in found for row in _rows(command)).items()
              if number >= _COMMON]  # fmt: skip
    parts = ["## Common options\n", _table(common)]
    for name, command in found:
        own = [row for row in _rows(command) if row not in common]
        parts += [f"## {name}\n", f"{' '.join((command.help or '').split(chr(12))[0].split())}\n"]
        parts += [_table(own)] if own else []
        parts += [f"`{command.epilog.removeprefix('Example: ')}`\n"] if command.epilog else []
    return "\n".join(parts)


def exit_codes() -> str:
    rows = [(status.value, meaning) for status, meaning in MEANINGS.items()]
    found = "".join(f" `{name}`: {meaning}." for name, meaning in FOUND.items())
    lines = [f"| {code} | {meaning}{found if code == ExitStatus.FAILED else ''} |\n" for code, meaning in rows]
    return "| code | meaning |\n|---|---|\n" + "".join(lines)


def _walk(path: str, command: click.Command) -> Iterator[Found]:
    """Each command that is not a group, in the order of the help. The commands of `bench` are left out, because
    docs/develop/bench.md has them."""
    if not isinstance(command, click.Group):
        yield path, command
        return
    context = click.Context(command)
    for name in command.list_commands(context):
        if name != "bench" and (one := command.get_command(context, name)) is not None and not one.hidden:
            yield from _walk(f"{path} {name}".strip(), one)


def _rows(command: click.Command) -> Iterator[tuple[str, str]]:
    context = click.Context(command)
    for parameter in command.params:
        if isinstance(parameter, click.Option) and (record := parameter.get_help_record(context)) is not None:
            yield _SHORT.sub(lambda found: _SHORTER[found[0].split()[0]], record[0]), _RANGE.sub("", record[1])


def _table(rows: list[tuple[str, str]]) -> str:
    lines = ["| option | meaning |", "|---|---|"]
    lines += [f"| `{_cell(name)}` | {_cell(text)} |" for name, text in rows]
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())
