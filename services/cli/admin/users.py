"""Accounts: `dragoman admin user`, `kick` and `delete`. ACCOUNT is always a username, an e-mail address, an OC
number or a uuid."""

import secrets
import uuid
from collections.abc import Sequence

import click
import msgspec

from local.installation import Installation
from services.cli.admin import format
from services.cli.admin.bus_client import AdminClient
from services.cli.admin.command import account_argument, json_option, on_installation, with_client, yes_option
from shared.contract.admin import Duplicates, FindUser, Kick, ListDuplicates, ResetPassword, SetDisabled, UserView
from shared.contract.auth import DeleteAccount, EndLogin, IdentifierKind, ListLogins, LoginView
from shared.contract.bots import BotView, ListBots
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.made import EndMade, ListMade, MadeHook, MadeLink
from shared.contract.subjects import DELETE_USER, END_BOT_TOKENS, END_USER_LOGIN, LIST_USER_LOGINS

_PASSWORD_BYTES = 12
_SECRETS = {
    "plain": "password",
    "md5": "password that its client hashes by MD5",
    "sha256": "password that its client hashes by SHA-256",
    "service": "secret of a service client",
}
"""The schemes of an account's secrets."""


async def find(client: AdminClient, identifier: str) -> UserView:
    """Find an account by OC number, uuid, username or e-mail address.

    The number is looked up first: a username equal to another account's number must not shadow that account.
    """
    if _is_uuid(identifier):
        return await client.request(FindUser.route, FindUser(IdentifierKind.UUID, identifier))
    try:
        return await client.request(FindUser.route, FindUser(IdentifierKind.ID, identifier))
    except RequestError as error:
        if error.failure.code is not ErrorCode.NOT_FOUND:
            raise
    return await client.request(FindUser.route, FindUser(IdentifierKind.ANY, identifier))


async def set_disabled(client: AdminClient, identifier: str, disabled: bool) -> UserView:
    user = await find(client, identifier)
    await client.request(SetDisabled.route, SetDisabled(user.account, disabled))
    return user


async def reset(client: AdminClient, identifier: str) -> tuple[UserView, str]:
    """Returns the account and its new password, which is stored nowhere in the clear."""
    user, password = await find(client, identifier), secrets.token_urlsafe(_PASSWORD_BYTES)
    await client.request(ResetPassword.route, ResetPassword(user.account, password))
    return user, password


class MadeThings(msgspec.Struct, frozen=True):
    """What an account has made that acts without a login."""

    hooks: list[MadeHook]
    links: list[MadeLink]
    bots: list[BotView]


async def made(client: AdminClient, user: UserView) -> MadeThings:
    """Raises RequestError."""
    found = await client.request(ListMade.route, ListMade(user.account))
    return MadeThings(found.hooks, found.links, (await client.request(ListBots.route, ListBots(user.account))).bots)


async def end_made(client: AdminClient, user: UserView) -> None:
    """Raises RequestError."""
    await client.record("end made", user.account)
    await client.request(EndMade.route, EndMade(user.account))
    await client.request(END_BOT_TOKENS, EndMade(user.account))


def _is_uuid(text: str) -> bool:
    try:
        return str(uuid.UUID(text)) == text.lower()
    except ValueError:
        return False


@click.group()
def user() -> None:
    """Accounts: find, duplicates, disable, enable, reset, made, sessions."""


@user.command("find")
@on_installation
@account_argument
@json_option
def user_find(installation: Installation, account: str, as_json: bool) -> None:
    """Show an account, named by username, e-mail address, OC number or uuid."""
    found = with_client(installation, lambda client: find(client, account))
    format.show(found, _user_text, as_json=as_json)


@user.command("duplicates")
@on_installation
@json_option
def user_duplicates(installation: Installation, as_json: bool) -> None:
    """List accounts whose usernames look alike, or whose e-mail addresses are one.

    They were registered before such names were rejected. All of them work, each by its identifier as it was registered.
    """
    found = with_client(installation, lambda client: client.request(ListDuplicates.route, ListDuplicates()))
    format.show(found, _duplicates_text, as_json=as_json)


@user.command("disable")
@on_installation
@account_argument
def user_disable(installation: Installation, account: str) -> None:
    """End an account's connections, void its tokens, and reject its logins."""
    found = with_client(installation, lambda client: set_disabled(client, account, True))
    click.echo(f"account {found.account} is disabled")


@user.command("enable")
@on_installation
@account_argument
def user_enable(installation: Installation, account: str) -> None:
    """Accept logins to a disabled account again."""
    found = with_client(installation, lambda client: set_disabled(client, account, False))
    click.echo(f"account {found.account} is enabled")


@user.command("reset")
@on_installation
@account_argument
def user_reset(installation: Installation, account: str) -> None:
    """Give an account a new password, which is printed once; void the old one and all tokens.

    Webhooks, links and tokens of bots that the account has made go on: they are counted, and `dragoman admin user made`
    ends them.
    """

    async def work(client: AdminClient) -> tuple[UserView, str, MadeThings]:
        found, password = await reset(client, account)
        return found, password, await made(client, found)

    found, password, things = with_client(installation, work)
    click.echo(f"the new password of account {found.account}: {password}")
    if text := _made_text(things):
        click.echo(f"what it has made still acts ({text}); to end it: dragoman admin user made {found.account} --end")


@user.command("made")
@on_installation
@account_argument
@click.option("--end", is_flag=True, help="Delete the webhooks and links, and revoke the tokens of bots.")
@json_option
def user_made(installation: Installation, account: str, end: bool, as_json: bool) -> None:
    """Show what an account has made that acts without a login: webhooks, links, tokens of bots."""

    async def work(client: AdminClient) -> MadeThings:
        found = await find(client, account)
        await client.record("list made", found.account)
        things = await made(client, found)
        if end:
            await end_made(client, found)
        return things

    things = with_client(installation, work)
    format.show(things, lambda found: _made_text(found) or "it has made nothing", as_json=as_json)
    if end:
        click.echo("all of it is ended")


@user.command("sessions")
@on_installation
@account_argument
@click.option("--end", "sid", metavar="ID", help="End this login: its connections close, its token is void.")
@json_option
def user_sessions(installation: Installation, account: str, sid: str | None, as_json: bool) -> None:
    """List an account's logins, newest first, or end one."""
    if sid is not None:
        ended = with_client(installation, lambda client: _end_session(client, account, sid))
        return click.echo(f"the login {sid} of account {ended.account} is ended")
    found = with_client(installation, lambda client: _sessions(client, account))
    format.show(found, _logins_text, as_json=as_json)


async def _end_session(client: AdminClient, identifier: str, sid: str) -> UserView:
    user = await find(client, identifier)
    await client.request(END_USER_LOGIN, EndLogin(sid, user.account))
    return user


async def _sessions(client: AdminClient, identifier: str) -> list[LoginView]:
    user = await find(client, identifier)
    return (await client.request(LIST_USER_LOGINS, ListLogins(user.account))).logins


@click.command("kick")
@on_installation
@account_argument
def kick_user(installation: Installation, account: str) -> None:
    """End an account's connections; its clients may reconnect at once."""

    async def work(client: AdminClient) -> UserView:
        found = await find(client, account)
        await client.request(Kick.route, Kick(found.account))
        return found

    found = with_client(installation, work)
    click.echo(f"account {found.account} is disconnected")


@click.command("delete")
@on_installation
@account_argument
@yes_option
def delete_user(installation: Installation, account: str, yes: bool) -> None:
    """Delete an account everywhere, as its user could; its messages stay. This cannot be undone."""
    found = with_client(installation, lambda client: find(client, account))
    if not yes:
        click.confirm(f"Delete account {found.account} ({found.nickname!r})?", abort=True)
    with_client(installation, lambda client: client.request(DELETE_USER, DeleteAccount(found.account)))
    click.echo(f"account {found.account} is deleted")


def _user_text(found: UserView) -> str:
    return format.record(
        [
            ("account", f"{found.account:010d}"),
            ("uuid", found.uuid),
            ("e-mail", found.email),
            ("verified", found.email_verified),
            ("username", found.username),
            ("registered as", found.nickname),
            ("registered at", format.moment(found.created)),
            ("disabled", found.disabled),
            ("logs in by", [_SECRETS.get(scheme, scheme) for scheme in found.schemes]),
            ("recoverable", found.recoverable),
        ]
    )


def _duplicates_text(found: Duplicates) -> str:
    rows = [("usernames that look alike", group) for group in found.usernames]
    rows += [("one e-mail address", group) for group in found.emails]
    return format.table(("duplicates", "accounts"), ((kind, ", ".join(map(str, group))) for kind, group in rows))


def _made_text(found: MadeThings) -> str:
    """One line, which names only what there is."""
    outgoing = sum(bool(one.origin) for one in found.hooks)
    tokens = sum(len(bot.tokens) for bot in found.bots)
    counts = {
        "incoming webhooks": len(found.hooks) - outgoing, "outgoing webhooks": outgoing, "links": len(found.links),
        "tokens of bots": tokens,
    }  # fmt: skip
    return ", ".join(f"{name}: {count}" for name, count in counts.items() if count)


def _logins_text(found: Sequence[LoginView]) -> str:
    heads = ["ID", "LOGGED IN", "EXPIRES", "ADDRESS", "CLIENT", "DEVICE"]
    rows = [
        (
            one.sid,
            format.moment(one.created),
            format.moment(one.expires * 1000),
            one.address,
            one.client,
            one.device or "-",
        )
        for one in found
    ]
    return format.table(heads, rows) if found else "there are no logins"
