"""Prepares messages for posting. It finds the private chat, stores the file, and looks up the pictures and files of the
message and the message that it replies to."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

from msgspec.structs import replace

from services.edge.canonical.commands import (
    DropUpload,
    MessageCommand,
    PostMessage,
    PostUpload,
    StartUpload,
    UploadPart,
)
from services.edge.client.session import LoginSession
from services.edge.delivery.quotes import QuoteReader
from services.edge.dialects.base import Request
from services.edge.media import MediaService
from services.edge.media.mime_sniffing import PICTURES
from services.edge.media.naming import safe_name
from services.edge.media.store import MediaRecord, MediaUse
from services.edge.presence.local_accounts import LocalAccounts
from shared.bus.client import Bus
from shared.contract.errors import ErrorCode, Reason, RequestError
from shared.contract.ids import AccountId, ChatId
from shared.contract.model import File, Image, Media, RichSegment
from shared.contract.routes import Ack
from shared.contract.session import GetAccount, GetChat, OpenPrivateChat
from shared.tasks import time_left

_PREVIEW_PIXELS = 1280
_PREVIEW_BYTES = 1024 * 1024
"""The greatest width, height and size of a preview, which clients load and decode without a request of their user."""
_T = TypeVar("_T")


class MessageResolver:
    """`clock` is the clock of the connections."""

    def __init__(
        self, bus: Bus, accounts: LocalAccounts, media: MediaService, quotes: QuoteReader, clock: Callable[[], float]
    ) -> None:
        self._bus = bus
        self._quotes = quotes
        self._accounts = accounts
        self._media = media
        self._clock = clock

    async def resolve(self, session: LoginSession, requests: list[Request]) -> list[Request]:
        """Return messages to one chat, or the last part of a file, as messages that only have to be posted. Raises
        RequestError."""
        resolved: list[Request] = []
        try:
            for request in requests:
                command = await self._resolve_one(session, request)
                resolved.append(Request(command, request.context))
        except BaseException:
            session.discard_files(resolved)
            raise
        return resolved

    async def _resolve_one(self, session: LoginSession, request: Request) -> PostMessage:
        command, actor = request.command, session.connection.account
        assert isinstance(command, MessageCommand)
        chat = await self._chat(actor, command)
        if isinstance(command, PostUpload):
            media = await session.uploads.store(command, actor)
            return PostMessage(chat, (Image(media) if command.kind == "image" else File(media),), stored=media.id)
        segments, quote = command.segments, None
        if command.references_media:
            segments = await self.look_up_all(segments)
        if command.kind_by_content:
            segments = tuple(map(_by_content, segments))
        if command.reply_to:
            quote = await self._quotes.find(chat, command.reply_to, actor)
        return PostMessage(
            chat, segments, nonce=command.nonce, reply_to=command.reply_to, quote=quote, draft=command.draft,
            mark=command.mark,
        )  # fmt: skip

    async def upload(self, session: LoginSession, request: Request) -> Ack:
        """Handle any part of a file but the last one. Raises RequestError."""
        command, now = request.command, self._clock()
        match command:
            case StartUpload():
                await self._check_recipient(session.connection.account, command)
                if session.is_closing:
                    raise RequestError(ErrorCode.UNAVAILABLE, "the connection is closed")
                await session.uploads.start(request, session.connection.account, now)
            case UploadPart():
                await session.uploads.add(command, now)
            case DropUpload(failure=failure):
                raise RequestError.from_failure(failure)
        return Ack()

    async def _check_recipient(self, actor: AccountId, command: StartUpload) -> None:
        """Reject an upload early if the actor cannot post to its recipient. This is so if the recipient's account is
        deleted, or if the actor may not see the chat."""
        local = self._accounts.get(actor)
        if command.to:
            if local is None or command.to not in local.private_chats:
                request = GetAccount(command.to, actor=actor)
                view = await self._bus.send(request, retry=True)
                if view.profile.deleted:
                    raise RequestError(ErrorCode.NOT_FOUND, "this account is deleted")
        elif local is None or command.chat not in local.chats:
            request_chat = GetChat(command.chat, actor, members=1)
            await self._bus.send(request_chat, retry=True)

    async def _chat(self, actor: AccountId, command: MessageCommand) -> ChatId:
        """The chat of the command. A private chat is requested only once while the account is on this node."""
        if not command.to:
            return command.chat
        local = self._accounts.get(actor)
        chats = local.private_chats if local else {}
        if command.to not in chats:
            request = OpenPrivateChat(command.to, actor)
            opened = await self._bus.send(request, retry=True)
            chats[command.to] = opened.chat
        return chats[command.to]

    async def look_up_all(self, segments: tuple[RichSegment, ...]) -> tuple[RichSegment, ...]:
        """Return the segments with all data of the pictures and files that they reference. Raises RequestError."""
        try:
            async with asyncio.timeout(time_left()):
                return tuple([await self._look_up(number, segment) for number, segment in enumerate(segments)])
        except TimeoutError as error:
            raise RequestError(ErrorCode.UNAVAILABLE, "the pictures and files were not found in time") from error

    async def _look_up(self, number: int, segment: RichSegment) -> RichSegment:
        """Return a segment with all data of the picture or file that it references. Only the file's name may come from
        the client. `number`: the place of the segment in the message."""
        if not isinstance(segment, Image | File):
            return segment
        if isinstance(segment, Image) and segment.preview:
            preview = await self._mark_preview(segment.preview, f"segments[{number}].preview")
            segment = replace(segment, preview=preview)
        media = await self._media.mark_used(segment.media.id, MediaUse.POSTED)
        return replace(segment, media=_renamed(_existing(media, f"segments[{number}].media"), segment.media.name))

    async def _mark_preview(self, id: str, field: str) -> str:
        """Return the id of the preview, or an empty one if the width of the picture is unknown, as in records of a
        previous version. The limits do not apply to a file that was posted before, so that a message that was accepted
        can be repeated and edited. Raises RequestError."""
        record = _existing(await self._media.find_record(id), field)
        if record.use >= MediaUse.POSTED:
            return id
        if reason := _fault_of_preview(record):
            pixels = f"{_PREVIEW_PIXELS} × {_PREVIEW_PIXELS} pixels"
            text = f"a preview is a PNG, JPEG, GIF or WebP picture of at most {pixels} and 1 MiB"
            raise RequestError(ErrorCode.INVALID, text, field, reason=reason)
        if not record.width:
            return ""
        _existing(await self._media.mark_used(id, MediaUse.POSTED), field)
        return id


def _existing(found: _T | None, field: str) -> _T:
    """Raises RequestError."""
    if found is None:
        text = "there is no picture or file at this address"
        raise RequestError(ErrorCode.INVALID, text, field, reason=Reason.CHOICE)
    return found


def _fault_of_preview(record: MediaRecord) -> Reason | None:
    """The reason to reject a preview; None if it is allowed."""
    if record.mime not in PICTURES:
        return Reason.TYPE
    is_large = max(record.width, record.height) > _PREVIEW_PIXELS or record.size > _PREVIEW_BYTES
    return Reason.RANGE if is_large else None


def _by_content(segment: RichSegment) -> RichSegment:
    if isinstance(segment, File) and segment.media.mime in PICTURES:
        return Image(segment.media)
    return segment


def _renamed(media: Media, name: str) -> Media:
    return replace(media, name=safe_name(name) or media.name)
