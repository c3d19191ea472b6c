"""`dragoman admin report`: messages that users have reported."""

from collections.abc import Sequence
from typing import Any

import click
import msgspec

from local.installation import Installation
from services.cli.admin import format
from services.cli.admin.bus_client import AdminClient
from services.cli.admin.command import json_option, on_installation, with_client
from services.cli.admin.export import content_of
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


@click.group()
def report() -> None:
    """Messages that users have reported: list, close."""


@report.command("list")
@on_installation
@json_option
def report_list(installation: Installation, as_json: bool) -> None:
    """Show the open reports, oldest first, with the messages as they were when they were reported.

    A report is answered by what it calls for: disable the sender (`dragoman admin user disable`), send a notice
    (`dragoman admin notice`), or nothing. Close it then.
    """
    found = with_client(installation, _find)
    format.show(found, _text, as_json=as_json)


@report.command("close")
@on_installation
@click.argument("number", metavar="REPORT", type=click.IntRange(1, 2**63 - 1))
def report_close(installation: Installation, number: int) -> None:
    """Delete a report, named by its number in the list."""
    with_client(installation, lambda client: _close(client, number))
    click.echo(f"the report {number} is closed")


async def _find(client: AdminClient) -> list[ReportedMessage]:
    """All open reports, oldest first. Raises RequestError."""
    await client.record("list reports")
    found: list[Report] = []
    more = True
    while more:
        page = await client.request(ListReports.route, ListReports(found[-1].number if found else 0))
        found += page.reports
        more = page.more
    return [_reported(one) for one in found]


async def _close(client: AdminClient, number: int) -> None:
    """Raises RequestError."""
    await client.record("close report", detail=str(number))
    await client.request(CloseReport.route, CloseReport(number))


def _reported(one: Report) -> ReportedMessage:
    content = content_of(one.body)
    return ReportedMessage(
        one.number, one.chat, one.index, one.sender, one.sent, content, one.reporter, one.reason, one.reported
    )


def _text(found: Sequence[ReportedMessage]) -> str:
    shown = (
        format.record(
            [
                ("report", one.number),
                ("reported", f"{format.moment(one.reported)} by {one.reporter:010d}"),
                ("reason", one.reason),
                ("message", f"{one.chat}/{one.index}"),
                ("sent", f"{format.moment(one.sent)} by {one.sender:010d}"),
                *(next(iter(part.items())) for part in one.content),
            ]
        )
        for one in found
    )
    return "\n\n".join(shown) or "there are no reports"
