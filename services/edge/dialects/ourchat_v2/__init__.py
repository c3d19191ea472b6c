"""OurChat v2 (2024): JSON objects with an integer `code`; ids are strings on output, times milliseconds."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from msgspec import UNSET

from services.edge.canonical.commands import BEFORE_LOGIN, PostMessage
from services.edge.canonical.events import ChatJoined, Event, MaintenanceChanged, VerificationEnded
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
    Request,
    never_requested,
)
from services.edge.dialects.fast_reader import FastReader
from services.edge.dialects.json_frames import MemberMask
from services.edge.dialects.ourchat_v2 import encode
from services.edge.dialects.ourchat_v2.codes import ERROR_REPLIES, V2Code
from services.edge.dialects.ourchat_v2.decode import V2FastMessage, request_of
from services.edge.dialects.ourchat_v2.push_gate import PushGate
from services.edge.dialects.ourchat_v2.values import PC_CLIENT_VALUE, ViewerContext, account_values, session_values
from services.edge.dialects.wire_ids import parse_id
from shared.contract.auth import Authenticated, DeleteAccount, Register, VerificationNeeded
from shared.contract.errors import Failure
from shared.contract.ids import NO_ACCOUNT, AccountId, ChatId
from shared.contract.model import Message, Text
from shared.contract.routes import Ack
from shared.contract.session import AccountView, ChatView, CreateChat, GetAccount
from shared.settings.limits import FrameLimits

_SESSION_LIMIT = 2
"""到达创建会话上限, which needs no explanation by an 18."""

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
"""The members of its frames that hold no secret."""


class OurChatV2(Dialect):
    """See services.edge.dialects.base; for held pushes, see push_gate."""

    name = "ourchat-v2"
    echoes_messages = True
    shows_others_joins = False
    waits_for_verification = True

    def __init__(self, info: ConnectionInfo) -> None:
        super().__init__(info)
        self._account = NO_ACCOUNT
        self._gate = PushGate()

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
                return reply.frames
            case Authenticated():
                self._gate.login_answered(now)
                registered = isinstance(request.command, Register)
                return (encode.logged_in(V2Code.REGISTERED if registered else V2Code.LOGGED_IN, reply),)
            case VerificationNeeded():
                return (encode.verify(),)
            case NoPendingVerification():
                return (encode.status(V2Code.VERIFICATION, 0),)
            case VerificationMailed():
                return ()
            case ServerStatus(maintenance):
                return (encode.status(V2Code.SERVER_STATUS, int(maintenance)),)
            case AccountView():
                self._gate.account_answered(now)
                return (encode.data(V2Code.ACCOUNT, account_values(reply, _names(request), self._viewer)),)
            case ChatView():
                return (self._session(request, reply, now),)
            case Ack():
                deleted = isinstance(request.command, DeleteAccount)
                return (encode.status(V2Code.DELETED if deleted else V2Code.ACCOUNT_SET, 0),)
            case _:
                raise never_requested("v2")

    def _session(self, request: Request, view: ChatView, now: float) -> Frame:
        if isinstance(request.command, CreateChat):
            self._gate.create_answered(view.chat.id, now)
            return encode.new_session(view.chat.id)
        self._gate.session_answered(view.chat.id, now)
        return encode.data(V2Code.SESSION, session_values(view, _names(request), self._viewer))

    @property
    def _viewer(self) -> ViewerContext:
        return ViewerContext(self._account, self._gate.is_pc_client, self.base_url)

    def encode_error(self, request: Request | None, failure: Failure, context: object = None) -> tuple[Frame, ...]:
        """`context` is the type of the command that an undecodable frame was meant to be, if it decides the reply."""
        kind = context if request is None else type(request.command)
        error = _error(failure.text or failure.code)
        if kind is CreateChat:
            self._gate.create_failed()
        error_reply = ERROR_REPLIES.get(kind) if self._account != NO_ACCOUNT or kind in BEFORE_LOGIN else None
        status = error_reply.statuses[failure.code] if error_reply else None
        if error_reply is None or status is None:
            return error
        reply = encode.status(error_reply.reply, status)
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
                return self._gate.push_status(encode.status(V2Code.SERVER_STATUS, int(on)), now)
            case VerificationEnded(outcome):
                return (Push((encode.status(V2Code.VERIFICATION, _VERIFICATION_STATUS[outcome]),)),)
            case _:
                return ()

    def mask_secrets(self, frame: bytes, mask: Mask) -> bytes | None:
        return _PUBLIC_MEMBERS.apply(frame, mask, self.limits)

    def encode_message(self, shown: DisplayMessage) -> tuple[Frame, ...]:
        return (encode.message(shown.message, shown.segments, self.base_url, self.language),)

    # Login and held messages

    def logged_in(self, account: AccountId, now: float) -> None:
        self._account = account
        if account == NO_ACCOUNT:
            self._gate.logged_out()
        else:
            self._gate.logged_in()

    def chats_loaded(self, chats: Sequence[LoadedChat], now: float) -> tuple[Push, ...]:
        self._gate.chats_loaded(loaded.chat for loaded in chats)
        return ()

    def must_hold(self, chat: ChatId) -> bool:
        return chat not in self._gate.free

    def hold(self, message: Message, frames: tuple[Outgoing, ...], now: float) -> tuple[Push, ...]:
        return self._gate.hold(message, frames, now)

    def holds(self, chat: ChatId, index: int) -> bool:
        return self._gate.holds(chat, index)

    def release(self, chat: ChatId, now: float) -> tuple[Push, ...]:
        return self._gate.release(chat, now)

    @property
    def next_wakeup(self) -> float | None:
        return self._gate.wake_at

    def wake(self, now: float) -> tuple[Push, ...]:
        return self._gate.wake(now)

    @property
    def held_bytes(self) -> int:
        return self._gate.held_bytes


@lru_cache(ERROR_CACHE_SIZE)
def _error(details: str) -> tuple[Frame]:
    return (encode.error(details),)


def _names(request: Request) -> tuple[str, ...]:
    """The names of the values that a 1 or 10 requested."""
    assert isinstance(request.context, tuple)
    return request.context


def _quotes(wire: V2FastMessage) -> int:
    return 16 + 2 * (wire.time is not UNSET) + 4 * (wire.sender.ocid is not UNSET)


_reader: Final = FastReader(V2FastMessage, _quotes)


def _fast_request(frame: Frame, account: AccountId, limits: FrameLimits) -> Request | None:
    """A 0 that is one text; None: take the slow path."""
    wire = _reader.read(frame, limits)
    if wire is None:
        return None
    sender, text = wire.sender, wire.msg[0].text
    chat, ocid = parse_id(sender.session_id), sender.ocid
    if chat is None or not text or (ocid is not UNSET and (account == NO_ACCOUNT or parse_id(ocid) != account)):
        return None
    return Request(PostMessage(ChatId(chat), (Text(text),)))
