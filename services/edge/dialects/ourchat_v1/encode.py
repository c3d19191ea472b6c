"""OurChat v1, server to client: the frames, byte for byte. Each frame has a `time` in whole Unix seconds, and all
numbers are integers."""

import msgspec
from msgspec import UNSET, UnsetType

from services.edge.canonical.replies import DisplayMessage
from services.edge.dialects.ourchat_v1.codes import V1Code
from services.edge.dialects.text_fallback import render_message
from shared.contract.auth import Authenticated
from shared.contract.edge import FriendshipAnswered, FriendshipRequested, MembershipAnswered, MembershipApplied
from shared.contract.ids import AccountId, ChatId
from shared.setting_types import Language

_encode = msgspec.json.Encoder().encode


class _V1SenderMember(msgspec.Struct):
    """`private_id` is the recipient, also in the frame that the sender gets."""

    ocid: int
    group_id: int | UnsetType = UNSET
    private_id: int | UnsetType = UNSET


class _V1Text(msgspec.Struct):
    """A message. Its `cid` is the id of the message."""

    cid: int
    sender: _V1SenderMember
    msg: str


class _V1Message(msgspec.Struct):
    """文本信息."""

    code: int
    time: int
    data: _V1Text


def message(shown: DisplayMessage, base_url: str, language: Language = "zh") -> bytes:
    sent = shown.message
    private = UNSET if shown.to is None else shown.to
    sender = _V1SenderMember(sent.sender, sent.chat if shown.to is None else UNSET, private)
    text = render_message(shown.segments, base_url, language)
    return _encode(_V1Message(0, sent.time // 1000, _V1Text(sent.id, sender, text)))


def _frame(code: int, time: int, data: dict[str, object]) -> bytes:
    return _encode({"code": code, "time": time, "data": data})


def registered(answer: Authenticated, time: int) -> bytes:
    """Encode 注册返回信息. Its token is also valid for uploads, downloads and other dialects."""
    return _frame(V1Code.REGISTERED, time, {"state": 0, "ocId": answer.account, "token": answer.token})


def logged_in(answer: Authenticated, time: int) -> bytes:
    """登录返回信息."""
    return _frame(V1Code.LOGGED_IN, time, {"state": 0, "ocid": answer.account, "token": answer.token})


def state(code: int, state: int, details: str, time: int) -> bytes:
    """The reply to a registration or login that failed. `details` are not in the document."""
    return _frame(code, time, {"state": state, "details": details})


def error(details: str, time: int) -> bytes:
    return _frame(V1Code.ERROR, time, {"details": details})


def friendship_requested(event: FriendshipRequested, time: int) -> bytes:
    return _frame(V1Code.APPLY, time, {"add_ocid": event.account, "ocid": event.applicant} | _text_member(event.text))


def friendship_answered(event: FriendshipAnswered, time: int) -> bytes:
    """The answer to a friend request. Even a rejection names the account that has answered."""
    code = V1Code.ACCEPT if event.accepted else V1Code.REJECT
    return _frame(code, time, {"add_ocid": event.account, "ocid": event.applicant})


def membership_applied(event: MembershipApplied, time: int) -> bytes:
    return _frame(V1Code.APPLY, time, {"group_id": event.chat, "ocid": event.applicant} | _text_member(event.text))


def membership_answered(event: MembershipAnswered, time: int) -> bytes:
    if event.accepted:
        return in_group(event.chat, event.name, event.account, time)
    return _frame(V1Code.REJECT, time, {"group_id": event.chat, "ocid": event.account})


def in_group(chat: ChatId, name: str, account: AccountId, time: int) -> bytes:
    """The account is in this group, because it was accepted or added, or has created the group."""
    return _frame(V1Code.ACCEPT, time, {"group_id": chat, "group_name": name, "ocid": account})


def chat_renamed(chat: ChatId, name: str, by: AccountId, time: int) -> bytes:
    return _frame(V1Code.RENAME, time, {"group_id": chat, "ocid": by} | _name_members(name))


def account_renamed(account: AccountId, name: str, time: int) -> bytes:
    return _frame(V1Code.RENAME, time, {"ocid": account} | _name_members(name))


def _name_members(name: str) -> dict[str, object]:
    """The name under two keys, because the document's example has one key and its table has the other."""
    return {"name": name, "group_name": name}


def _text_member(text: str) -> dict[str, object]:
    """The text that an applicant has written in another dialect. The protocol's document has no such text."""
    return {"text": text} if text else {}
