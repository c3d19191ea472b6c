"""Use cases of the operator about messages that users have reported."""

from typing import Any

import msgspec

from services.cli.admin.bus_client import AdminClient
from services.cli.admin.message_content import content_of
from shared.contract.admin import CloseReport, ListReports, Report
from shared.contract.ids import AccountId, ChatId


class ReportedMessage(msgspec.Struct, frozen=True):
    """An open report, with the message as it was then. Times are Unix milliseconds; `content`: the segments."""

    number: int
    chat: ChatId
    index: int
    sender: AccountId
    sent: int
    content: list[dict[str, Any]]
    reporter: AccountId
    reason: str
    reported: int


async def find(client: AdminClient) -> list[ReportedMessage]:
    """All open reports, oldest first. Raises RequestError."""
    await client.record("list reports")
    found: list[Report] = []
    more = True
    while more:
        page = await client.request(ListReports.route, ListReports(found[-1].number if found else 0))
        found += page.reports
        more = page.more
    return [_reported(one) for one in found]


async def close(client: AdminClient, number: int) -> None:
    """Raises RequestError."""
    await client.record("close report", detail=str(number))
    await client.request(CloseReport.route, CloseReport(number))


def _reported(one: Report) -> ReportedMessage:
    content = content_of(one.body)
    return ReportedMessage(
        one.number, one.chat, one.index, one.sender, one.sent, content, one.reporter, one.reason, one.reported
    )
