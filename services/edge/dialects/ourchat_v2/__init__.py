"""OurChat v2 (2024): JSON objects with an integer `code`. The ids in frames to the client are strings, and times are
milliseconds."""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from math import inf
from typing import Final

import msgspec
from msgspec import UNSET

from services.edge.canonical.commands import BEFORE_LOGIN, PostMessage
from services.edge.canonical.events import ChatJoined, Event, MaintenanceChanged, MessageChanged, VerificationEnded
from services.edge.canonical.frames import Frame, Outgoing
from services.edge.canonical.replies import (
    DisplayMessage,
    MessageAccepted,
    NoPendingVerification,
    Reply,
    ServerStatus,
    VerificationMailed,
)
from services.edge.dialects.base import (
    ERROR_CACHE_SIZE,
    ConnectionInfo,
    Dialect,
    LoadedChat,
    Mask,
    Push,
    PushGate,
    Request,
    never_requested,
)
from services.edge.dialects.fast_reader import FastReader
from services.edge.dialects.json_frames import MemberMask
from services.edge.dialects.ourchat_envelope import ocid
from services.edge.dialects.ourchat_v2.codes import ERROR_REPLIES, V2Code
from services.edge.dialects.ourchat_v2.decode import V2FastMessage, request_of
from services.edge.dialects.ourchat_v2.segments import to_wire
from services.edge.dialects.ourchat_v2.values import PC_CLIENT_VALUE, ViewerContext, account_values, session_values
from services.edge.dialects.text_fallback import only_text
from services.edge.dialects.wire_ids import parse_id
from shared.contract.auth import Authenticated, DeleteAccount, Register, VerificationNeeded
from shared.contract.errors import Failure
from shared.contract.ids import NO_ACCOUNT, AccountId, ChatId
from shared.contract.message import ChangeKind
from shared.contract.model import Message, Recalled, Segment, Text
from shared.contract.routes import Ack
from shared.contract.session import AccountView, ChatView, CreateChat, GetAccount
from shared.setting_types import Language
from shared.settings.limits import FrameLimits

# Holds the pushes of a v2 connection until its client can handle them.
#
# The PC client of 2024 crashes on a message of a session (the v2 word for chat) that it does not list. If several
# frames arrive together, it handles the newest first. Here, "PC client" means any client made from its code. The rules,
# which also apply to all other v2 clients that are not known to be different, are:
#
# - Nothing is pushed until a second after the login, or until the first frame with code 10 is answered.
# - A frame with code 9 announces a session that the connection does not know, before its first message.
# - The PC client gets the messages of a session after it has requested the session (code 1), and none in its first
#   second.
# - Any other connection gets these messages at once after such a request, otherwise a second after the login or after
#   the frame with code 9.
# - A client that posts to a session gets the held messages of that session before the reply (the echo of its message).
#   So all members see the same order. The PC client posts only to sessions that it has requested.
#
# The echo of the client's own message does not pass this gate. The caller gives all times, in seconds.

# The following functions write the frames from the server to the client, byte for byte.

_encode: Final = msgspec.json.Encoder().encode

_MESSAGE: Final = b'{"code":0,"time":%d,"msg_id":"%d","sender":{"ocid":"%010d","session_id":"%d"},"msg":%b}'
"""The frame 用户信息: in it, all ids are strings, and `time` is whole milliseconds."""
_TEXT: Final = _MESSAGE.replace(b"%b", b'[{"type":0,"text":%b}]')


def message_frame(message: Message, segments: tuple[Segment, ...], base_url: str, language: Language) -> bytes:
    text = only_text(segments)
    if text is not None:
        return _TEXT % (message.time, message.id, message.sender, message.chat, _encode(text))
    wire = [to_wire(segment, base_url, language) for segment in segments]
    return _MESSAGE % (message.time, message.id, message.sender, message.chat, _encode(wire))


def status_frame(code: int, status: int) -> bytes:
    """A frame with `code` and `status`, the form of most replies."""
    return _encode({"code": code, "status": status})


def data_frame(code: V2Code, data: dict[str, object]) -> bytes:
    """The reply that contains the requested values."""
    return _encode({"code": code, "status": 0, "data": data})


def login_frame(code: V2Code, answer: Authenticated) -> bytes:
    """The reply to a registration or login that succeeded. Its token is also valid for uploads, downloads and other
    dialects."""
    return _encode({"code": code, "status": 0, "ocid": ocid(answer.account), "token": answer.token})


def session_frame(chat: ChatId) -> bytes:
    return _encode({"code": V2Code.NEW_SESSION_MADE, "status": 0, "session_id": str(chat)})


def verify_frame() -> bytes:
    return _encode({"code": V2Code.VERIFY})


def error_frame(details: str) -> bytes:
    return _encode({"code": V2Code.ERROR, "details": details})


SECOND = 1.0
APART = 0.05
"""The time between two frames, if a client needs the first frame to handle the second. Clients may handle the newest
frame first."""


class V2PushGate(PushGate):
    """The held pushes of one connection. See services.edge.dialects.base.PushGate."""

    __slots__ = (
        "_announced", "_creating", "_known", "_listed", "_opens", "_queues", "_settles", "_status",
        "_unannounced", "free", "held_bytes", "is_pc_client", "wake_at",
    )  # fmt: skip

    def __init__(self) -> None:
        self.is_pc_client = False
        self._creating = 0
        """The number of frames 8 without a reply. While there are any, no session is announced."""
        self._forget(-inf)

    def _forget(self, opens: float) -> None:
        self._opens = opens
        """The time from which anything may be pushed."""
        self._settles = inf
        """The time one second after the login."""
        self._known: set[ChatId] | None = None
        """The chats at the login, or None until they are loaded. Until then, no chat is announced."""
        self._announced: dict[ChatId, float] = {}
        self._listed: dict[ChatId, float] = {}
        """When the client requested each chat by a frame with code 1."""
        self.free: set[ChatId] = set()
        """The chats whose messages are no longer held."""
        self._unannounced: dict[ChatId, None] = {}
        """The chats to announce, in this order."""
        self._status: Frame | None = None
        self._queues: dict[ChatId, list[Push]] = {}
        self.held_bytes = 0
        self.wake_at: float | None = None

    # Events of the connection

    def logged_in(self) -> None:
        """Note that the account has logged in. Nothing is pushed before the reply to the login."""
        self._forget(inf)

    def logged_out(self) -> None:
        self._forget(-inf)

    def login_answered(self, now: float) -> None:
        """Note that the reply to the login is written."""
        self._opens = self._settles = now + SECOND
        self._replan()

    def chats_loaded(self, chats: Iterable[ChatId]) -> None:
        self._known = (self._known or set()).union(chats)
        self._unannounced.update(dict.fromkeys(chat for chat in self._queues if not self._is_known(chat)))
        self._replan()

    def pc_client_detected(self, now: float) -> None:
        self.is_pc_client = True
        self.free = {chat for chat in self.free if self._due(chat) <= now}
        self._replan()

    def account_answered(self, now: float) -> None:
        """Note that the reply to a frame 10 is written."""
        self._opens = min(self._opens, now + APART)
        self._replan()

    def session_answered(self, chat: ChatId, now: float) -> None:
        """Note that the reply to a frame 1 about this chat is written."""
        self._listed.setdefault(chat, now)
        self._plan(self._due(chat))

    def create_requested(self) -> None:
        self._creating += 1

    def create_answered(self, chat: ChatId, now: float) -> None:
        """Note that the reply to a frame 8 is written, which announces this chat by a frame 9."""
        self._announced.setdefault(chat, now)
        self.create_failed()

    def create_failed(self) -> None:
        self._creating -= 1
        self._replan()

    # Pushes

    def push_status(self, frame: Frame, now: float) -> tuple[Push, ...]:
        """Push a change of the server's status. While it is held, a later change replaces it."""
        if now >= self._opens:
            return (Push((frame,)),)
        self._status = frame
        self._plan(self._opens)
        return ()

    def chat_joined(self, chat: ChatId, now: float) -> tuple[Push, ...]:
        """Push a frame 9, because the account has joined this chat. It is pushed even if a sync has found the chat
        already, because no earlier reply has shown it."""
        return () if self._is_announced(chat) else self._announce(chat, now)

    def _announce(self, chat: ChatId, now: float) -> tuple[Push, ...]:
        if now < self._announces_at():
            self._unannounced[chat] = None
            self._plan(self._announces_at())
            return ()
        self._announced[chat] = now
        return (Push((session_frame(chat),)),)

    def admit(self, message: Message, frames: tuple[Outgoing, ...]) -> tuple[Outgoing, ...] | None:
        return frames if message.chat in self.free else None

    def hold(self, message: Message, frames: tuple[Outgoing, ...], now: float) -> tuple[Push, ...]:
        self._queues.setdefault(message.chat, []).append(Push(frames, message))
        self.held_bytes += _size(frames)
        known = self._known is None or self._is_known(message.chat)
        announcement = () if known else self._announce(message.chat, now)
        due = self._due(message.chat)
        if due <= now:
            return (*announcement, *self._flush(message.chat))
        self._plan(due)
        return announcement

    def recalled(self, chat: ChatId, index: int, language: Language) -> None:
        """Replace the message by a placeholder if it is held, because no client gets a text after its recall."""
        queue = self._queues.get(chat, [])
        for place, held in enumerate(queue):
            if held.message is not None and held.message.index == index:
                queue[place] = Push((message_frame(held.message, (Recalled(),), "", language),), held.message)
                self.held_bytes += _size(queue[place].frames) - _size(held.frames)

    def holds(self, chat: ChatId, index: int) -> bool:
        return any(push.message and push.message.index == index for push in self._queues.get(chat, ()))

    def release(self, chat: ChatId, now: float) -> tuple[Push, ...]:
        """Return everything that is held for the chat. The next frame is the echo of the client's own message in this
        chat."""
        if chat not in self._queues or (self.is_pc_client and chat not in self._listed):
            return ()
        announcement: tuple[Push, ...] = ()
        if self._known is not None and not self._is_known(chat):
            self._unannounced.pop(chat, None)
            self._announced[chat] = now
            announcement = (Push((session_frame(chat),)),)
        pushes = (*announcement, *self._unqueue(chat))
        self._replan()
        return pushes

    def wake(self, now: float) -> tuple[Push, ...]:
        """Return everything that is due: first the status, then announcements, then messages."""
        pushes: list[Push] = []
        if self._status is not None and now >= self._opens:
            pushes.append(Push((self._status,)))
            self._status = None
        if now >= self._announces_at():
            unannounced, self._unannounced = self._unannounced, {}
            pushes += [push for chat in unannounced for push in self.chat_joined(chat, now)]
        for chat in [chat for chat in self._queues if self._due(chat) <= now]:
            pushes += self._flush(chat)
        self._replan()
        return tuple(pushes)

    # The rules

    def _is_announced(self, chat: ChatId) -> bool:
        return chat in self._announced or chat in self._listed

    def _is_known(self, chat: ChatId) -> bool:
        return self._is_announced(chat) or (self._known is not None and chat in self._known)

    def _announces_at(self) -> float:
        """The time from which chats may be announced."""
        return inf if self._known is None or self._creating else self._opens

    def _due(self, chat: ChatId) -> float:
        """The time from which messages of this chat may be pushed."""
        if self._known is None:
            return inf
        if chat in self._listed:
            return max(self._listed[chat] + APART, self._settles) if self.is_pc_client else self._opens
        if self.is_pc_client:
            return inf
        if chat in self._announced:
            return max(self._announced[chat] + SECOND, self._settles)
        return self._settles if chat in self._known else inf

    def _flush(self, chat: ChatId) -> list[Push]:
        """Return all held messages of this chat. From now on, its messages are not held."""
        self.free.add(chat)
        return self._unqueue(chat)

    def _unqueue(self, chat: ChatId) -> list[Push]:
        pushes = self._queues.pop(chat)
        self.held_bytes -= sum(_size(push.frames) for push in pushes)
        return pushes

    def _plan(self, due: float) -> None:
        if due < (inf if self.wake_at is None else self.wake_at):
            self.wake_at = due

    def _replan(self) -> None:
        self.wake_at = None
        if self._status is not None:
            self._plan(self._opens)
        if self._unannounced:
            self._plan(self._announces_at())
        for chat in self._queues:
            self._plan(self._due(chat))


def _size(frames: tuple[Outgoing, ...]) -> int:
    return sum(map(len, frames))


_SESSION_LIMIT = 2
"""The status 到达创建会话上限 (limit of sessions reached). With this status, no frame with code 18 follows to explain
the error."""

_VERIFICATION_STATUS = {"passed": 0, "wrong": 1, "expired": 2}
"""验证状态."""
_PUBLIC_MEMBERS: Final = MemberMask(
    public=(
        "account avatar avatar_hash code details email emoji_id friends hash login_type members msg msg_id name "
        "nickname ocid owner private_update_time public_update_time request_values session_id sessions size status "
        "text time type update_time url"
    ),
    objects="data sender",
)
"""Which members of its frames are not secret. See MemberMask."""


class OurChatV2(Dialect):
    """See services.edge.dialects.base. V2PushGate holds pushes back."""

    name = "ourchat-v2"
    shows_others_joins = False
    waits_for_verification = True

    def __init__(self, info: ConnectionInfo) -> None:
        super().__init__(info)
        self._account = NO_ACCOUNT
        self.gate = self._gate = V2PushGate()

    # Frames in

    def decode(self, frame: Frame, now: float) -> Sequence[Request]:
        account, limits = self._account, self.limits
        if (text := _fast_request(frame, account, limits)) is not None:
            return (text,)
        request = request_of(frame, account, limits)
        if isinstance(request.command, CreateChat):
            self._gate.create_requested()
        elif isinstance(request.command, GetAccount) and PC_CLIENT_VALUE in _names(request):
            self._gate.pc_client_detected(now)
        return (request,)

    # Frames out

    def encode_reply(self, request: Request, reply: Reply, now: float) -> tuple[Outgoing, ...]:
        match reply:
            case MessageAccepted():
                return reply.frames()
            case Authenticated():
                self._gate.login_answered(now)
                registered = isinstance(request.command, Register)
                return (login_frame(V2Code.REGISTERED if registered else V2Code.LOGGED_IN, reply),)
            case VerificationNeeded():
                return (verify_frame(),)
            case NoPendingVerification():
                return (status_frame(V2Code.VERIFICATION, 0),)
            case VerificationMailed():
                return ()
            case ServerStatus(maintenance):
                return (status_frame(V2Code.SERVER_STATUS, int(maintenance)),)
            case AccountView():
                self._gate.account_answered(now)
                return (data_frame(V2Code.ACCOUNT, account_values(reply, _names(request), self._viewer)),)
            case ChatView():
                return (self._session(request, reply, now),)
            case Ack():
                deleted = isinstance(request.command, DeleteAccount)
                return (status_frame(V2Code.DELETED if deleted else V2Code.ACCOUNT_SET, 0),)
            case _:
                raise never_requested("v2")

    def _session(self, request: Request, view: ChatView, now: float) -> Frame:
        if isinstance(request.command, CreateChat):
            self._gate.create_answered(view.chat.id, now)
            return session_frame(view.chat.id)
        self._gate.session_answered(view.chat.id, now)
        return data_frame(V2Code.SESSION, session_values(view, _names(request), self._viewer))

    @property
    def _viewer(self) -> ViewerContext:
        return ViewerContext(self._account, self._gate.is_pc_client, self.base_url)

    def encode_error(self, request: Request | None, failure: Failure, context: object = None) -> tuple[Frame, ...]:
        """`context` is the type of the command for which an undecodable frame was meant. It is set only if the type
        decides the form of the reply."""
        kind = context if request is None else type(request.command)
        error = _error(failure.text or failure.code)
        if kind is CreateChat:
            self._gate.create_failed()
        error_reply = ERROR_REPLIES.get(kind) if self._account != NO_ACCOUNT or kind in BEFORE_LOGIN else None
        status = error_reply.statuses[failure.code] if error_reply else None
        if error_reply is None or status is None:
            return error
        reply = status_frame(error_reply.reply, status)
        if kind is not CreateChat:
            return (reply,)
        if self._gate.is_pc_client:
            return error
        return (reply,) if status == _SESSION_LIMIT else (reply, *error)

    def encode_event(self, event: Event, now: float) -> tuple[Push, ...]:
        match event:
            case ChatJoined(chat):
                return self._gate.chat_joined(chat, now)
            case MaintenanceChanged(on):
                return self._gate.push_status(status_frame(V2Code.SERVER_STATUS, int(on)), now)
            case MessageChanged(shown):
                if shown.change.kind is ChangeKind.RECALL:
                    self._gate.recalled(shown.change.chat, shown.change.index, self.language)
                return ()
            case VerificationEnded(outcome):
                return (Push((status_frame(V2Code.VERIFICATION, _VERIFICATION_STATUS[outcome]),)),)
            case _:
                return ()

    def mask_secrets(self, frame: bytes, mask: Mask) -> bytes | None:
        return _PUBLIC_MEMBERS.apply(frame, mask, self.limits)

    def encode_message(self, shown: DisplayMessage) -> tuple[Frame, ...]:
        return (message_frame(shown.message, shown.segments, self.base_url, self.language),)

    # Login

    def logged_in(self, account: AccountId, now: float) -> None:
        self._account = account
        if account == NO_ACCOUNT:
            self._gate.logged_out()
        else:
            self._gate.logged_in()

    def chats_loaded(self, chats: Sequence[LoadedChat], now: float) -> tuple[Push, ...]:
        self._gate.chats_loaded(loaded.chat for loaded in chats)
        return ()


@lru_cache(ERROR_CACHE_SIZE)
def _error(details: str) -> tuple[Frame]:
    return (error_frame(details),)


def _names(request: Request) -> tuple[str, ...]:
    """The names of the values that the request, a frame 1 or 10, has requested."""
    assert isinstance(request.context, tuple)
    return request.context


def _quotes(wire: V2FastMessage) -> int:
    return 16 + 2 * (wire.time is not UNSET) + 4 * (wire.sender.ocid is not UNSET)


_reader: Final = FastReader(V2FastMessage, _quotes)


def _fast_request(frame: Frame, account: AccountId, limits: FrameLimits) -> Request | None:
    """Read a frame 0 with a single text. None means that the slow path must decode the frame."""
    wire = _reader.read(frame, limits)
    if wire is None:
        return None
    sender, text = wire.sender, wire.msg[0].text
    chat, ocid = parse_id(sender.session_id), sender.ocid
    if chat is None or not text or (ocid is not UNSET and (account == NO_ACCOUNT or parse_id(ocid) != account)):
        return None
    return Request(PostMessage(ChatId(chat), (Text(text),)))
