"""`dragoman admin push` lists and removes the devices of an account that are notified."""

from collections.abc import Sequence

import click

from services.cli.admin import format, users
from services.cli.admin.bus_client import AdminClient
from services.cli.admin.command import json_option, on_confirmed, prints
from shared.contract.push import ListSubscriptions, SubscriptionView, Unsubscribe


def _text(found: Sequence[SubscriptionView]) -> str:
    heads = ["DEVICE", "PUSH SERVICE", "KIND", "SINCE", "LAST DELIVERED", "LAST ERROR"]
    rows = (
        (one.subscription, one.origin, one.kind, format.moment(one.created), format.moment(one.last_ok), one.last_error)
        for one in found
    )
    return format.table(heads, rows, "no device of this account is notified")


@click.group()
def push() -> None:
    """Devices that are notified while no client runs: list, remove."""


@push.command("list", epilog="Example: dragoman admin push list ann")
@prints(_text)
@click.argument("account")
@json_option
async def push_list(client: AdminClient, account: str) -> list[SubscriptionView]:
    """List the devices of an account.

    ACCOUNT as in `dragoman admin user find`.
    """
    number = (await users.find(client, account)).account
    await client.record("list devices", number)
    return (await client.send(ListSubscriptions(actor=number))).subscriptions


@push.command("remove", epilog="Example: dragoman admin push remove ann 7")
@on_confirmed("Stop notifying the device {device} of {account}?")
@click.argument("account")
@click.argument("device", type=click.IntRange(1, 2**63 - 1))
async def push_remove(client: AdminClient, account: str, device: int) -> None:
    """Remove a device of an account."""
    number = (await users.find(client, account)).account
    await client.record("remove device", number, str(device))
    await client.send(Unsubscribe(device, actor=number))
    click.echo(f"the device {device} of {account} is no longer notified")
