"""`dragoman admin bot`: the bots that users own, and the bots that the operator makes."""

from collections.abc import Iterator

import click

from services.cli.admin import format
from services.cli.admin.bus_client import AdminClient
from services.cli.admin.command import json_option, on_confirmed, on_system, prints
from shared.contract.bots import BotView, CreateBot, CreateBotToken, DeleteBotToken, ListBots
from shared.contract.ids import AccountId
from shared.contract.subjects import CREATE_ANY_BOT_TOKEN, CREATE_OPERATOR_BOT, DELETE_ANY_BOT_TOKEN, LIST_ALL_BOTS

_number = click.argument("number", metavar="BOT", type=click.IntRange(1, 2**63 - 1))


def _text(found: list[BotView]) -> str:
    heads = ["BOT", "OWNER", "NAME", "TOKEN", "FOR", "SCOPES", "EXPIRES"]
    return format.table(heads, _rows(found), "there are no bots")


def _rows(found: list[BotView]) -> Iterator[tuple[object, ...]]:
    for one in found:
        named = format.account(one.account), format.account(one.owner) or "operator", one.nickname
        for token in one.tokens:
            yield *named, token.sid, token.name, token.scopes, format.moment(token.expires * 1000)
        if not one.tokens:
            yield *named, "", "", "", ""


@click.group()
def bot() -> None:
    """Create and list bots, make and revoke their tokens.

    BOT is its OC number. A bot is deleted as any account is (`dragoman admin user delete`).
    """


@bot.command("create", epilog="Example: dragoman admin bot create weather")
@on_system
@click.argument("nickname")
async def bot_create(client: AdminClient, nickname: str) -> None:
    """Make a bot that no user owns."""
    made = await client.request(CREATE_OPERATOR_BOT, CreateBot(nickname))
    click.echo(f"the bot {made.account} is made; make its token: dragoman admin bot token {made.account} NAME")


@bot.command("list")
@prints(_text)
@json_option
async def bot_list(client: AdminClient) -> list[BotView]:
    """List all bots and their tokens."""
    page = await client.request(LIST_ALL_BOTS, ListBots())
    found = page.bots
    while page.more:
        page = await client.request(LIST_ALL_BOTS, ListBots(after=found[-1].account))
        found += page.bots
    return found


@bot.command("token", epilog="Example: dragoman admin bot token 12 station --scope send")
@on_system
@_number
@click.argument("name")
@click.option(
    "--scope", "scopes", multiple=True, required=True, type=click.Choice(["send", "read", "react", "manage"]),
    help="What the token permits; may be given several times.",
)  # fmt: skip
@click.option(
    "--days", type=click.IntRange(1, 36_500), help="Validity in days; default and maximum: auth.bot_token_days."
)
async def bot_token(client: AdminClient, number: int, name: str, scopes: tuple[str, ...], days: int | None) -> None:
    """Make a token for a bot, and print it once.

    The list of tokens shows NAME.
    """
    made = await client.request(CREATE_ANY_BOT_TOKEN, CreateBotToken(AccountId(number), name, [*scopes], days or 0))
    click.echo(f"the token {made.sid}, until {format.moment(made.expires * 1000)}:\n{made.token}")


@bot.command("revoke", epilog="Example: dragoman admin bot revoke 12 0f1e2d3c")
@on_confirmed("Revoke the token {sid} of bot {number}?")
@_number
@click.argument("sid", metavar="TOKEN")
async def bot_revoke(client: AdminClient, number: int, sid: str) -> None:
    """Revoke a token by its ID; its connections end."""
    await client.request(DELETE_ANY_BOT_TOKEN, DeleteBotToken(AccountId(number), sid))
    click.echo(f"the token {sid} is revoked")
