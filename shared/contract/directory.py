"""Requests to the session service that find accounts and groups of the installation."""

import msgspec

from shared.contract.model import Chat, Profile, Role
from shared.contract.routes import Forwarded, Routed


class GroupOfUser(msgspec.Struct, array_like=True, frozen=True):
    chat: Chat
    role: Role
    speaker: bool = False


class UserFound(msgspec.Struct, array_like=True, frozen=True):
    """`groups`: the groups of the user that the actor may know."""

    profile: Profile
    groups: tuple[GroupOfUser, ...] = ()


class UsersOfNicks(msgspec.Struct, frozen=True):
    """The found users, in the order of the request. Unknown nicks are left out."""

    users: list[UserFound]


class FindNicks(Forwarded):
    """Requests the accounts with these nicks, at most 100. A nick that ends with `|` and a number names the account
    with this number. `groups`: the reply also has the groups of the users; then at most 10 nicks are permitted."""

    route = Routed("session.find_nicks", UsersOfNicks, reads=True)
    nicks: list[str]
    groups: bool = False


class FindByMask(Forwarded):
    """Requests the members of the actor's groups whose nick, name on IRC, host or real name matches this mask with `*`
    and `?`, at most 500."""

    route = Routed("session.find_by_mask", UsersOfNicks, reads=True)
    mask: str


class GroupListed(msgspec.Struct, array_like=True, frozen=True):
    chat: Chat
    size: int


class GroupList(msgspec.Struct, frozen=True):
    """A page of groups, in order of their handles."""

    groups: list[GroupListed]
    more: bool = False


class ListGroups(Forwarded):
    """Requests the open groups with a handle, except groups that are hidden from lists (mode `s`), and the actor's own
    groups. The reply is a page after the group with this handle."""

    route = Routed("session.list_groups", GroupList, reads=True)
    after: str = ""
