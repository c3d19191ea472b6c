"""`dragoman admin hook`: the webhooks of all groups."""

from collections.abc import Sequence

import click

from local.installation import Installation
from services.cli.admin import format, users
from services.cli.admin.bus_client import AdminClient
from services.cli.admin.command import json_option, on_installation, with_client
from shared.contract.ids import NO_ACCOUNT, ChatId
from shared.contract.made import DeleteAnyHook, ListAllHooks, MadeHook


@click.group()
def hook() -> None:
    """Incoming and outgoing webhooks of groups: list, delete."""


@hook.command("list")
@on_installation
@click.option("--chat", "number", type=click.IntRange(1, 2**63 - 1), help="Those of this group.")
@click.option("--account", help="Those that this account has made, named as in `dragoman admin user find`.")
@json_option
def hook_list(installation: Installation, number: int | None, account: str | None, as_json: bool) -> None:
    """List webhooks. One with an endpoint is outgoing."""

    async def work(client: AdminClient) -> list[MadeHook]:
        by = NO_ACCOUNT if account is None else (await users.find(client, account)).account
        await client.record("list hooks", by, str(number or ""))
        return await find(client, ListAllHooks(ChatId(number or 0), by))

    found = with_client(installation, work)
    format.show(found, _text, as_json=as_json)


@hook.command("delete")
@on_installation
@click.argument("number", metavar="HOOK")
def hook_delete(installation: Installation, number: str) -> None:
    """Delete a webhook, named by its identifier in the list."""

    async def work(client: AdminClient) -> None:
        await client.record("delete hook", detail=number)
        await client.request(DeleteAnyHook.route, DeleteAnyHook(number))

    with_client(installation, work)
    click.echo(f"the hook {number} is deleted")


async def find(client: AdminClient, wanted: ListAllHooks) -> list[MadeHook]:
    """All pages. Raises RequestError."""
    found: list[MadeHook] = []
    more = True
    while more:
        page = await client.request(ListAllHooks.route, wanted)
        found += page.hooks
        more = page.more
        wanted.after = found[-1].hook if found else ""
    return found


def _text(found: Sequence[MadeHook]) -> str:
    if not found:
        return "there are no hooks"
    rows = (
        (one.hook, one.chat, f"{one.by:010d}", one.name, one.origin or "-", format.moment(one.created)) for one in found
    )
    return format.table(["HOOK", "CHAT", "MADE BY", "NAME", "ENDPOINT", "SINCE"], rows)
