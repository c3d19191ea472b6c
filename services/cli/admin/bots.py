"""`dragoman admin bot`: bots of all owners, and those that the operator makes."""

from collections.abc import Iterator

import click

from local.installation import Installation
from services.cli.admin import format
from services.cli.admin.bus_client import AdminClient
from services.cli.admin.command import json_option, on_installation, with_client
from shared.contract.bots import BotView, CreateBot, CreateBotToken, DeleteBotToken, ListBots
from shared.contract.ids import AccountId
from shared.contract.subjects import CREATE_ANY_BOT_TOKEN, CREATE_OPERATOR_BOT, DELETE_ANY_BOT_TOKEN, LIST_ALL_BOTS

_number = click.argument("number", metavar="BOT", type=click.IntRange(1, 2**63 - 1))


@click.group()
def bot() -> None:
    """Bots, which are accounts of programs: create, list, token, revoke. BOT is its OC number.

    A bot is deleted as any account (`dragoman admin delete`).
    """


@bot.command("create")
@on_installation
@click.argument("nickname")
def bot_create(installation: Installation, nickname: str) -> None:
    """Make a bot that no user owns."""
    made = with_client(installation, lambda client: client.request(CREATE_OPERATOR_BOT, CreateBot(nickname)))
    click.echo(f"the bot {made.account} is made; it needs a token: dragoman admin bot token {made.account} NAME")


@bot.command("list")
@on_installation
@json_option
def bot_list(installation: Installation, as_json: bool) -> None:
    """List all bots and their tokens."""
    found = with_client(installation, _find)
    format.show(found, _text, as_json=as_json)


@bot.command("token")
@on_installation
@_number
@click.argument("name")
@click.option(
    "--scope", "scopes", multiple=True, required=True, type=click.Choice(["send", "read", "react", "manage"]),
    help="What the token permits; may be given several times.",
)  # fmt: skip
@click.option("--days", type=click.IntRange(1, 36_500), help="Its life; at most, and by default, auth.bot_token_days.")
def bot_token(installation: Installation, number: int, name: str, scopes: tuple[str, ...], days: int | None) -> None:
    """Make a token of a bot, which is printed once; NAME is for the list."""
    request = CreateBotToken(AccountId(number), name, [*scopes], days or 0)
    made = with_client(installation, lambda client: client.request(CREATE_ANY_BOT_TOKEN, request))
    click.echo(f"the token {made.sid}, until {format.moment(made.expires * 1000)}:\n{made.token}")


@bot.command("revoke")
@on_installation
@_number
@click.argument("sid", metavar="TOKEN")
def bot_revoke(installation: Installation, number: int, sid: str) -> None:
    """Revoke a token by its ID; its connections end."""
    request = DeleteBotToken(AccountId(number), sid)
    with_client(installation, lambda client: client.request(DELETE_ANY_BOT_TOKEN, request))
    click.echo(f"the token {sid} is revoked")


async def _find(client: AdminClient) -> list[BotView]:
    """All pages."""
    page = await client.request(LIST_ALL_BOTS, ListBots())
    found = page.bots
    while page.more:
        page = await client.request(LIST_ALL_BOTS, ListBots(after=found[-1].account))
        found += page.bots
    return found


def _text(found: list[BotView]) -> str:
    heads = ["BOT", "OWNER", "NAME", "TOKEN", "FOR", "SCOPES", "EXPIRES"]
    return format.table(heads, _rows(found)) if found else "there are no bots"


def _rows(found: list[BotView]) -> Iterator[tuple[object, ...]]:
    for one in found:
        named = f"{one.account:010d}", f"{one.owner:010d}" if one.owner else "operator", one.nickname
        for token in one.tokens:
            yield *named, token.sid, token.name, token.scopes, format.moment(token.expires * 1000)
        if not one.tokens:
            yield *named, "-", "-", "-", "-"
