"""The names of users and chats.

The name of a channel is the group's handle, as in `#lobby`, or contains the group's number, as in `#hiking~5`. The
number stays valid when the handle changes.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

from services.edge.dialects.wire_ids import parse_id
from shared.contract.ids import AccountId, ChatId
from shared.contract.members import MemberRole
from shared.contract.model import Chat, Profile, ProfileSummary, Role
from shared.irc_names import LOBBY, LOBBY_NAME, NICK_CHARACTERS, NICKSERV, channel_name, irc_names, numbered_channel

__all__ = ["NICK_CHARACTERS", "numbered_channel"]

CHANNEL_CHARACTERS = 64
PREFIXES: Mapping[Role, str] = {Role.OWNER: "~", Role.ADMIN: "@"}
"""The signs before the names of owners and admins in lists of members."""
MODES: Mapping[Role, str] = {Role.OWNER: "q", Role.ADMIN: "o"}


def marks(role: Role, *, speaker: bool) -> str:
    """The signs before the name of a member."""
    return PREFIXES.get(role, "") + ("+" if speaker else "")


class User(NamedTuple):
    """A user as all IRC clients see it. `account_name` is empty for a guest. `mask`: the user's `nick!user@host`, which
    is the source of the user's lines."""

    account: AccountId
    nick: str
    user: str
    host: str
    real_name: str
    account_name: str
    mask: str


def user_of(account: AccountId, face: Profile | ProfileSummary, server: str) -> User:
    return _user(account, face.nickname, face.nick, face.guest, face.signature, server)


def user_of_member(member: MemberRole, server: str) -> User:
    return _user(member.account, member.nickname or "", member.nick, member.guest, member.real_name, server)


@lru_cache(1024)
def _user(account: AccountId, nickname: str, nick: str, guest: str, signature: str, server: str) -> User:
    shown, user, host = irc_names(account, nickname, nick, guest, server)
    real_name, account_name = (signature, "") if guest else (nickname, nick or str(account))
    return User(account, shown, user, host, real_name, account_name, f"{shown}!{user}@{host}")


def unknown_user(account: AccountId, server: str) -> User:
    return _user(account, "", "", "", "", server)


def account_of(nick: str) -> AccountId | None:
    """The account that a nick of the form `name|number` names. None for any other nick."""
    _, bar, number = nick.rpartition("|")
    found = parse_id(number) if bar else None
    return None if found is None else AccountId(found)


def channel_of(chat: Chat) -> str:
    return channel_name(chat.id, chat.handle, chat.name)


def chat_of(channel: str) -> ChatId | None:
    """The chat that a channel's name contains: the lobby, or the number in `#name~number`. None for any other name."""
    if fold(channel) == LOBBY_NAME:
        return LOBBY
    _, tilde, number = channel.rpartition("~")
    found = parse_id(number) if tilde and channel.startswith("#") else None
    return None if found is None else ChatId(found)


def is_channel(target: str) -> bool:
    return target.startswith("#")


def is_nickserv(target: str) -> bool:
    return fold(target) == NICKSERV


@lru_cache(1024)
def fold(name: str) -> str:
    """Return the form of a name in which names are compared. Names that differ only in the case of ASCII letters are
    the same."""
    return name.encode(errors="surrogatepass").lower().decode(errors="surrogatepass")  # the case of bytes is ASCII's
