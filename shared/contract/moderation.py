"""Requests to session: bans, silences, settings, and the end of a group."""

from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from shared.contract.ids import NO_ACCOUNT, AccountId, ChatId
from shared.contract.model import JoinPolicy
from shared.contract.routes import Forwarded, Route, Routed
from shared.contract.session import ChatVersion


class BanMember(Forwarded):
    """The owner or an admin of a group bans an account of a lower role, or one that is no member: it is removed, and
    cannot join or be added before `until` (Unix ms; 0: ever). Repeated, it sets the time. Errors: `not_found` for an
    unknown account, `forbidden` for a member of the same or a higher role, `limit` for too many bans."""

    route = Routed("session.ban_member", ChatVersion)

    chat: ChatId
    account: AccountId
    until: int = 0
    actor: AccountId = NO_ACCOUNT


class UnbanMember(Forwarded):
    """The owner or an admin ends a ban (idempotent)."""

    route = Routed("session.unban_member", ChatVersion)

    chat: ChatId
    account: AccountId
    actor: AccountId = NO_ACCOUNT


class Ban(msgspec.Struct, array_like=True, frozen=True):
    """`until`: Unix ms, 0: it does not end. `by`: who banned the account."""

    account: AccountId
    until: int
    by: AccountId


class BanList(msgspec.Struct, frozen=True):
    """In order of account."""

    bans: list[Ban]


class ListBans(Forwarded):
    """Requests the bans of a group; only the owner and the admins may (`forbidden`)."""

    route = Routed("session.list_bans", BanList, reads=True)

    chat: ChatId
    actor: AccountId = NO_ACCOUNT


class SilenceMember(Forwarded):
    """The owner or an admin silences a member of a lower role, or (NO_ACCOUNT) all but the owner and the admins: their
    messages are rejected with `forbidden` before `until` (Unix ms); 0 ends it. The silence of a
    former member goes on when it joins again. Errors: `not_found` for an account that is no member, `forbidden` for a
    member of the same or a higher role, `limit` for too many silenced members."""

    route = Routed("session.silence_member", ChatVersion)

    chat: ChatId
    account: AccountId
    until: int
    actor: AccountId = NO_ACCOUNT


class SetChat(Forwarded):
    """The owner or an admin changes a group: its name, as RenameChat does, its picture, its topic, who may join,
    whether members see what the others have read, for how long senders may edit and recall, and what new members see,
    as in Chat."""

    route = Routed("session.set_chat", ChatVersion)
    rules_route = Routed("session.set_chat_rules", ChatVersion)
    """Of what a session of the previous version would ignore."""

    chat: ChatId
    name: str | UnsetType = UNSET
    receipts: bool | UnsetType = UNSET
    actor: AccountId = NO_ACCOUNT
    avatar: str | UnsetType = UNSET
    avatar_hash: str | UnsetType = UNSET
    topic: str | UnsetType = UNSET
    join_policy: JoinPolicy | UnsetType = UNSET
    edit_seconds: int | UnsetType | None = UNSET
    recall_seconds: int | UnsetType | None = UNSET
    history_for_new: bool | UnsetType | None = UNSET

    @property
    def route_now(self) -> Route[Any, Any]:
        rules = (self.edit_seconds, self.recall_seconds, self.history_for_new)
        return self.route if all(rule is UNSET for rule in rules) else self.rules_route


class DisbandChat(Forwarded):
    """The owner ends a group for all members; nobody can join it again. Its messages are stored as before."""

    route = Routed("session.disband_chat", ChatVersion)

    chat: ChatId
    actor: AccountId = NO_ACCOUNT
