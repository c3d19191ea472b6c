"""Requests to the session service: texts of accounts and groups under keys, which IRC calls metadata."""

import re

import msgspec

from shared.contract.ids import NO_ACCOUNT, AccountId, ChatId
from shared.contract.routes import Forwarded, Routed

NO_CHAT = ChatId(0)
KEY = re.compile(r"[a-z0-9_./-]{1,32}")
DISPLAY_NAME, AVATAR = "display-name", "avatar"
PROFILE_KEYS = DISPLAY_NAME, AVATAR
"""The keys whose values are in the profile of an account, unless it is a guest: the nickname if it is not the nick, and
the picture if it is not the generated one. They are changed by SetProfile."""
MOST_KEYS = 20
"""The most keys of one account or group."""
MOST_BYTES = 300
"""The most bytes of a value."""


def profile_values(nick: str, nickname: str, avatar: str) -> dict[str, str]:
    """The values of PROFILE_KEYS, empty where there is none."""
    return {DISPLAY_NAME: "" if nickname == nick else nickname, AVATAR: avatar}


class MetadataValue(msgspec.Struct, array_like=True, frozen=True):
    """A text of the group `chat` or, if `chat` is 0, of the account."""

    account: AccountId
    chat: ChatId
    key: str
    value: str


class MetadataList(msgspec.Struct, frozen=True):
    values: list[MetadataValue]


class ListMetadata(Forwarded):
    """Requests the values of an account or of a group, at most 500. `keys`: only the values of these keys; all values
    if it is empty. `members`: also the values of the group's members; only a member gets them. An account outside the
    group may only read a group that it may join. Error: `forbidden`."""

    route = Routed("session.list_metadata", MetadataList, reads=True)
    account: AccountId = NO_ACCOUNT
    chat: ChatId = NO_CHAT
    keys: tuple[str, ...] = ()
    members: bool = False


class SetMetadata(Forwarded):
    """Changes one value. An empty value deletes it, and an empty key deletes all values. The reply has the changes; a
    deleted value is empty. Errors: `forbidden` for another account, and for members who do not manage the group;
    `invalid` for a key that is not a word of at most 32 of the characters a-z, 0-9, `_`, `.`, `/` and `-`; `too_large`
    for a value above 300 bytes; `limit` for more than 20 keys."""

    route = Routed("session.set_metadata", MetadataList)
    key: str
    value: str
    account: AccountId = NO_ACCOUNT
    chat: ChatId = NO_CHAT
