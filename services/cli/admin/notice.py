"""`dragoman admin notice`: the operator sends a notice to users."""

import sys
from typing import TYPE_CHECKING

import click

from services.cli.admin.command import on_installation, with_client

if TYPE_CHECKING:
    from local.installation import Installation
    from services.cli.admin.broadcast import Notice
    from services.cli.admin.bus_client import AdminClient
    from shared.contract.ids import AccountId


@click.command()
@on_installation
@click.argument("text")
@click.option("--to", "names", metavar="ACCOUNT", multiple=True, help="Only this account; repeatable.")
@click.option("--online", is_flag=True, help="Only accounts that are connected now.")
@click.option("--id", "name", metavar="ID", help="Identifies the notice (default: made from the text).")
@click.option("--rate", type=click.IntRange(1, 10_000), default=500, show_default=True, help="Accounts a second.")
@click.option("--dry-run", is_flag=True, help="Only count the recipients.")
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
    """Send TEXT to all accounts as a message; offline users receive it at their next login.

    No account receives a notice twice: after an interruption, repeat the same command.
    """
    from services.cli.admin.broadcast import Notice, default_name

    if names and online:
        raise click.UsageError("--to and --online exclude each other")
    _check(text, installation.settings.limits.message_text_bytes)
    accounts = with_client(installation, lambda client: _audience(client, names, online))
    if dry_run:
        return click.echo(f"{_counted(len(accounts))} would be notified")
    if not yes:
        click.confirm(f"Notify {_counted(len(accounts))}, at most {rate:,} a second?", abort=True)
    message = Notice(name or default_name(text), text)
    received = _send(installation, message, accounts, rate)
    click.echo(f"{received:,} of {_counted(len(accounts))} have the notice {message.name}")


def _check(text: str, most_bytes: int) -> None:
    """The rules of all messages hold for a notice. Raises click.UsageError."""
    size = len(text.encode())
    if not text.strip():
        raise click.UsageError("the text is empty")
    if size > most_bytes:
        raise click.UsageError(f"the text has at most {most_bytes} bytes (limits.message_text_bytes)")


async def _audience(client: "AdminClient", names: tuple[str, ...], online: bool) -> "list[AccountId]":
    from services.cli.admin import broadcast

    return (
        await broadcast.find_accounts(client, names) if names else await broadcast.list_accounts(client, online=online)
    )


def _send(installation: "Installation", message: "Notice", accounts: "list[AccountId]", rate: int) -> int:
    """Send with a progress bar; returns how many accounts have the notice now."""
    from services.cli.admin import broadcast

    hidden = not sys.stderr.isatty()
    with click.progressbar(length=len(accounts), label="sending", file=sys.stderr, hidden=hidden, show_pos=True) as bar:

        async def work(client: "AdminClient") -> int:
            await client.record("notice", detail=f"{message.name} to {len(accounts)} accounts")
            return await broadcast.send(client, message, accounts, rate, bar.update)

        return with_client(installation, work)


def _counted(accounts: int) -> str:
    return f"{accounts:,} account" + "s" * (accounts != 1)
