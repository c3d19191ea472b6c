"""OurChat v1, server to client: the frames, byte for byte. Every one bears a `time` in whole Unix seconds, and all
numbers are integers."""

import msgspec
from msgspec import UNSET, UnsetType

from services.edge.canonical.replies import DisplayMessage
from services.edge.dialects.ourchat_v1.codes import V1Code
from services.edge.dialects.text_fallback import rendered
from shared.contract.auth import Authenticated
from shared.contract.edge import FriendshipAnswered, FriendshipRequested, MembershipAnswered, MembershipApplied
from shared.contract.ids import AccountId, ChatId

_encode = msgspec.json.Encoder().encode


class _V1Sender(msgspec.Struct):
    """`private_id` is the receiver, whoever reads it."""

    ocid: int
    group_id: int | UnsetType = UNSET
    private_id: int | UnsetType = UNSET


class _V1Text(msgspec.Struct):
    """`cid` is the message's own number."""

    cid: int
    sender: _V1Sender
    msg: str


class _V1Message(msgspec.Struct):
    """文本信息."""

    code: int
    time: int
    data: _V1Text


def message(shown: DisplayMessage, base_url: str) -> bytes:
    said = shown.message
    private = UNSET if shown.to is None else shown.to
    sender = _V1Sender(said.sender, said.chat if shown.to is None else UNSET, private)
    return _encode(_V1Message(0, said.time // 1000, _V1Text(said.id, sender, rendered(shown.segments, base_url))))


def _frame(code: int, time: int, data: dict[str, object]) -> bytes:
    return _encode({"code": code, "time": time, "data": data})


def registered(answer: Authenticated, time: int) -> bytes:
    """注册返回信息. The token opens the edge's other doors to the same client."""
    return _frame(V1Code.REGISTERED, time, {"state": 0, "ocId": answer.account, "token": answer.token})


def logged_in(answer: Authenticated, time: int) -> bytes:
    """登录返回信息."""
    return _frame(V1Code.LOGGED_IN, time, {"state": 0, "ocid": answer.account, "token": answer.token})


def state(code: int, state: int, details: str, time: int) -> bytes:
    """A registration or login that failed; the document has no place for the details."""
    return _frame(code, time, {"state": state, "details": details})


def error(details: str, time: int) -> bytes:
    return _frame(V1Code.ERROR, time, {"details": details})


def friendship_requested(event: FriendshipRequested, time: int) -> bytes:
    return _frame(V1Code.APPLY, time, {"add_ocid": event.account, "ocid": event.applicant} | _text_member(event.text))


def friendship_answered(event: FriendshipAnswered, time: int) -> bytes:
    """A refusal names who refused, too."""
    code = V1Code.ACCEPT if event.accepted else V1Code.REJECT
    return _frame(code, time, {"add_ocid": event.account, "ocid": event.applicant})


def membership_applied(event: MembershipApplied, time: int) -> bytes:
    return _frame(V1Code.APPLY, time, {"group_id": event.chat, "ocid": event.applicant} | _text_member(event.text))


def membership_answered(event: MembershipAnswered, time: int) -> bytes:
    if event.accepted:
        return in_group(event.chat, event.name, event.account, time)
    return _frame(V1Code.REJECT, time, {"group_id": event.chat, "ocid": event.account})


def in_group(chat: ChatId, name: str, account: AccountId, time: int) -> bytes:
    """The account is in this group: accepted, pulled in, or its founder."""
    return _frame(V1Code.ACCEPT, time, {"group_id": chat, "group_name": name, "ocid": account})


def chat_renamed(chat: ChatId, name: str, by: AccountId, time: int) -> bytes:
    return _frame(V1Code.RENAME, time, {"group_id": chat, "ocid": by} | _name_members(name))


def account_renamed(account: AccountId, name: str, time: int) -> bytes:
    return _frame(V1Code.RENAME, time, {"ocid": account} | _name_members(name))


def _name_members(name: str) -> dict[str, object]:
    """As the document's example and its table have it."""
    return {"name": name, "group_name": name}


def _text_member(text: str) -> dict[str, object]:
    """What an applicant of another dialect wrote; the document has no place for it."""
    return {"text": text} if text else {}
