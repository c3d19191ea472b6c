"""Use cases of the operator about one account."""

import secrets
import uuid

import msgspec

from services.cli.admin.bus_client import AdminClient
from shared.contract.admin import Duplicates, FindUser, Kick, ListDuplicates, ResetPassword, SetDisabled, UserView
from shared.contract.auth import DeleteAccount, EndLogin, IdentifierKind, ListLogins, LoginView
from shared.contract.bots import BotView, ListBots
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.made import EndMade, ListMade, MadeHook, MadeLink
from shared.contract.subjects import DELETE_USER, END_BOT_TOKENS, END_USER_LOGIN, LIST_USER_LOGINS

_PASSWORD_BYTES = 12


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


async def list_duplicates(client: AdminClient) -> Duplicates:
    return await client.request(ListDuplicates.route, ListDuplicates())


async def set_disabled(client: AdminClient, identifier: str, disabled: bool) -> UserView:
    user = await find(client, identifier)
    await client.request(SetDisabled.route, SetDisabled(user.account, disabled))
    return user


async def reset(client: AdminClient, identifier: str) -> tuple[UserView, str]:
    """Returns the account and its new password, which is stored nowhere in the clear."""
    user, password = await find(client, identifier), secrets.token_urlsafe(_PASSWORD_BYTES)
    await client.request(ResetPassword.route, ResetPassword(user.account, password))
    return user, password


async def kick(client: AdminClient, identifier: str) -> UserView:
    user = await find(client, identifier)
    await client.request(Kick.route, Kick(user.account))
    return user


async def sessions(client: AdminClient, identifier: str) -> list[LoginView]:
    user = await find(client, identifier)
    return (await client.request(LIST_USER_LOGINS, ListLogins(user.account))).logins


async def end_session(client: AdminClient, identifier: str, sid: str) -> UserView:
    user = await find(client, identifier)
    await client.request(END_USER_LOGIN, EndLogin(sid, user.account))
    return user


async def delete(client: AdminClient, user: UserView) -> None:
    await client.request(DELETE_USER, DeleteAccount(user.account))


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
