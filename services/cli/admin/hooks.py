"""`dragoman admin hook`: the webhooks of all groups."""

from typing import TYPE_CHECKING

import click

from services.cli.admin.command import on_installation, with_client

if TYPE_CHECKING:
    from local.installation import Installation
    from services.cli.admin.bus_client import AdminClient
    from shared.contract.made import ListAllHooks, MadeHook


@click.group()
def hook() -> None:
    """Incoming and outgoing webhooks of groups: list, delete."""


@hook.command("list")
@on_installation
@click.option("--chat", "number", type=click.IntRange(1, 2**63 - 1), help="Those of this group.")
@click.option("--account", help="Those that this account has made, named as in `dragoman admin user find`.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def hook_list(installation: "Installation", number: int | None, account: str | None, as_json: bool) -> None:
    """List webhooks. One with an endpoint is outgoing."""
    from services.cli.admin import format, users
    from shared.contract.ids import NO_ACCOUNT, ChatId
    from shared.contract.made import ListAllHooks

    async def work(client: "AdminClient") -> "list[MadeHook]":
        by = NO_ACCOUNT if account is None else (await users.find(client, account)).account
        await client.record("list hooks", by, str(number or ""))
        return await find(client, ListAllHooks(ChatId(number or 0), by))

    found = with_client(installation, work)
    click.echo(format.as_json(found) if as_json else format.hooks(found))


@hook.command("delete")
@on_installation
@click.argument("number", metavar="HOOK")
def hook_delete(installation: "Installation", number: str) -> None:
    """Delete a webhook, named by its identifier in the list."""
    from shared.contract.made import DeleteAnyHook

    async def work(client: "AdminClient") -> None:
        await client.record("delete hook", detail=number)
        await client.request(DeleteAnyHook.route, DeleteAnyHook(number))

    with_client(installation, work)
    click.echo(f"the hook {number} is deleted")


async def find(client: "AdminClient", wanted: "ListAllHooks") -> "list[MadeHook]":
    """All pages. Raises RequestError."""
    from shared.contract.made import ListAllHooks

    found: list[MadeHook] = []
    more = True
    while more:
        page = await client.request(ListAllHooks.route, wanted)
        found += page.hooks
        more = page.more
        wanted.after = found[-1].hook if found else ""
    return found
