"""Messages that users have reported to the operator."""

import sqlalchemy as sa

from services.session.domain import check_count
from services.session.store.sql import insert, require_active
from services.session.tables import report
from shared.contract.admin import OwnReport, Report, ReportMessage
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.ids import AccountId
from shared.contract.model import Message
from shared.settings.limits import GroupLimits

_FIELDS = [report.c[field] for field in Report.__struct_fields__]


def store(connection: sa.Connection, request: ReportMessage, message: Message, limits: GroupLimits, now: int) -> bool:
    """Store the report. Returns False if the actor has reported this message before. Locks the reporter's profile, so
    that two reports are not counted at the same time. Raises RequestError at the limit, and for a deleted account."""
    require_active(connection, [request.actor], "actor")
    others = sa.select(sa.func.count()).where(
        report.c.reporter == request.actor, sa.or_(report.c.chat != message.chat, report.c.index != message.index)
    )
    rule = "at most {} reports may be open"
    check_count(connection.execute(others).scalar_one(), limits.reports_per_account, rule, "reports")
    values = {
        "chat": message.chat, "index": message.index, "sender": message.sender, "sent": message.time,
        "body": message.body, "reporter": request.actor, "reason": request.reason, "reported": now,
    }  # fmt: skip
    stored = insert(connection, report).values(values).on_conflict_do_nothing().returning(report.c.number)
    return connection.execute(stored).one_or_none() is not None


def list_open(connection: sa.Connection, after: int, count: int) -> list[Report]:
    rows = sa.select(*_FIELDS).where(report.c.number > after).order_by(report.c.number).limit(count)
    return [Report(**row) for row in connection.execute(rows).mappings()]


def list_of_account(connection: sa.Connection, reporter: AccountId) -> list[OwnReport]:
    """The reports that this account has made, oldest first."""
    fields = [report.c[field] for field in OwnReport.__struct_fields__]
    rows = sa.select(*fields).where(report.c.reporter == reporter).order_by(report.c.number)
    return [OwnReport(*row) for row in connection.execute(rows)]


def close(connection: sa.Connection, number: int) -> None:
    """Raises RequestError."""
    if connection.execute(sa.delete(report).where(report.c.number == number)).rowcount == 0:
        raise RequestError(ErrorCode.NOT_FOUND, f"there is no report {number}", "number")
