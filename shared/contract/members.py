"""The list of the members of a chat."""

import msgspec

from shared.contract.ids import NO_ACCOUNT, AccountId, ChatId
from shared.contract.model import Role


class ListMembers(msgspec.Struct):
    """Requests the members of a chat in order of account, one page after `after`; only members may (`forbidden`)."""

    chat: ChatId
    after: AccountId = NO_ACCOUNT
    actor: AccountId = NO_ACCOUNT


class MemberRole(msgspec.Struct, array_like=True, frozen=True):
    """`silenced`: until then (Unix ms), perhaps in the past; 0: not at all. `nickname`: None from a replica of
    a version that does not look it up. `avatar`: as in Profile."""

    account: AccountId
    role: Role
    silenced: int = 0
    nickname: str | None = None
    avatar: str = ""


class MemberList(msgspec.Struct, frozen=True):
    """`silenced`: all but the owner and the admins, as in MemberRole."""

    members: list[MemberRole]
    more: bool = False
    silenced: int = 0
