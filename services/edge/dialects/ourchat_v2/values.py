"""The values that a frame 1 or a frame 10 may request, by name, in the form that the PC client needs."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import msgspec

from services.edge.dialects.addresses import DisplayedAvatar, displayed_avatar
from services.edge.dialects.ourchat_envelope import ocid
from services.edge.identicons import Kind
from shared.contract.ids import AccountId
from shared.contract.model import Chat, Profile
from shared.contract.session import AccountView, ChatView

PC_CLIENT_VALUE = "public_update_time"
"""The name of a value that only the PC client and clients made from its code request. The document does not mention
it."""
_LISTS = ("sessions", "friends")

_json = msgspec.json.Encoder().encode


class ViewerContext(NamedTuple):
    """The connection that requests the values. The PC client can only handle picture addresses of this server."""

    account: AccountId
    is_pc_client: bool
    base_url: str


def account_values(view: AccountView, names: tuple[str, ...], viewer: ViewerContext) -> dict[str, object]:
    """Encode 获取账号信息 (get account information). The PC client gets lists as strings that contain JSON. For other
    accounts, it gets these lists as `"null"`, even if it has not requested them. Any other client gets arrays, and
    null."""
    values = {name: ACCOUNT_VALUES[name](view, viewer) for name in names}
    if PC_CLIENT_VALUE in names:
        others = view.profile.id != viewer.account
        values |= {name: _json(values.get(name)).decode() for name in _LISTS if others or name in values}
    return values


def session_values(view: ChatView, names: tuple[str, ...], viewer: ViewerContext) -> dict[str, object]:
    """获取会话信息."""
    return {name: SESSION_VALUES[name](view, viewer) for name in names}


def _avatar(kind: Kind, of: Profile | Chat, viewer: ViewerContext) -> DisplayedAvatar:
    stored = DisplayedAvatar(of.avatar, of.avatar_hash)
    return displayed_avatar(kind, of.id, stored, viewer.base_url, viewer.is_pc_client)


def _sessions(view: AccountView, viewer: ViewerContext) -> list[str] | None:
    return None if view.chats is None else [str(chat) for chat in view.chats]


def _friends(view: AccountView, viewer: ViewerContext) -> list[str] | None:
    return None if view.friends is None else [ocid(friend) for friend in view.friends]


ACCOUNT_VALUES: Mapping[str, Callable[[AccountView, ViewerContext], object]] = {
    "ocid": lambda view, _: ocid(view.profile.id),
    "nickname": lambda view, _: view.profile.nickname,
    "status": lambda view, _: view.profile.status,
    "avatar": lambda view, viewer: _avatar("account", view.profile, viewer).avatar,
    "avatar_hash": lambda view, viewer: _avatar("account", view.profile, viewer).avatar_hash,
    "time": lambda view, _: view.profile.created,
    "update_time": lambda view, _: max(view.profile.public_updated, view.profile.private_updated),
    "public_update_time": lambda view, _: view.profile.public_updated,
    "private_update_time": lambda view, _: view.profile.private_updated,
    "sessions": _sessions,
    "friends": _friends,
}

SESSION_VALUES: Mapping[str, Callable[[ChatView, ViewerContext], object]] = {
    "session_id": lambda view, _: str(view.chat.id),
    "name": lambda view, _: view.chat.name,
    "avatar": lambda view, viewer: _avatar("chat", view.chat, viewer).avatar,
    "avatar_hash": lambda view, viewer: _avatar("chat", view.chat, viewer).avatar_hash,
    "time": lambda view, _: view.chat.created,
    "update_time": lambda view, _: view.chat.updated,
    "members": lambda view, _: [ocid(member) for member in view.members],
    "owner": lambda view, _: ocid(view.chat.owner),
}
