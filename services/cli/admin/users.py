"""An operator and one account."""

import secrets
import uuid

from services.cli.admin.bus_client import AdminClient
from shared.contract.admin import FindUser, Kick, ResetPassword, SetDisabled, UserView
from shared.contract.auth import DeleteAccount, IdentifierKind
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.subjects import DELETE_USER, FIND_USER, KICK, RESET_PASSWORD, SET_DISABLED

_PASSWORD_BYTES = 12


async def find(link: AdminClient, identifier: str) -> UserView:
    """By OC number, uuid, username or e-mail address: nobody hides behind somebody else's number by his username."""
    if _is_uuid(identifier):
        return await link.request(FIND_USER, FindUser(IdentifierKind.UUID, identifier))
    try:
        return await link.request(FIND_USER, FindUser(IdentifierKind.ID, identifier))
    except RequestError as refusal:
        if refusal.failure.code is not ErrorCode.NOT_FOUND:
            raise
    return await link.request(FIND_USER, FindUser(IdentifierKind.ANY, identifier))


async def set_disabled(link: AdminClient, identifier: str, disabled: bool) -> UserView:
    user = await find(link, identifier)
    await link.request(SET_DISABLED, SetDisabled(user.account, disabled))
    return user


async def reset(link: AdminClient, identifier: str) -> tuple[UserView, str]:
    """And the new password, which is kept nowhere."""
    user, password = await find(link, identifier), secrets.token_urlsafe(_PASSWORD_BYTES)
    await link.request(RESET_PASSWORD, ResetPassword(user.account, password))
    return user, password


async def kick(link: AdminClient, identifier: str) -> UserView:
    user = await find(link, identifier)
    await link.request(KICK, Kick(user.account))
    return user


async def delete(link: AdminClient, user: UserView) -> None:
    await link.request(DELETE_USER, DeleteAccount(user.account))


def _is_uuid(text: str) -> bool:
    try:
        return str(uuid.UUID(text)) == text.lower()
    except ValueError:
        return False
