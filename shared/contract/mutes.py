"""Requests to session: what a member wants to be alerted of."""

import msgspec

from shared.contract.ids import NO_ACCOUNT, AccountId, ChatId


class Mute(msgspec.Struct, array_like=True, frozen=True):
    """What a member wants to be alerted of: of no message before this time (Unix ms), or of those alone that mention
    the member."""

    until: int = 0
    mentions_only: bool = False


class MuteChat(msgspec.Struct):
    """The actor's own setting of a chat, as in Mute, until the membership ends: clients follow it, services do not.
    Only members may (`forbidden`)."""

    chat: ChatId
    until: int = 0
    mentions_only: bool = False
    actor: AccountId = NO_ACCOUNT
