"""Requests to the session service that find accounts and groups of the installation."""

import msgspec

from shared.contract.ids import NO_ACCOUNT, AccountId
from shared.contract.model import Chat, Profile, Role
from shared.contract.routes import Forwarded, Routed


class GroupOfUser(msgspec.Struct, array_like=True, frozen=True):
    chat: Chat
    role: Role
    speaker: bool = False


class UserFound(msgspec.Struct, array_like=True, frozen=True):
    """`groups`: those of the user that the actor may know of."""

    profile: Profile
    groups: tuple[GroupOfUser, ...] = ()


class UsersOfNicks(msgspec.Struct, frozen=True):
    """The users are in the order of the request, without unknown nicks."""

    users: list[UserFound]


class FindNicks(Forwarded):
    """Requests the accounts with these nicks, at most 100. A nick that ends with `|` and a number names the account
    with this number. `groups`: with their groups, for at most 10."""

    route = Routed("session.find_nicks", UsersOfNicks, reads=True)
    nicks: list[str]
    groups: bool = False
    actor: AccountId = NO_ACCOUNT


class FindByMask(Forwarded):
    """Requests the members of the actor's groups whose nick, name on IRC, host or real name matches this mask with `*`
    and `?`, at most 500."""

    route = Routed("session.find_by_mask", UsersOfNicks, reads=True)
    mask: str
    actor: AccountId = NO_ACCOUNT


class GroupListed(msgspec.Struct, array_like=True, frozen=True):
    chat: Chat
    size: int


class GroupList(msgspec.Struct, frozen=True):
    """By handle."""

    groups: list[GroupListed]
    more: bool = False


class ListGroups(Forwarded):
    """Requests the open groups with a handle, without those that are in no list, and the actor's own groups; a page
    after the group with this handle."""

    route = Routed("session.list_groups", GroupList, reads=True)
    after: str = ""
    actor: AccountId = NO_ACCOUNT
