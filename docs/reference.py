"""Makes the tables of docs/reference: commands, exit codes, metrics, alerts and rules of search. Also makes the table
of packages in docs/develop/map.md."""

import ast
import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import yaml

from dragoman.main import main
from local.exit_status import FOUND, MEANINGS, ExitStatus

ROOT = Path(__file__).parents[1]

# Commands

_RANGE = re.compile(r"; [-\d.<=]*x[-\d.<>=]*(?=\])| *\[[-\d.<=]*x[-\d.<>=]*\]$")
_SHORT = re.compile(r"INTEGER RANGE|INTEGER|FLOAT RANGE|FLOAT")
_SHORTER = {"INTEGER": "N", "FLOAT": "X"}
_COMMON = 5
"""An option that at least this number of commands have is listed only once."""

Found = tuple[str, click.Command]


def commands() -> str:
    found = list(_walk("", main))
    common = [one for one, number in Counter(row for _, command in found for row in _options(command)).items()
              if number >= _COMMON]  # fmt: skip
    parts = ["## Common options\n", _table(common)]
    for name, command in found:
        own = [row for row in _options(command) if row not in common]
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


def _options(command: click.Command) -> Iterator[tuple[str, str]]:
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


# Metrics and alerts

_RULES = ROOT / "deploy" / "helm" / "dragoman" / "files" / "rules.yml"
_METRIC = re.compile(r"dragoman_[a-z_]+")


def metrics() -> str:
    rows = sorted({row for package in ("services", "shared") for row in _made_in(ROOT / package)})
    return "| metric | meaning |\n|---|---|\n" + "".join(f"| `{name}` | {text} |\n" for name, text in rows)


def _made_in(folder: Path) -> Iterator[tuple[str, str]]:
    """The names and descriptions that are arguments of a call."""
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            match node:
                case ast.Call(args=[ast.Constant(value=str(name)), ast.Constant(value=str(text)), *_]):
                    if _METRIC.fullmatch(name):
                        yield name, " ".join(text.split())
                case _:
                    pass


def alerts() -> str:
    groups = yaml.safe_load(_RULES.read_text(encoding="utf-8"))["groups"]
    rules = [rule for group in groups for rule in group["rules"] if "alert" in rule]
    return "| alert | severity | summary |\n|---|---|---|\n" + "".join(
        f"| [{one['alert']}](../runbooks/{one['alert']}.md) | {one['labels']['severity']} | {_summary(one)} |\n"
        for one in rules
    )


def _summary(rule: dict[str, dict[str, str]]) -> str:
    """The alert's summary, with … in place of the template's expressions."""
    return re.sub(r"\{\{.*?\}\}", "…", " ".join(rule["annotations"]["summary"].split()))


# Packages

_BUILDINGS = (
    "dragoman",
    "services",
    "services/edge",
    "services/cli",
    "shared",
    "local",
    "dragoman_client",
    "bench",
    "tests",
)
_TOP = ("dragoman", "local", "dragoman_client")


def packages() -> str:
    rows = [row for building in _BUILDINGS for row in _packages(ROOT / building)]
    return "| package | what is in it |\n|---|---|\n" + "".join(f"| `{name}/` | {text} |\n" for name, text in rows)


def _packages(building: Path) -> Iterator[tuple[str, str]]:
    packages = [building] if building.name in _TOP else sorted(path.parent for path in building.glob("*/__init__.py"))
    for package in packages:
        yield str(package.relative_to(ROOT)), _opening(package / "__init__.py")


def _opening(file: Path) -> str:
    """The first paragraph of a docstring, as one line of a table."""
    text = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
    return re.sub(r"\|", "&#124;", " ".join(text.split("\n\n")[0].split()))


# Rules of search

_LANGUAGES = ROOT / "tests" / "unit" / "services" / "search" / "text" / "languages.json"


def languages() -> str:
    head = "| language | rule | text | found by | not by |\n|---|---|---|---|---|\n"
    return head + "".join(map(_language, json.loads(_LANGUAGES.read_text(encoding="utf-8"))["cases"]))


def _language(case: dict[str, Any]) -> str:
    found, missed = (" ".join(map(_code, case[kind])) for kind in ("found", "missed"))
    return f"| {case['language']} | {case['rule']} | {case['text']} | {found} | {missed} |\n"


def _code(query: str) -> str:
    """A query as code. A blank at its end is shown as ␣, because Markdown would remove it."""
    return f"`{query[:-1]}␣`" if query.endswith(" ") else f"`{query}`"
