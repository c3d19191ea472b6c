"""Formats results for a terminal. Control characters in users' names are replaced."""

import unicodedata
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

import msgspec

from services.cli.admin.chats import ChatMember, ChatState
from services.cli.admin.dead_letters import DeadLetter
from shared.contract.admin import UserView

Row = Sequence[object]


def table(heads: Sequence[str], rows: Iterable[Row]) -> str:
    """A table whose columns are as wide as their widest cell."""
    lines = [list(heads), *([_cell(value) for value in row] for row in rows)]
    widths = [max(map(_width, column)) for column in zip(*lines, strict=True)]
    return "\n".join(_line(line, widths) for line in lines)


def record(fields: Iterable[tuple[str, object]]) -> str:
    """One line per field."""
    rows = [[name, _cell(value)] for name, value in fields]
    widths = [max(_width(name) for name, _ in rows), 0]
    return "\n".join(_line(row, widths) for row in rows)


def as_json(value: object) -> str:
    return msgspec.json.format(msgspec.json.encode(value)).decode()


def moment(milliseconds: float) -> str:
    return f"{datetime.fromtimestamp(milliseconds / 1000, UTC):%Y-%m-%d %H:%M:%S} UTC"


def user(found: UserView) -> str:
    return record(
        [
            ("account", f"{found.account:010d}"),
            ("uuid", found.uuid),
            ("e-mail", found.email),
            ("username", found.username),
            ("registered as", found.nickname),
            ("registered at", moment(found.created)),
            ("disabled", found.disabled),
            ("passwords as", found.schemes),
            ("recoverable", found.recoverable),
        ]
    )


def chat(found: ChatState) -> str:
    one = found.chat
    return record(
        [
            ("chat", one.id),
            ("name", one.name),
            ("kind", one.kind.value),
            ("joining", one.join_policy.value),
            ("owner", one.owner or "-"),
            ("members", found.members),
            ("messages", found.messages),
            ("created", moment(one.created)),
            ("updated", moment(one.updated)),
        ]
    )


def members(found: Sequence[ChatMember]) -> str:
    heads = ["ACCOUNT", "NICKNAME", "ROLE", "SEES FROM"]
    return table(heads, [(f"{one.account:010d}", one.nickname, one.role, one.first_index) for one in found])


def dead_letters(found: Sequence[DeadLetter]) -> str:
    heads = ["NUMBER", "GIVEN UP", "SERVICE", "EVENT", "ERROR"]
    rows = [(one.number, moment(one.given_up), one.service, one.subject, one.error) for one in found]
    return table(heads, rows) if found else "there are no dead letters"


def dead_letter(found: DeadLetter) -> str:
    return record(
        [
            ("number", found.number),
            ("given up", moment(found.given_up)),
            ("service", found.service),
            ("subject", found.subject),
            ("attempts", found.attempts),
            ("error", found.error),
            ("event", found.event),
        ]
    )


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = (cell + " " * (width - _width(cell)) for cell, width in zip(cells, widths, strict=True))
    return "  ".join(padded).rstrip()


def _cell(value: object) -> str:
    match value:
        case bool():
            return "yes" if value else "no"
        case list() | tuple():
            return ", ".join(map(_cell, value)) or "-"
    return "".join(one if one.isprintable() else "\N{REPLACEMENT CHARACTER}" for one in str(value)) or "-"


def _width(text: str) -> int:
    """The width of a text in terminal columns."""
    wide = sum(unicodedata.east_asian_width(one) in "WF" for one in text)
    return len(text) + wide - sum(unicodedata.combining(one) > 0 for one in text)
