"""Formats results for a terminal. Control characters in users' names are replaced."""

import unicodedata
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec

from services.cli.admin.chats import ChatMember, ChatState
from services.cli.admin.dead_letters import DeadLetter
from services.cli.admin.messages import MessageReport
from services.cli.admin.users import MadeThings
from shared.contract.admin import Act, Duplicates, UserView
from shared.contract.auth import LoginView
from shared.contract.made import MadeHook

if TYPE_CHECKING:
    from services.cli.admin.media_files import FoundMedia
    from services.cli.admin.reported_messages import ReportedMessage
    from shared.contract.records import EdgeRecording

Row = Sequence[object]
_FORGOT = "no edge remembers"
_SECRETS = {
    "plain": "password",
    "md5": "password that its client hashes by MD5",
    "sha256": "password that its client hashes by SHA-256",
    "service": "secret of a service client",
}
"""The schemes of an account's secrets."""


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


def _exact(milliseconds: int) -> str:
    return f"{datetime.fromtimestamp(milliseconds / 1000, UTC):%Y-%m-%d %H:%M:%S}.{milliseconds % 1000:03d}"


def user(found: UserView) -> str:
    return record(
        [
            ("account", f"{found.account:010d}"),
            ("uuid", found.uuid),
            ("e-mail", found.email),
            ("verified", found.email_verified),
            ("username", found.username),
            ("registered as", found.nickname),
            ("registered at", moment(found.created)),
            ("disabled", found.disabled),
            ("logs in by", [_SECRETS.get(scheme, scheme) for scheme in found.schemes]),
            ("recoverable", found.recoverable),
        ]
    )


def duplicates(found: Duplicates) -> str:
    rows = [("usernames that look alike", group) for group in found.usernames]
    rows += [("one e-mail address", group) for group in found.emails]
    return table(("duplicates", "accounts"), ((kind, ", ".join(map(str, group))) for kind, group in rows))


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


def message(found: MessageReport) -> str:
    one, accepted = found.message, found.accepted
    summary = record(
        [
            ("message", f"{one.id}, index {one.index} of chat {one.chat}, {one.bytes} bytes"),
            ("sender", f"{one.sender:010d}"),
            (
                "accepted",
                f"{_exact(accepted.at)} by {found.accepted_by} over {accepted.dialect}" if accepted else _FORGOT,
            ),
            ("committed", _exact(one.time)),
            ("acknowledged", _exact(accepted.acknowledged) if accepted else _FORGOT),
            ("trace", found.traces or _FORGOT),
            ("remembered", f"from {moment(found.remembered_from)} on" if found.remembered_from else "no edge answers"),
        ]
    )
    sources = [(one.edge, _exact(one.at), one.replica or "fetched", one.counter or "-") for one in found.envelopes]
    rows = [
        (f"{one.account:010d}", one.state, one.edge, one.dialects, _exact(one.at) if one.at else "-", one.reason)
        for one in found.recipients
    ]
    parts = [summary]
    parts += [table(["EDGE", "GOT IT", "FROM", "ENVELOPE"], sources)] if sources else []
    parts += [table(["RECIPIENT", "STATE", "EDGE", "DIALECT", "CONFIRMED", "REASON"], rows)] if rows else []
    parts += [f"and {one.more} more recipients"] if one.more else []
    return "\n\n".join(parts)


def hooks(found: Sequence[MadeHook]) -> str:
    if not found:
        return "there are no hooks"
    rows = ((one.hook, one.chat, f"{one.by:010d}", one.name, one.origin or "-", moment(one.created)) for one in found)
    return table(["HOOK", "CHAT", "MADE BY", "NAME", "ENDPOINT", "SINCE"], rows)


def made(found: MadeThings) -> str:
    """One line, which names only what there is."""
    outgoing = sum(bool(one.origin) for one in found.hooks)
    tokens = sum(len(bot.tokens) for bot in found.bots)
    counts = {
        "incoming webhooks": len(found.hooks) - outgoing, "outgoing webhooks": outgoing, "links": len(found.links),
        "tokens of bots": tokens,
    }  # fmt: skip
    return ", ".join(f"{name}: {count}" for name, count in counts.items() if count)


def logins(found: Sequence[LoginView]) -> str:
    heads = ["ID", "LOGGED IN", "EXPIRES", "ADDRESS", "CLIENT", "DEVICE"]
    rows = [
        (one.sid, moment(one.created), moment(one.expires * 1000), one.address, one.client, one.device or "-")
        for one in found
    ]
    return table(heads, rows) if found else "there are no logins"


def acts(found: Sequence[Act]) -> str:
    heads = ["TIME", "BY", "ACT", "ACCOUNT", "ADDRESS", "DETAIL"]
    rows = [
        (moment(one.time), one.by, one.act, f"{one.account:010d}" if one.account else "-", one.address, one.detail)
        for one in found
    ]
    return table(heads, rows) if found else "there are no such acts"


def recordings(found: "Sequence[EdgeRecording]") -> str:
    heads = ["ID", "EDGE", "ACCOUNT", "DIALECT", "STARTED", "STATE", "EVENTS", "BYTES"]
    rows = [
        (
            one.id, node, f"{one.account:010d}" if one.account else "-", one.dialect or "-", moment(one.started),
            f"ended: {one.ended}" if one.ended else f"until {moment(one.until)}", one.events, one.bytes,
        )
        for node, one in ((edge.node, edge.recording) for edge in found)
        if one is not None
    ]  # fmt: skip
    return table(heads, rows) if rows else "there are no recordings"


def media(found: "Sequence[FoundMedia]") -> str:
    heads = ["ID", "ACCOUNT", "STORED", "USE", "BYTES", "NAME"]
    rows = [(one.id, f"{one.account:010d}", moment(one.created), one.use, one.size, one.name) for one in found]
    return table(heads, rows) if found else "there are no such files"


def reports(found: "Sequence[ReportedMessage]") -> str:
    shown = (
        record(
            [
                ("report", one.number),
                ("reported", f"{moment(one.reported)} by {one.reporter:010d}"),
                ("reason", one.reason),
                ("message", f"{one.chat}/{one.index}"),
                ("sent", f"{moment(one.sent)} by {one.sender:010d}"),
                *(next(iter(part.items())) for part in one.content),
            ]
        )
        for one in found
    )
    return "\n\n".join(shown) or "there are no reports"


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
