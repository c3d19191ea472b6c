"""OurChat v0 (2022): JSON objects with `code` and `data`; OC numbers are padded strings, a `cid` a chat's integer."""

from collections.abc import Sequence
from functools import lru_cache
from typing import assert_never

from services.edge.canonical.commands import StartUpload, UploadPart
from services.edge.canonical.events import Event
from services.edge.canonical.frames import Binary, Frame, Outgoing
from services.edge.canonical.replies import (
    DisplayMessage,
    MessageAccepted,
    NoPendingVerification,
    Page,
    Reply,
    ServerStatus,
    VerificationMailed,
)
from services.edge.dialects.base import ERROR_CACHE_SIZE, ConnectionInfo, DecodeError, Dialect, Push, Request
from services.edge.dialects.credentials import VERIFY_BY_MAIL
from services.edge.dialects.ourchat_v0 import encode
from services.edge.dialects.ourchat_v0.decode import read
from services.edge.dialects.ourchat_v0.errors import ERROR_REPLIES
from services.edge.dialects.ourchat_v0.transfers import Announcement, IncomingTransfer
from shared.contract.auth import Authenticated, Register, VerificationNeeded
from shared.contract.errors import Failure
from shared.contract.ids import NO_ACCOUNT, AccountId
from shared.contract.session import AccountView, Ack, ChatView, ChatViews, MembershipRequested, Requests


class OurChatV0(Dialect):
    """See services.edge.dialects.base."""

    name = "ourchat-v0"

    def __init__(self, surroundings: ConnectionInfo) -> None:
        super().__init__(surroundings)
        self._account = NO_ACCOUNT
        self._incoming = IncomingTransfer(self.limits)
        self._package_bytes = self.limits.binary_frame_bytes if surroundings.binary else 0
        """0: no binary frames go either way."""
        self.variant = (self.variant, self._package_bytes)

    def logged_in(self, account: AccountId, now: float) -> None:
        self._account = account

    def decode(self, frame: Frame, now: float) -> Sequence[Request]:
        if isinstance(frame, Binary):
            return self._incoming.package(frame.data, now)
        what = read(frame, self._account, self.limits)
        if not isinstance(what, Announcement):
            return (what,)
        if not self._package_bytes:
            raise DecodeError("pictures and files are sent by WebSocket")
        return (self._incoming.announce(what, self._account, now),)

    def encode_reply(self, request: Request, answer: Reply, now: float) -> tuple[Outgoing, ...]:
        match answer:
            case MessageAccepted():
                return answer.frames
            case Authenticated():
                registered = isinstance(request.command, Register)
                return ((encode.registered if registered else encode.logged_in)(answer),)
            case VerificationNeeded():
                return self.encode_error(request, VERIFY_BY_MAIL)
            case Ack():
                return ()
            case NoPendingVerification() | VerificationMailed() | ServerStatus() | AccountView() | ChatView():
                raise TypeError("no v0 client can ask for this")
            case Requests() | MembershipRequested() | ChatViews() | Page():
                raise TypeError("no v0 client can ask for this")
            case _:
                assert_never(answer)

    def encode_error(self, request: Request | None, failure: Failure, context: object = None) -> tuple[Frame, ...]:
        if request is not None and isinstance(request.command, StartUpload | UploadPart):
            self._incoming.failed(request.command.number)
        refusal = None if request is None else ERROR_REPLIES.get(type(request.command))
        state = refusal.statuses[failure.code] if refusal else None
        if refusal is None or state is None:
            return _error(failure.text or failure.code)
        return (encode.state(refusal.reply, state, failure.text or failure.code),)

    def encode_event(self, event: Event, now: float) -> tuple[Push, ...]:
        """The document knows of messages only."""
        return ()

    def encode_message(self, shown: DisplayMessage) -> tuple[Outgoing, ...]:
        return encode.message(shown, self.base_url, self._package_bytes)


@lru_cache(ERROR_CACHE_SIZE)
def _error(details: str) -> tuple[Frame]:
    return (encode.error(details),)
