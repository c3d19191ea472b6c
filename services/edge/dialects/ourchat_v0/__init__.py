"""OurChat v0 (2022): JSON objects with `code` and `data`. An OC number is a padded string, and a `cid` is the number of
a chat."""

from collections.abc import Sequence
from functools import lru_cache
from sys import intern
from typing import Final

from services.edge.canonical.commands import StartUpload, UploadPart
from services.edge.canonical.frames import Binary, Frame, Outgoing
from services.edge.canonical.replies import DisplayMessage, MessageAccepted, Reply
from services.edge.dialects.base import (
    ERROR_CACHE_SIZE,
    ConnectionInfo,
    DecodeError,
    Dialect,
    Mask,
    Request,
    never_requested,
)
from services.edge.dialects.credentials import VERIFY_BY_MAIL
from services.edge.dialects.json_frames import MemberMask
from services.edge.dialects.ourchat_v0 import encode
from services.edge.dialects.ourchat_v0.codes import ERROR_REPLIES
from services.edge.dialects.ourchat_v0.decode import read
from services.edge.dialects.ourchat_v0.transfers import Announcement, IncomingTransfer
from shared.contract.auth import Authenticated, Register, VerificationNeeded
from shared.contract.errors import Failure
from shared.contract.ids import NO_ACCOUNT, AccountId
from shared.contract.routes import Ack

_PUBLIC_MEMBERS: Final = MemberMask(
    public="cid code details emojiId mail msg nick ocId packages_num sender_id size state time", objects="data"
)
"""Which members of its frames are not secret. See MemberMask."""


class OurChatV0(Dialect):
    """See services.edge.dialects.base."""

    name = "ourchat-v0"
    shows_others_joins = False

    def __init__(self, info: ConnectionInfo) -> None:
        super().__init__(info)
        self._account = NO_ACCOUNT
        self._incoming = IncomingTransfer(self.limits)
        self._package_bytes = self.limits.binary_frame_bytes if info.binary else 0
        """The most bytes of a package, or 0 if the connection has no binary frames."""
        self.variant = intern(f"{self.variant} {self._package_bytes}")

    def logged_in(self, account: AccountId, now: float) -> None:
        self._account = account

    def decode(self, frame: Frame, now: float) -> Sequence[Request]:
        if isinstance(frame, Binary):
            return self._incoming.package(frame.data, now)
        item = read(frame, self._account, self.limits)
        if not isinstance(item, Announcement):
            return (item,)
        if not self._package_bytes:
            raise DecodeError("pictures and files are sent by WebSocket")
        return (self._incoming.announce(item, self._account, now),)

    def encode_reply(self, request: Request, reply: Reply, now: float) -> tuple[Outgoing, ...]:
        match reply:
            case MessageAccepted():
                return reply.frames()
            case Authenticated():
                registered = isinstance(request.command, Register)
                return ((encode.registered if registered else encode.logged_in)(reply),)
            case VerificationNeeded():
                return self.encode_error(request, VERIFY_BY_MAIL)
            case Ack():
                return ()
            case _:
                raise never_requested("v0")

    def encode_error(self, request: Request | None, failure: Failure, context: object = None) -> tuple[Frame, ...]:
        if request is not None and isinstance(request.command, StartUpload | UploadPart):
            self._incoming.failed(request.command.number)
        error_reply = None if request is None else ERROR_REPLIES.get(type(request.command))
        state = error_reply.statuses[failure.code] if error_reply else None
        if error_reply is None or state is None:
            return _error(failure.text or failure.code)
        return (encode.state(error_reply.reply, state, failure.text or failure.code),)

    def mask_secrets(self, frame: bytes, mask: Mask) -> bytes | None:
        return _PUBLIC_MEMBERS.apply(frame, mask, self.limits)

    def encode_message(self, shown: DisplayMessage) -> tuple[Outgoing, ...]:
        return encode.message(shown, self.base_url, self._package_bytes, self.language)


@lru_cache(ERROR_CACHE_SIZE)
def _error(details: str) -> tuple[Frame]:
    return (encode.error(details),)
