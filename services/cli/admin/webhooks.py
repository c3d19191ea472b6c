"""`dragoman admin webhook` lists and deletes the webhooks of all groups."""

from collections.abc import Sequence

import click

from services.cli.admin import format, users
from services.cli.admin.bus_client import AdminClient
from services.cli.admin.command import json_option, on_confirmed, prints
from shared.contract.ids import NO_ACCOUNT, ChatId
from shared.contract.made import DeleteAnyWebhook, ListAllWebhooks, MadeWebhook


def _text(found: Sequence[MadeWebhook]) -> str:
    heads = ["WEBHOOK", "CHAT", "MADE BY", "NAME", "ENDPOINT", "SINCE"]
    rows = (
        (one.hook, one.chat, format.account(one.by), one.name, one.origin, format.moment(one.created)) for one in found
    )
    return format.table(heads, rows, "there are no webhooks")


@click.group()
def webhook() -> None:
    """Incoming and outgoing webhooks of groups: list, delete."""


@webhook.command("list")
@prints(_text)
@click.option("--chat", "number", type=click.IntRange(1, 2**63 - 1), help="Only webhooks of this group.")
@click.option("--account", help="Only webhooks that this account has made: a number, uuid, username or e-mail address.")
@json_option
async def webhook_list(client: AdminClient, number: int | None, account: str | None) -> list[MadeWebhook]:
    """List webhooks. A webhook with an endpoint is outgoing."""
    by = NO_ACCOUNT if account is None else (await users.find(client, account)).account
    await client.record("list webhooks", by, str(number or ""))
    wanted, found, more = ListAllWebhooks(ChatId(number or 0), by), list[MadeWebhook](), True
    while more:
        page = await client.send(wanted)
        found += page.hooks
        more = page.more
        wanted.after = found[-1].hook if found else ""
    return found


@webhook.command("delete", epilog="Example: dragoman admin webhook delete 3f2a")
@on_confirmed("Delete the webhook {number}?")
@click.argument("number", metavar="WEBHOOK")
async def webhook_delete(client: AdminClient, number: str) -> None:
    """Delete a webhook, named by its identifier in the list."""
    await client.record("delete webhook", detail=number)
    await client.send(DeleteAnyWebhook(number))
    click.echo(f"the webhook {number} is deleted")
