"""OurChat v1, server to client: the frames, byte for byte. Every one bears a `time` in whole Unix seconds, and all
numbers are integers."""

import msgspec
from msgspec import UNSET, UnsetType

from services.edge.canonical.replies import DisplayMessage
from services.edge.dialects.ourchat_v1.codes import Code
from services.edge.dialects.text_fallback import rendered
from shared.contract.auth import Authenticated
from shared.contract.edge import FriendshipAnswered, FriendshipRequested, MembershipAnswered, MembershipApplied
from shared.contract.ids import AccountId, ChatId

_encode = msgspec.json.Encoder().encode


class _Sender(msgspec.Struct):
    """`private_id` is the receiver, whoever reads it."""

    ocid: int
    group_id: int | UnsetType = UNSET
    private_id: int | UnsetType = UNSET


class _Text(msgspec.Struct):
    """`cid` is the message's own number."""

    cid: int
    sender: _Sender
    msg: str


class _Message(msgspec.Struct):
    """文本信息."""

    code: int
    time: int
    data: _Text


def message(shown: DisplayMessage, base_url: str) -> bytes:
    said = shown.message
    private = UNSET if shown.to is None else shown.to
    sender = _Sender(said.sender, said.chat if shown.to is None else UNSET, private)
    return _encode(_Message(0, said.time // 1000, _Text(said.id, sender, rendered(shown.segments, base_url))))


def _frame(code: int, time: int, data: dict[str, object]) -> bytes:
    return _encode({"code": code, "time": time, "data": data})


def registered(answer: Authenticated, time: int) -> bytes:
    """注册返回信息. The token opens the edge's other doors to the same client."""
    return _frame(Code.REGISTERED, time, {"state": 0, "ocId": answer.account, "token": answer.token})


def logged_in(answer: Authenticated, time: int) -> bytes:
    """登录返回信息."""
    return _frame(Code.LOGGED_IN, time, {"state": 0, "ocid": answer.account, "token": answer.token})


def state(code: int, state: int, details: str, time: int) -> bytes:
    """A registration or login that failed; the document has no place for the details."""
    return _frame(code, time, {"state": state, "details": details})


def error(details: str, time: int) -> bytes:
    return _frame(Code.ERROR, time, {"details": details})


def friendship_requested(event: FriendshipRequested, time: int) -> bytes:
    return _frame(Code.APPLY, time, {"add_ocid": event.account, "ocid": event.applicant} | _with(event.text))


def friendship_answered(event: FriendshipAnswered, time: int) -> bytes:
    """A refusal names who refused, too."""
    code = Code.ACCEPT if event.accepted else Code.REFUSE
    return _frame(code, time, {"add_ocid": event.account, "ocid": event.applicant})


def membership_applied(event: MembershipApplied, time: int) -> bytes:
    return _frame(Code.APPLY, time, {"group_id": event.chat, "ocid": event.applicant} | _with(event.text))


def membership_answered(event: MembershipAnswered, time: int) -> bytes:
    if event.accepted:
        return in_group(event.chat, event.name, event.account, time)
    return _frame(Code.REFUSE, time, {"group_id": event.chat, "ocid": event.account})


def in_group(chat: ChatId, name: str, account: AccountId, time: int) -> bytes:
    """The account is in this group: accepted, pulled in, or its founder."""
    return _frame(Code.ACCEPT, time, {"group_id": chat, "group_name": name, "ocid": account})


def chat_renamed(chat: ChatId, name: str, by: AccountId, time: int) -> bytes:
    return _frame(Code.RENAME, time, {"group_id": chat, "ocid": by} | _named(name))


def person_renamed(account: AccountId, name: str, time: int) -> bytes:
    return _frame(Code.RENAME, time, {"ocid": account} | _named(name))


def _named(name: str) -> dict[str, object]:
    """As the document's example and its table have it."""
    return {"name": name, "group_name": name}


def _with(text: str) -> dict[str, object]:
    """What an applicant of another dialect wrote; the document has no place for it."""
    return {"text": text} if text else {}
