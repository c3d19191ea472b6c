"""`dragoman admin user` shows and changes accounts. ACCOUNT is always a username, an e-mail address, an OC number or a
uuid."""

import secrets
import uuid
from collections.abc import Awaitable, Callable, Sequence
from functools import wraps
from typing import Any

import click
import msgspec

from local.installation import Installation
from services.cli.admin import format
from services.cli.admin.bus_client import AdminClient
from services.cli.admin.command import (
    account_argument,
    json_option,
    on_installation,
    on_system,
    prints,
    with_client,
    yes_option,
)
from services.cli.console import LazyGroup, confirm
from shared.contract.admin import Duplicates, FindUser, Kick, ListDuplicates, ResetPassword, SetDisabled, UserView
from shared.contract.auth import DeleteAccount, EndLogin, IdentifierKind, ListLogins, LoginView
from shared.contract.bots import BotView, ListBots
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.made import EndMade, ListMade, MadeLink, MadeWebhook
from shared.contract.subjects import DELETE_USER, END_BOT_TOKENS, END_USER_LOGIN, LIST_USER_LOGINS

_PASSWORD_BYTES = 12
_SECRETS = {
    "plain": "password",
    "md5": "password that its client hashes by MD5",
    "sha256": "password that its client hashes by SHA-256",
    "service": "secret of a service client",
}
"""The schemes of an account's secrets, with their descriptions."""


class MadeThings(msgspec.Struct, frozen=True):
    """The webhooks, links and tokens of bots that an account has made. They act without a login of the account."""

    hooks: list[MadeWebhook]
    links: list[MadeLink]
    bots: list[BotView]


def _user_text(found: UserView) -> str:
    return format.record(
        ("account", format.account(found.account)),
        ("uuid", found.uuid),
        ("e-mail", found.email),
        ("verified", found.email_verified),
        ("username", found.username),
        ("registered as", found.nickname),
        ("registered at", format.moment(found.created)),
        ("disabled", found.disabled),
        ("logs in by", [_SECRETS.get(scheme, scheme) for scheme in found.schemes]),
        ("recoverable", found.recoverable),
    )


def _duplicates_text(found: Duplicates) -> str:
    rows = [("usernames that look alike", ", ".join(map(str, group))) for group in found.usernames]
    return format.table(("duplicates", "accounts"), rows)


def _made_text(found: MadeThings) -> str:
    return _counts_text(found) or "this account has made no webhooks, links or tokens"


def _counts_text(found: MadeThings) -> str:
    """The counts in one line, without zeros."""
    outgoing = sum(bool(one.origin) for one in found.hooks)
    tokens = sum(len(bot.tokens) for bot in found.bots)
    counts = {
        "incoming webhooks": len(found.hooks) - outgoing, "outgoing webhooks": outgoing, "links": len(found.links),
        "tokens of bots": tokens,
    }  # fmt: skip
    return ", ".join(f"{name}: {count}" for name, count in counts.items() if count)


def _logins_text(found: Sequence[LoginView]) -> str:
    heads = ["ID", "LOGGED IN", "EXPIRES", "ADDRESS", "CLIENT", "DEVICE"]
    rows = (
        (one.sid, format.moment(one.created), format.moment(one.expires * 1000), one.address, one.client, one.device)
        for one in found
    )
    return format.table(heads, rows, "there are no logins")


async def find(client: AdminClient, identifier: str) -> UserView:
    """Find an account by OC number, uuid, username or e-mail address.

    The identifier is looked up as an OC number first. So a username that equals the number of another account does not
    hide that account.
    """
    if _is_uuid(identifier):
        return await client.send(FindUser(IdentifierKind.UUID, identifier))
    try:
        return await client.send(FindUser(IdentifierKind.ID, identifier))
    except RequestError as error:
        if error.failure.code is not ErrorCode.NOT_FOUND:
            raise
    return await client.send(FindUser(IdentifierKind.ANY, identifier))


async def made(client: AdminClient, user: UserView) -> MadeThings:
    """Raises RequestError."""
    found = await client.send(ListMade(user.account))
    return MadeThings(found.hooks, found.links, (await client.send(ListBots(user.account))).bots)


def _is_uuid(text: str) -> bool:
    try:
        return str(uuid.UUID(text)) == text.lower()
    except ValueError:
        return False


def on_confirmed_account(question: str) -> Callable[[Callable[..., Awaitable[None]]], Callable[..., None]]:
    """Makes a command that works on an account of a running system, after the operator has confirmed the account. The
    first arguments of the command are a client and the account."""

    def decorate(command: Callable[..., Awaitable[None]]) -> Callable[..., None]:
        @on_installation
        @account_argument
        @yes_option
        @wraps(command)
        def run(installation: Installation, *, account: str, yes: bool, **arguments: Any) -> None:
            found = with_client(installation, lambda client: find(client, account))
            confirm(f"{question} account {found.account} ({found.nickname!r})?", yes=yes)
            with_client(installation, lambda client: command(client, found, **arguments))

        return run

    return decorate


@click.group(cls=LazyGroup, sections={"Commands": {"export": "services.cli.admin.export:export_account"}})
def user() -> None:
    """Accounts: find, disable, reset-password, delete and others."""


@user.command("find")
@prints(_user_text)
@account_argument
@json_option
async def user_find(client: AdminClient, account: str) -> UserView:
    """Show an account.

    ACCOUNT is a username, an e-mail address, an OC number or a uuid.
    """
    return await find(client, account)


@user.command("duplicates")
@prints(_duplicates_text)
@json_option
async def user_duplicates(client: AdminClient) -> Duplicates:
    """List accounts whose usernames look alike.

    Such accounts were registered before their names counted as alike. All listed accounts work, each by its username as
    it was registered.
    """
    return await client.send(ListDuplicates())


@user.command("disable", epilog="Example: dragoman admin user disable ann@example.org")
@on_confirmed_account("Disable")
async def user_disable(client: AdminClient, found: UserView) -> None:
    """Disconnect an account, and reject its logins."""
    await client.send(SetDisabled(found.account, True))
    click.echo(f"account {found.account} is disabled")


@user.command("enable", epilog="Example: dragoman admin user enable ann@example.org")
@on_system
@account_argument
async def user_enable(client: AdminClient, account: str) -> None:
    """Accept logins to a disabled account again."""
    found = await find(client, account)
    await client.send(SetDisabled(found.account, False))
    click.echo(f"account {found.account} is enabled")


@user.command("reset-password", epilog="Example: dragoman admin user reset-password ann@example.org")
@on_confirmed_account("Reset the password of")
async def user_reset_password(client: AdminClient, found: UserView) -> None:
    """Give an account a new password, and void its tokens.

    The password is printed once. Webhooks, links and bots' tokens that the account has made still work: the command
    counts them, and `dragoman admin user end-made` ends them.
    """
    password = secrets.token_urlsafe(_PASSWORD_BYTES)
    await client.send(ResetPassword(found.account, password))
    # the password is stored nowhere in clear text
    click.echo(f"the new password of account {found.account}: {password}")
    if text := _counts_text(await made(client, found)):
        click.echo(f"its {text} still work; to end them: dragoman admin user end-made {found.account}")


@user.command("made")
@prints(_made_text)
@account_argument
@json_option
async def user_made(client: AdminClient, account: str) -> MadeThings:
    """Show everything that acts for an account without a login.

    These are webhooks, links, and tokens of bots.
    """
    found = await find(client, account)
    await client.record("list made", found.account)
    return await made(client, found)


@user.command("end-made", epilog="Example: dragoman admin user end-made ann@example.org")
@on_confirmed_account("End all webhooks, links and bots of")
async def user_end_made(client: AdminClient, found: UserView) -> None:
    """End all webhooks, links and tokens of an account."""
    text = _counts_text(await made(client, found))
    await client.record("end made", found.account)
    await client.send(EndMade(found.account))
    await client.request(END_BOT_TOKENS, EndMade(found.account))
    click.echo(f"ended: {text}" if text else "this account has made no webhooks, links or tokens")


@user.command("sessions")
@prints(_logins_text)
@account_argument
@json_option
async def user_sessions(client: AdminClient, account: str) -> list[LoginView]:
    """List an account's logins, newest first."""
    found = await find(client, account)
    return (await client.request(LIST_USER_LOGINS, ListLogins(found.account))).logins


@user.command("end-session", epilog="Example: dragoman admin user end-session ann@example.org 0f1e2d3c")
@on_confirmed_account("End a login of")
@click.argument("sid", metavar="ID")
async def user_end_session(client: AdminClient, found: UserView, sid: str) -> None:
    """End one login, named by its ID in the list of sessions."""
    await client.request(END_USER_LOGIN, EndLogin(sid, found.account))
    click.echo(f"the login {sid} of account {found.account} is ended")


@user.command("kick", epilog="Example: dragoman admin user kick ann@example.org")
@on_confirmed_account("Disconnect")
async def user_kick(client: AdminClient, found: UserView) -> None:
    """End an account's connections. Its clients may connect again."""
    await client.send(Kick(found.account))
    click.echo(f"account {found.account} is disconnected")


@user.command("delete", epilog="Example: dragoman admin user delete ann@example.org")
@on_confirmed_account("Delete")
async def user_delete(client: AdminClient, found: UserView) -> None:
    """Delete an account irrevocably. Its messages stay.

    The account is deleted everywhere, as its user could do. This cannot be undone.
    """
    await client.request(DELETE_USER, DeleteAccount(found.account))
    click.echo(f"account {found.account} is deleted")
