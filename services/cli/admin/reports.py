"""`dragoman admin report` lists messages that users have reported."""

from collections.abc import Sequence
from typing import Any

import click
import msgspec

from services.cli.admin import format
from services.cli.admin.bus_client import AdminClient
from services.cli.admin.command import json_option, on_confirmed, prints
from shared.contract.admin import CloseReport, ListReports, Report
from shared.contract.ids import AccountId, ChatId


class ReportedMessage(msgspec.Struct, frozen=True):
    """An open report, with the message as it was when the user reported it. Times are Unix milliseconds. `content`: the
    segments of the message."""

    number: int
    chat: ChatId
    index: int
    sender: AccountId
    sent: int
    content: list[dict[str, Any]]
    reporter: AccountId
    reason: str
    reported: int


def _reported(one: Report) -> ReportedMessage:
    content = format.content(one.body)
    return ReportedMessage(
        one.number, one.chat, one.index, one.sender, one.sent, content, one.reporter, one.reason, one.reported
    )


def _text(found: Sequence[ReportedMessage]) -> str:
    shown = (
        format.record(
            ("report", one.number),
            ("reported", f"{format.moment(one.reported)} by {one.reporter:010d}"),
            ("reason", one.reason),
            ("message", f"{one.chat}/{one.index}"),
            ("sent", f"{format.moment(one.sent)} by {one.sender:010d}"),
            *(next(iter(part.items())) for part in one.content),
        )
        for one in found
    )
    return "\n\n".join(shown) or "there are no reports"


@click.group()
def report() -> None:
    """Messages that users have reported: list, close."""


@report.command("list")
@prints(_text)
@json_option
async def report_list(client: AdminClient) -> list[ReportedMessage]:
    """Show the open reports, oldest first.

    A report has the message as it was when the user reported it. The answer to a report is an act: disable the sender
    (`dragoman admin user disable`), send an announcement (`dragoman admin announce`), or nothing. Close it then.
    """
    await client.record("list reports")
    found: list[Report] = []
    more = True
    while more:
        page = await client.send(ListReports(found[-1].number if found else 0))
        found += page.reports
        more = page.more
    return [_reported(one) for one in found]


@report.command("close", epilog="Example: dragoman admin report close 4")
@on_confirmed("Delete the report {number}, with the message in it?")
@click.argument("number", metavar="REPORT", type=click.IntRange(1, 2**63 - 1))
async def report_close(client: AdminClient, number: int) -> None:
    """Delete a report, named by its number in the list."""
    await client.record("close report", detail=str(number))
    await client.send(CloseReport(number))
    click.echo(f"the report {number} is closed")
