"""`dragoman admin media`: finds and removes pictures and files in their store."""

import asyncio
from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any

import click

from services.cli.admin.command import on_installation, record
from services.cli.admin.trail import day_ms

if TYPE_CHECKING:
    from local.installation import Installation
    from services.cli.admin.media_files import MediaFilter


@click.group()
def media() -> None:
    """Pictures and files: find, remove.

    Works on the store itself (media.directory, or the bucket), with the settings of an edge.
    """


def _selected(command: Callable[..., None]) -> Callable[..., None]:
    """Adds the options that select files, which become the argument `wanted`."""

    @click.argument("address", required=False)
    @click.option("--account", metavar="NUMBER", type=click.IntRange(1), help="Files that this account has stored.")
    @click.option("--hash", "sha256", metavar="SHA256", help="Files with this content.")
    @click.option("--before", metavar="DAY", help="Files from before this day (UTC), as 2026-01-31.")
    @wraps(command)
    def run(
        *args: Any, address: str | None, account: int | None, sha256: str | None, before: str | None, **options: Any
    ) -> None:
        from services.cli.admin.media_files import MediaFilter, media_id
        from shared.contract.ids import AccountId

        wanted = MediaFilter(
            media_id(address) if address else "",
            AccountId(account or 0),
            (sha256 or "").lower(),
            day_ms(before) if before else 0,
        )
        command(*args, wanted=wanted, **options)

    return run


@media.command("find")
@on_installation
@_selected
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def media_find(installation: "Installation", wanted: "MediaFilter", as_json: bool) -> None:
    """List files by ADDRESS (or the last part of it), account, content or age."""
    from services.cli.admin import format, media_files

    found = asyncio.run(media_files.find(installation.settings, wanted))
    click.echo(format.as_json(found) if as_json else format.media(found))


@media.command("remove")
@on_installation
@_selected
@click.option("--yes", is_flag=True, help="Do not ask.")
def media_remove(installation: "Installation", wanted: "MediaFilter", yes: bool) -> None:
    """Remove files: their addresses lead nowhere from then on. This cannot be undone.

    Edges that have read an address lately forget it within five minutes; content that no other address has is gone at
    once.
    """
    from services.cli.admin import format, media_files

    if not any(wanted):
        raise click.UsageError("name an ADDRESS, --account, --hash or --before")
    found = asyncio.run(media_files.find(installation.settings, wanted))
    if not found:
        return click.echo("there are no such files")
    if not yes:
        click.echo(format.media(found))
        click.confirm(f"Remove these {len(found)}?", abort=True)
    removed = asyncio.run(media_files.remove(installation.settings, found))
    record(installation, "remove media", " ".join(one.id for one in found))
    click.echo(f"removed: {removed.addresses} addresses, {removed.contents} contents")
