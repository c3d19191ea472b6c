"""OurChat v2 (2024): JSON objects with an integer `code`; all ids are strings on output, times milliseconds."""

from collections.abc import Sequence
from functools import lru_cache
from typing import assert_never

from services.edge.canonical.commands import BEFORE_LOGIN
from services.edge.canonical.events import ChatJoined, Event, MaintenanceChanged, VerificationEnded
from services.edge.canonical.frames import Frame, Outgoing
from services.edge.canonical.replies import (
    DisplayMessage,
    MessageAccepted,
    NoPendingVerification,
    Page,
    Reply,
    ServerStatus,
    VerificationMailed,
)
from services.edge.dialects.base import WORDINGS, ConnectionInfo, Dialect, LoadedChat, Push, Request
from services.edge.dialects.ourchat_v2 import encode
from services.edge.dialects.ourchat_v2.codes import Code
from services.edge.dialects.ourchat_v2.decode import request_of
from services.edge.dialects.ourchat_v2.errors import REFUSALS
from services.edge.dialects.ourchat_v2.push_gate import PushGate
from services.edge.dialects.ourchat_v2.values import FAMILY_MARK, Viewer, of_account, of_session
from shared.contract.auth import Authenticated, DeleteAccount, Register, VerificationNeeded
from shared.contract.edge import (
    ChatRenamed,
    FriendshipAnswered,
    FriendshipRequested,
    MembershipAnswered,
    MembershipApplied,
    ProfileChanged,
)
from shared.contract.errors import Failure
from shared.contract.ids import NO_ACCOUNT, AccountId, ChatId
from shared.contract.model import Message
from shared.contract.session import (
    AccountView,
    Ack,
    ChatView,
    ChatViews,
    CreateChat,
    GetAccount,
    MembershipRequested,
    Requests,
)

_OUTCOMES = {"passed": 0, "wrong": 1, "expired": 2}
"""验证状态."""


class OurChatV2(Dialect):
    """See services.edge.dialects.base; what is held back and why, see holding."""

    name = "ourchat-v2"
    waits_for_verification = True

    def __init__(self, surroundings: ConnectionInfo) -> None:
        super().__init__(surroundings)
        self._account = NO_ACCOUNT
        self._holding = PushGate()

    # Frames in

    def decode(self, frame: Frame, now: float) -> Sequence[Request]:
        request = request_of(frame, self._account, self.limits)
        if isinstance(request.command, CreateChat):
            self._holding.creating()
        elif isinstance(request.command, GetAccount) and FAMILY_MARK in _names(request):
            self._holding.is_family(now)
        return (request,)

    # Frames out

    def encode_reply(self, request: Request, answer: Reply, now: float) -> tuple[Outgoing, ...]:
        match answer:
            case MessageAccepted():
                return answer.frames
            case Authenticated():
                self._holding.welcomed(now)
                registered = isinstance(request.command, Register)
                return (encode.entered(Code.REGISTERED if registered else Code.LOGGED_IN, answer),)
            case VerificationNeeded():
                return (encode.verify(),)
            case NoPendingVerification():
                return (encode.status(Code.VERIFICATION, 0),)
            case VerificationMailed():
                return ()
            case ServerStatus(maintenance):
                return (encode.status(Code.SERVER_STATUS, int(maintenance)),)
            case AccountView():
                self._holding.account_told(now)
                return (encode.data(Code.ACCOUNT, of_account(answer, _names(request), self._viewer)),)
            case ChatView():
                return (self._session(request, answer, now),)
            case Ack():
                deleted = isinstance(request.command, DeleteAccount)
                return (encode.status(Code.DELETED if deleted else Code.ACCOUNT_SET, 0),)
            case Requests() | MembershipRequested() | ChatViews() | Page():
                raise TypeError("no v2 client can ask for this")
            case _:
                assert_never(answer)

    def _session(self, request: Request, view: ChatView, now: float) -> Frame:
        if isinstance(request.command, CreateChat):
            self._holding.created(view.chat.id, now)
            return encode.session_made(view.chat.id)
        self._holding.listed(view.chat.id, now)
        return encode.data(Code.SESSION, of_session(view, _names(request), self._viewer))

    @property
    def _viewer(self) -> Viewer:
        return Viewer(self._account, self._holding.family, self.base_url)

    def encode_error(self, request: Request | None, failure: Failure, context: object = None) -> tuple[Frame, ...]:
        """`context` is the kind of command that an undecodable frame was meant to be, if that has a say."""
        kind = context if request is None else type(request.command)
        error = _error(failure.text or failure.code)
        if kind is CreateChat:
            self._holding.not_created()
        refusal = REFUSALS.get(kind) if self._account != NO_ACCOUNT or kind in BEFORE_LOGIN else None
        status = refusal.statuses[failure.code] if refusal else None
        if refusal is None or status is None:
            return error
        reply = encode.status(refusal.reply, status)
        if kind is not CreateChat:
            return (reply,)
        return error if self._holding.family else (reply, *error)

    def encode_event(self, event: Event, now: float) -> tuple[Push, ...]:
        match event:
            case ChatJoined(chat):
                return self._holding.appeared(chat, now)
            case MaintenanceChanged(on):
                return self._holding.status(encode.status(Code.SERVER_STATUS, int(on)), now)
            case VerificationEnded(outcome):
                return (Push((encode.status(Code.VERIFICATION, _OUTCOMES[outcome]),)),)
            case (
                ProfileChanged()
                | FriendshipRequested()
                | FriendshipAnswered()
                | MembershipApplied()
                | MembershipAnswered()
                | ChatRenamed()
            ):
                return ()
            case _:
                assert_never(event)

    def encode_message(self, shown: DisplayMessage) -> tuple[Frame, ...]:
        return (encode.message(shown.message, shown.segments, self.base_url),)

    # PushGate back

    def logged_in(self, account: AccountId, now: float) -> None:
        self._account = account
        if account == NO_ACCOUNT:
            self._holding.left()
        else:
            self._holding.logged_in()

    def chats_loaded(self, chats: Sequence[LoadedChat], now: float) -> tuple[Push, ...]:
        self._holding.chats_loaded(loaded.chat for loaded in chats)
        return ()

    def must_hold(self, chat: ChatId) -> bool:
        return chat not in self._holding.free

    def hold(self, message: Message, frames: tuple[Outgoing, ...], now: float) -> tuple[Push, ...]:
        return self._holding.hold(message, frames, now)

    @property
    def next_wakeup(self) -> float | None:
        return self._holding.wake_at

    def wake(self, now: float) -> tuple[Push, ...]:
        return self._holding.wake(now)

    @property
    def held_bytes(self) -> int:
        return self._holding.held_bytes


@lru_cache(WORDINGS)
def _error(details: str) -> tuple[Frame]:
    return (encode.error(details),)


def _names(request: Request) -> tuple[str, ...]:
    """The values that a 1 or 10 asked for."""
    assert isinstance(request.context, tuple)
    return request.context
