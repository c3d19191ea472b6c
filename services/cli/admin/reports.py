"""`dragoman admin report`: messages that users have reported."""

from typing import TYPE_CHECKING

import click

from services.cli.admin.command import on_installation, with_client

if TYPE_CHECKING:
    from local.installation import Installation


@click.group()
def report() -> None:
    """Messages that users have reported: list, close."""


@report.command("list")
@on_installation
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def report_list(installation: "Installation", as_json: bool) -> None:
    """Show the open reports, oldest first, with the messages as they were when they were reported.

    A report is answered by what it calls for: disable the sender (`dragoman admin user disable`), send a notice
    (`dragoman admin notice`), or nothing. Close it then.
    """
    from services.cli.admin import format, reported_messages

    found = with_client(installation, reported_messages.find)
    click.echo(format.as_json(found) if as_json else format.reports(found))


@report.command("close")
@on_installation
@click.argument("number", metavar="REPORT", type=click.IntRange(1, 2**63 - 1))
def report_close(installation: "Installation", number: int) -> None:
    """Delete a report, named by its number in the list."""
    from services.cli.admin import reported_messages

    with_client(installation, lambda client: reported_messages.close(client, number))
    click.echo(f"the report {number} is closed")
