"""Messages that users report to the operator. Times are Unix milliseconds."""

import msgspec

from shared.contract.ids import NO_ACCOUNT, AccountId, ChatId
from shared.contract.routes import Ack, Forwarded, Routed


class ReportMessage(Forwarded):
    """Reports a message that the account may see, and has not sent. Idempotent: the first reason stays. Answered with
    an Ack; `not_found` for another message, or a recalled one; `limit` while too many of the account are open."""

    route = Routed("session.report", Ack)

    chat: ChatId
    index: int
    reason: str
    actor: AccountId = NO_ACCOUNT

    def __repr__(self) -> str:
        return f"ReportMessage(chat={self.chat}, index={self.index}, ***)"


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """`body`: of the message as it was then (see `unpack_segments`); it was sent at `sent`, and reported at
    `reported`."""

    number: int
    chat: ChatId
    index: int
    sender: AccountId
    sent: int
    body: bytes
    reporter: AccountId
    reason: str
    reported: int

    def __repr__(self) -> str:
        return f"Report({self.number}, ***)"


class ReportPage(msgspec.Struct, frozen=True):
    """With `more`, continue after the last number."""

    reports: list[Report]
    more: bool = False


class ListReports(msgspec.Struct):
    """A page of the open reports, in order of their numbers, after number `after`."""

    route = Routed("session.admin.reports", ReportPage)

    after: int = 0


class OwnReport(msgspec.Struct, frozen=True):
    chat: ChatId
    index: int
    reason: str
    reported: int

    def __repr__(self) -> str:
        return f"OwnReport(chat={self.chat}, index={self.index}, ***)"


class OwnReports(msgspec.Struct, frozen=True):
    """Oldest first."""

    reports: list[OwnReport]


class ListOwnReports(msgspec.Struct):
    """The open reports of the account itself."""

    route = Routed("session.reports", OwnReports)

    actor: AccountId = NO_ACCOUNT


class CloseReport(msgspec.Struct):
    """Deletes a report. Answered with an Ack; `not_found` for an unknown number."""

    route = Routed("session.admin.close_report", Ack)

    number: int
