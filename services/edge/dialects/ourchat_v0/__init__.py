"""OurChat v0 (2022): JSON objects with `code` and `data`. An OC number is a padded string, and a `cid` is the number of
a chat."""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import groupby
from sys import intern
from typing import Final

import msgspec

from services.edge.canonical.commands import StartUpload, UploadPart
from services.edge.canonical.frames import Binary, Frame, MediaPayload, Outgoing
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
from services.edge.dialects.ourchat_envelope import ocid
from services.edge.dialects.ourchat_v0.codes import ERROR_REPLIES, V0Code
from services.edge.dialects.ourchat_v0.decode import read
from services.edge.dialects.ourchat_v0.transfers import Announcement, IncomingTransfer
from services.edge.dialects.text_fallback import only_text, render_message, render_segment
from shared.contract.auth import Authenticated, Register, VerificationNeeded
from shared.contract.errors import Failure
from shared.contract.ids import NO_ACCOUNT, AccountId
from shared.contract.model import Emoji, File, Image, Segment
from shared.contract.routes import Ack
from shared.setting_types import Language

_PUBLIC_MEMBERS: Final = MemberMask(
    public="cid code details emojiId mail msg nick ocId packages_num sender_id size state time", objects="data"
)
"""Which members of its frames are not secret. See MemberMask."""
_PACKAGE_BYTES = 256 * 1024
"""The package size for a file that was not uploaded in packages."""

_encode = msgspec.json.Encoder().encode


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
                if isinstance(request.command, Register):
                    data = {"state": 0, "ocId": ocid(reply.account), "token": reply.token}
                    return (_frame(V0Code.REGISTERED, data),)
                return (_frame(V0Code.LOGGED_IN, {"state": 0, "token": reply.token}),)
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
        # `details` are not in the document
        return (_frame(error_reply.reply, {"state": state, "details": failure.text or failure.code}),)

    def mask_secrets(self, frame: bytes, mask: Mask) -> bytes | None:
        return _PUBLIC_MEMBERS.apply(frame, mask, self.limits)

    def encode_message(self, shown: DisplayMessage) -> tuple[Outgoing, ...]:
        """The frames of one message, in order. Each emoji and each run of adjacent texts has one frame. Each picture or
        file has packages or, if the connection has no binary frames, a frame with text."""
        where = {"cid": shown.message.chat, "sender_id": ocid(shown.message.sender)}
        if text := only_text(shown.segments):
            return (_frame(V0Code.TEXT, {**where, "msg": text}),)
        return tuple(_frames(shown.segments, where, self.base_url, self._package_bytes, self.language))


@lru_cache(ERROR_CACHE_SIZE)
def _error(details: str) -> tuple[Frame]:
    return (_frame(V0Code.ERROR, {"details": details}),)


def _frame(code: int, data: dict[str, object]) -> bytes:
    return _encode({"code": code, "data": data})


def _frames(
    segments: tuple[Segment, ...], where: dict[str, object], base_url: str, package_bytes: int, language: Language
) -> Iterator[Outgoing]:
    apart = (Emoji, Image, File) if package_bytes else (Emoji,)
    for is_apart, group in groupby(segments, lambda segment: isinstance(segment, apart)):
        if not is_apart:
            if text := render_message(tuple(group), base_url, language):
                yield _frame(V0Code.TEXT, {**where, "msg": text})
            continue
        for one in group:
            if isinstance(one, Emoji):
                yield _frame(V0Code.EMOJI, {**where, "emojiId": one.emoji_id})
            elif isinstance(one, Image | File):
                yield _content(one, where, base_url, package_bytes, language)


def _content(
    segment: Image | File, where: dict[str, object], base_url: str, package_bytes: int, language: Language
) -> MediaPayload:
    """The file in as many packages as its uploader has sent. If these would be too large, there are more packages."""
    media, code = segment.media, V0Code.IMAGE if isinstance(segment, Image) else V0Code.FILE
    packages = max(1, media.packages or -(-media.size // _PACKAGE_BYTES), -(-media.size // package_bytes))
    announcement = _frame(code, {**where, "packages_num": packages, "size": media.size})
    return MediaPayload(
        announcement,
        media,
        packages,
        _frame(V0Code.TEXT, {**where, "msg": render_segment(segment, base_url, language)}),
    )
