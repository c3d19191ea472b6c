"""What a client says, made fit to be said: in a chat that is known, with pictures and files that are kept."""

import asyncio

from msgspec.structs import replace

from services.edge.canonical.commands import MessageCommand, PostMessage, PostUpload, StartUpload
from services.edge.client.uploads import UploadSlots
from services.edge.context import EdgeContext
from services.edge.dialects.base import Request
from services.edge.media import MediaService
from services.edge.media.naming import safe_name
from shared.contract import subjects
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.ids import AccountId, ChatId
from shared.contract.model import File, Image, Media, Segment
from shared.contract.session import GetAccount, GetChat, OpenPrivateChat


async def resolve_drafts(
    node: EdgeContext, uploads: UploadSlots, actor: AccountId, run: list[Request]
) -> list[Request]:
    """A run of messages to one chat, or the last part of a file, as messages that only have to be posted. Raises
    Refused."""
    said: list[Request] = []
    for request in run:
        command = request.command
        assert isinstance(command, MessageCommand)
        chat = await _chat(node, actor, command)
        if isinstance(command, PostUpload):
            media = await uploads.store(command)
            segments: tuple[Segment, ...] = (Image(media) if command.kind == "image" else File(media),)
        elif command.references_media:
            segments = await _all_looked_up(node, command.segments)
        else:
            segments = command.segments
        said.append(Request(PostMessage(chat, segments), request.context))
    return said


async def check_receiver(node: EdgeContext, actor: AccountId, command: StartUpload) -> None:
    """Whether a file may be said there, as far as that is known beforehand. Raises Refused."""
    resident, seconds = node.accounts.get(actor), node.settings.edge.request_seconds
    if command.to:
        if resident is None or command.to not in resident.private_chats:
            ask = GetAccount(command.to, actor=actor)
            view = await node.bus.request(subjects.GET_ACCOUNT, ask, seconds=seconds, retry=True)
            if view.profile.deleted:
                raise RequestError(ErrorCode.NOT_FOUND, "this account is deleted")
    elif resident is None or command.chat not in resident.chats:
        await node.bus.request(subjects.GET_CHAT, GetChat(command.chat, actor), seconds=seconds, retry=True)


async def _chat(node: EdgeContext, actor: AccountId, command: MessageCommand) -> ChatId:
    """The private chat with somebody is asked for once, while one is here."""
    if not command.to:
        return command.chat
    resident = node.accounts.get(actor)
    chats = resident.private_chats if resident else {}
    if command.to not in chats:
        ask = OpenPrivateChat(command.to, actor)
        seconds = node.settings.edge.request_seconds
        opened = await node.bus.request(subjects.OPEN_PRIVATE_CHAT, ask, seconds=seconds, retry=True)
        chats[command.to] = opened.chat
    return chats[command.to]


async def _all_looked_up(node: EdgeContext, segments: tuple[Segment, ...]) -> tuple[Segment, ...]:
    try:
        async with asyncio.timeout(node.settings.edge.request_seconds):
            return tuple([await _looked_up(node.media, segment) for segment in segments])
    except TimeoutError as error:
        raise RequestError(ErrorCode.UNAVAILABLE, "the pictures and files were not found in time") from error


async def _looked_up(room: MediaService, segment: Segment) -> Segment:
    """What is at the address that a picture or file was cited by. Its name alone may be the client's."""
    if not isinstance(segment, Image | File):
        return segment
    media = await room.find(segment.media.id)
    if media is None:
        raise RequestError(ErrorCode.INVALID, "there is no picture or file at this address")
    return type(segment)(_named(media, segment.media.name))


def _named(media: Media, name: str) -> Media:
    return replace(media, name=safe_name(name) or media.name)
