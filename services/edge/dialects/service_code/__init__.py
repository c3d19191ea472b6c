"""The dialect service: JSON objects. Requests have a `service_code` and a token, and replies have a `state_code`."""

from collections.abc import Sequence
from typing import Final
from urllib.parse import parse_qs

from services.edge.canonical.frames import Frame
from services.edge.canonical.replies import DisplayMessage, MessageAccepted, MessagePage, Reply
from services.edge.dialects.base import ConnectionInfo, Dialect, Mask, Request, never_requested
from services.edge.dialects.credentials import VERIFY_BY_MAIL
from services.edge.dialects.json_frames import MemberMask
from services.edge.dialects.service_code import frames
from services.edge.dialects.service_code.frames import ConnectionSecret, ServiceCode, ServiceContext
from shared.contract.auth import Authenticated, Login, Register, VerificationNeeded
from shared.contract.errors import Failure
from shared.contract.ids import NO_ACCOUNT, AccountId
from shared.contract.members import MembershipRequested
from shared.contract.session import ChatView, ChatViews

_PUBLIC_MEMBERS: Final = MemberMask(
    public=(
        "cause chat content count id index is_group member msg name push service_code state_code time type usrs values"
    ),
    objects="content",
)
"""Which members of its frames are not secret. See MemberMask."""


class Service(Dialect):
    """See services.edge.dialects.base. Messages are pushed only if the client's address (`?push=1`) or its login
    requests pushes."""

    name = "service"
    shows_others_joins = False
    names_senders = True
    public_query = frozenset({"push"})

    def __init__(self, info: ConnectionInfo) -> None:
        super().__init__(info)
        self.pushes_missed = False
        self._secret = ConnectionSecret()
        self._push_by_address = parse_qs(info.query).get("push") == ["1"]
        self._push_requested = self.receives_pushes = self._push_by_address

    # Frames in

    def decode(self, frame: Frame, now: float) -> Sequence[Request]:
        request = frames.request_of(frame, self._secret, self.limits)
        if isinstance(request.command, Login | Register):
            self._push_requested = self._push_by_address or _context(request).push
        return (request,)

    # Frames out

    def encode_reply(self, request: Request, reply: Reply, now: float) -> tuple[Frame, ...]:
        return (self._reply(request, reply),)

    def _reply(self, request: Request, reply: Reply) -> Frame:
        match reply:
            case Authenticated(token=token):
                self._remember_secret(request)
                return frames.success(token=token)
            case VerificationNeeded():
                return frames.failed(VERIFY_BY_MAIL.text)
            case MessageAccepted(message):
                return frames.success(index=message.index)
            case MessagePage(messages) if _context(request).code is ServiceCode.RECEIVE:
                return frames.success(
                    values=[frames.received(shown, self.base_url, self.language) for shown in messages]
                )
            case MessagePage(messages):
                return frames.ok({"values": [frames.value(shown, self.base_url, self.language) for shown in messages]})
            case ChatViews(chats):
                return frames.chats(chats, self.language)
            case MembershipRequested(joined):
                return frames.success() if joined else frames.failed("you have applied; the group has yet to approve")
            case ChatView(chat):
                return frames.success(chat=chat.id)
            case _:
                raise never_requested("service")

    def _remember_secret(self, request: Request) -> None:
        command = request.command
        assert isinstance(command, Login | Register)
        if not request.token:
            self._secret = ConnectionSecret(command.secret.value)

    def encode_error(self, request: Request | None, failure: Failure, context: object = None) -> tuple[Frame, ...]:
        kind = None if request is None else type(request.command)
        if kind in (Login, Register):
            self._push_requested = self.receives_pushes
        return frames.error_reply(kind, failure)

    def mask_secrets(self, frame: bytes, mask: Mask) -> bytes | None:
        return _PUBLIC_MEMBERS.apply(frame, mask, self.limits)

    def encode_message(self, shown: DisplayMessage) -> tuple[Frame, ...]:
        return (frames.push(shown, self.base_url, self.language),)

    # The login

    def logged_in(self, account: AccountId, now: float) -> None:
        self._secret = ConnectionSecret()
        if account != NO_ACCOUNT:
            self.receives_pushes = self._push_requested


def _context(request: Request) -> ServiceContext:
    assert isinstance(request.context, ServiceContext)
    return request.context
