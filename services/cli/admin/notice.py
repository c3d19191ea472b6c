"""`dragoman admin notice`: the operator says something to people."""

import sys
from typing import TYPE_CHECKING

import click

from services.cli.admin.command import on_installation, with_client

if TYPE_CHECKING:
    from services.cli.admin.broadcast import Notice
    from services.cli.admin.bus_client import AdminClient
    from services.cli.installation import Installation
    from shared.contract.ids import AccountId


@click.command()
@on_installation
@click.argument("text")
@click.option("--to", "names", metavar="ACCOUNT", multiple=True, help="Only this one; may be given several times.")
@click.option("--online", is_flag=True, help="Only those who are connected now.")
@click.option("--id", "name", metavar="ID", help="What tells it from other notices (default: made from the text).")
@click.option("--rate", type=click.IntRange(1, 10_000), default=500, show_default=True, help="Accounts a second.")
@click.option("--dry-run", is_flag=True, help="Only say how many it would be.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def notice(
    installation: "Installation",
    text: str,
    names: tuple[str, ...],
    online: bool,
    name: str | None,
    rate: int,
    dry_run: bool,
    yes: bool,
) -> None:
    """Tell everybody TEXT, as a message that waits for those who are away.

    Nobody is told the same notice twice: after an interruption, ask for the same again.
    """
    from services.cli.admin.broadcast import Notice, default_name

    if names and online:
        raise click.UsageError("--to and --online exclude each other")
    _check(text, installation.settings.limits.message_text_bytes)
    accounts = with_client(installation, lambda link: _audience(link, names, online))
    if dry_run:
        return click.echo(f"{_counted(len(accounts))} would be told")
    if not yes:
        click.confirm(f"Tell {_counted(len(accounts))}, at most {rate:,} a second?", abort=True)
    told = Notice(name or default_name(text), text)
    have = _send(installation, told, accounts, rate)
    click.echo(f"{have:,} of {_counted(len(accounts))} have the notice {told.name}")


def _check(text: str, most_bytes: int) -> None:
    """As for everybody's messages. Raises click.UsageError."""
    try:
        size = len(text.encode())
    except UnicodeEncodeError as error:
        raise click.UsageError("the text is no valid UTF-8") from error
    if not text.strip():
        raise click.UsageError("the text is empty")
    if size > most_bytes:
        raise click.UsageError(f"the text has at most {most_bytes} bytes (limits.message_text_bytes)")


async def _audience(link: "AdminClient", names: tuple[str, ...], online: bool) -> "list[AccountId]":
    from services.cli.admin import broadcast

    return await broadcast.find_accounts(link, names) if names else await broadcast.list_accounts(link, online=online)


def _send(installation: "Installation", told: "Notice", accounts: "list[AccountId]", rate: int) -> int:
    """How many have it now; a bar shows how far it is."""
    from services.cli.admin import broadcast

    hidden = not sys.stderr.isatty()
    with click.progressbar(length=len(accounts), label="telling", file=sys.stderr, hidden=hidden, show_pos=True) as bar:
        return with_client(installation, lambda link: broadcast.send(link, told, accounts, rate, bar.update))


def _counted(accounts: int) -> str:
    return f"{accounts:,} account" + "s" * (accounts != 1)
