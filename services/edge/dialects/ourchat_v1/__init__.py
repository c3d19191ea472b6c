"""OurChat v1 (2023): JSON objects with `code`, `time` and `data`. All ids are integers, and times are seconds.

Applications, answers to applications, and new names have no replies. Their sender gets the same push as all others.
"""

from collections.abc import Sequence
from typing import Final

from services.edge.canonical.events import Event
from services.edge.canonical.frames import Frame, Outgoing
from services.edge.canonical.replies import DisplayMessage, MessageAccepted, Reply
from services.edge.dialects.base import ConnectionInfo, Dialect, Mask, Push, Request, never_requested
from services.edge.dialects.credentials import VERIFY_BY_MAIL
from services.edge.dialects.json_frames import MemberMask
from services.edge.dialects.ourchat_v1 import frames
from shared.contract.auth import Authenticated, Register, VerificationNeeded
from shared.contract.errors import Failure
from shared.contract.ids import NO_ACCOUNT, AccountId
from shared.contract.members import MembershipRequested
from shared.contract.routes import Ack
from shared.contract.session import ChatView

_PUBLIC_MEMBERS: Final = MemberMask(
    public=(
        "account add_ocid cid code details email group_id group_name msg name ocId ocid private_id sender state text "
        "time"
    ),
    objects="data",
)
"""Which members of its frames are not secret. See MemberMask."""


class OurChatV1(Dialect):
    """See services.edge.dialects.base."""

    name = "ourchat-v1"

    def __init__(self, info: ConnectionInfo) -> None:
        super().__init__(info)
        self.pushes_pending_requests = True
        self._account = NO_ACCOUNT

    def logged_in(self, account: AccountId, now: float) -> None:
        self._account = account

    @property
    def _unix_seconds(self) -> int:
        return self.unix_ms() // 1000

    def decode(self, frame: Frame, now: float) -> Sequence[Request]:
        return (frames.request_of(frame, self._account, self.limits),)

    def encode_reply(self, request: Request, reply: Reply, now: float) -> tuple[Outgoing, ...]:
        match reply:
            case MessageAccepted():
                return reply.frames()
            case Authenticated():
                registered = isinstance(request.command, Register)
                encode_login = frames.registered if registered else frames.logged_in
                return (encode_login(reply, self._unix_seconds),)
            case VerificationNeeded():
                return self.encode_error(request, VERIFY_BY_MAIL)
            case ChatView(chat):
                return (frames.in_group(chat.id, chat.name, self._account, self._unix_seconds),)
            case Ack() | MembershipRequested():
                return ()
            case _:
                raise never_requested("v1")

    def encode_error(self, request: Request | None, failure: Failure, context: object = None) -> tuple[Frame, ...]:
        error_reply = None if request is None else frames.ERROR_REPLIES.get(type(request.command))
        state = error_reply.statuses[failure.code] if error_reply else None
        if error_reply is None or state is None:
            return (frames.error(failure.text or failure.code, self._unix_seconds),)
        return (frames.state(error_reply.reply, state, failure.text or failure.code, self._unix_seconds),)

    def encode_event(self, event: Event, now: float) -> tuple[Push, ...]:
        frame = frames.event_frame(event, self._unix_seconds)
        return () if frame is None else (Push((frame,)),)

    def mask_secrets(self, frame: bytes, mask: Mask) -> bytes | None:
        return _PUBLIC_MEMBERS.apply(frame, mask, self.limits)

    def encode_message(self, shown: DisplayMessage) -> tuple[Frame, ...]:
        return (frames.message(shown, self.base_url, self.language),)
