"""Prepares messages for posting: finds the private chat, stores the file, and looks up the pictures and files of the
message and the message that it replies to. Changes messages, and posts messages of incoming webhooks. Forwards
messages, which means that their content is posted as new messages to other chats."""

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from msgspec.structs import replace

from services.edge.canonical.commands import (
    DropUpload,
    EditMessage,
    ForwardMessage,
    MessageCommand,
    PostMessage,
    PostUpload,
    StartUpload,
    UploadPart,
)
from services.edge.canonical.replies import ChangesPage, ForwardedMessage, MessagesForwarded
from services.edge.client.posts import nonce_of
from services.edge.client.session import LoginSession
from services.edge.delivery.quotes import QuoteReader
from services.edge.dialects.base import Request
from services.edge.dialects.encoded_message import to_display_change
from services.edge.handlers.table import Handlers, for_actor
from services.edge.media import MediaService
from services.edge.media.mime_sniffing import PICTURES
from services.edge.media.naming import safe_name
from services.edge.media.store import MediaRecord, MediaUse
from services.edge.presence.local_accounts import LocalAccounts
from services.edge.presence.profiles import fetch_summaries
from services.edge.rate_limit import TokenBuckets
from services.edge.upstream.attempt import ANY, Leaders
from services.edge.upstream.publisher import MessagePublisher, post_one
from shared.bus.client import Bus
from shared.contract import subjects
from shared.contract.body import pack_edited, pack_segments, requested_content, unpack_segments
from shared.contract.errors import INTERNAL_ERROR, ErrorCode, Failure, Reason, RequestError
from shared.contract.ids import AccountId, ChatId, NodeId
from shared.contract.message import Changed, ChangeMessage, Draft, EditText, GetChanges, GetHistory, Posted
from shared.contract.model import File, Image, Media, RichSegment, Segment, Text
from shared.contract.routes import Ack
from shared.contract.session import GetAccount, GetChat, OpenPrivateChat
from shared.contract.webhooks import FindIncomingWebhook, FoundIncomingWebhook
from shared.settings import Settings
from shared.tasks import operation, time_left

_PREVIEW_PIXELS = 1280
_PREVIEW_BYTES = 1024 * 1024
"""The greatest width, height and size of a preview, which clients load and decode without a request of their user."""
_T = TypeVar("_T")


@dataclass(frozen=True)
class MessageResolver:
    """`clock` is the clock of the connections."""

    _bus: Bus
    _accounts: LocalAccounts
    _media: MediaService
    _quotes: QuoteReader
    _clock: Callable[[], float]

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
        deleted or the actor's own, or if the actor may not see the chat."""
        local = self._accounts.get(actor)
        if command.to == actor:
            raise RequestError(ErrorCode.INVALID, "this is your own account")
        if command.to:
            if local is None or command.to not in local.private_chats:
                request = GetAccount(command.to, actor=actor)
                view = await self._bus.send(request, retry=True)
                if view.profile.deleted:
                    raise RequestError(ErrorCode.NOT_FOUND, "this account is deleted")
        elif local is None or command.chat not in local.chats:
            request_chat = GetChat(command.chat, actor=actor, members=1)
            await self._bus.send(request_chat, retry=True)

    async def _chat(self, actor: AccountId, command: MessageCommand) -> ChatId:
        """The chat of the command. A private chat is requested only once while the account is on this node."""
        if not command.to:
            return command.chat
        local = self._accounts.get(actor)
        chats = local.private_chats if local else {}
        if command.to not in chats:
            request = OpenPrivateChat(command.to, actor=actor)
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


_WEBHOOK_NAME = "\0hook "
"""The names of webhook messages (see PostMessage.nonce) begin with this text. No frame of a client can contain its
first character."""


class WebhookMessages:
    """Posts the messages of incoming webhooks. A webhook posts as an account of its own, with the permissions of the
    account that made it. `clock` is the clock of the connections."""

    def __init__(self, bus: Bus, publisher: MessagePublisher, clock: Callable[[], float], settings: Settings) -> None:
        self._bus = bus
        self._publisher = publisher
        self._clock = clock
        self._seconds = settings.edge.request_seconds
        limits = settings.limits
        self._text_bytes = limits.message_text_bytes
        buckets = TokenBuckets(limits.webhook_messages_per_second, limits.webhook_messages_burst)
        self._buckets = buckets if limits.rates else None

    async def post(self, secret: str, text: str, key: str) -> None:
        """Returns once the message is committed. A message with a `key` that was used before is not posted again. An
        empty `key` is not compared. Raises RequestError."""
        started = self._clock()
        with operation(self._seconds):
            draft = await self._admit(secret, text, key, started)
        await post_one(self._publisher, draft, self._clock())

    async def _admit(self, secret: str, text: str, key: str, started: float) -> Draft:
        webhook = await self._find(secret)
        if len(text.encode()) > self._text_bytes:
            raise RequestError(ErrorCode.TOO_LARGE, f"a message has at most {self._text_bytes} bytes of text", "text")
        if self._buckets is not None and not self._buckets.take(webhook.hook, self._clock()):
            raise RequestError(ErrorCode.RATE_LIMITED, "too many messages of this webhook, slow down")
        return await self._draft(webhook, text, key, started)

    async def _find(self, secret: str) -> FoundIncomingWebhook:
        request = FindIncomingWebhook(hashlib.sha256(secret.encode()).hexdigest())
        return await self._bus.send(request, retry=True)

    async def _draft(self, webhook: FoundIncomingWebhook, text: str, key: str, started: float) -> Draft:
        summaries = await fetch_summaries(self._bus, [webhook.account])
        body = pack_segments((Text(text),))
        name = f"{_WEBHOOK_NAME}{webhook.hook} {key}"
        nonce = nonce_of(webhook.account, webhook.chat, name) if key else self._publisher.new_nonce()
        sender, face = webhook.account, summaries.get(webhook.account)
        return Draft(sender, webhook.chat, nonce, self._publisher.deadline(started), body, face, by=webhook.by)


_LEADER_SECONDS = 1.0
"""If the leader does not reply within this time, the request goes to any replica. A change that is requested twice has
no second effect."""


@dataclass(frozen=True)
class MessageChanger:
    """Sends edits, recalls, reactions and pins to the message service, and reads the pages of such changes. `clock` is
    the clock of `leaders`. Every method may raise RequestError."""

    _bus: Bus
    _node: NodeId
    _leaders: Leaders
    _messages: MessageResolver
    _clock: Callable[[], float]

    def handlers(self) -> Handlers:
        return {
            EditMessage: self.change,
            ChangeMessage: self.change,
            GetChanges: for_actor(self.page),
        }

    async def change(self, session: LoginSession, command: EditMessage | ChangeMessage) -> Changed:
        account = session.connection.account
        request = await self._edit(command, account) if isinstance(command, EditMessage) else command
        request.actor, request.origin = account, (self._node, session.connection.number)
        request.face = session.summary()
        leader = self._leaders.leader(request.chat, self._clock())
        if leader != ANY:
            try:
                route = subjects.change(leader)
                return await self._bus.request(route, request, seconds=_LEADER_SECONDS, wait_for_service=False)
            except RequestError as error:
                if error.failure.code is not ErrorCode.UNAVAILABLE:
                    raise
        return await self._bus.send(request, retry=True)

    async def _edit(self, command: EditMessage, account: AccountId) -> ChangeMessage:
        segments = command.segments
        if command.references_media:
            segments = await self._messages.look_up_all(segments)
        nonce = nonce_of(account, command.chat, command.nonce)
        return ChangeMessage(
            command.chat, command.index, EditText(pack_edited(segments), nonce, command.if_rev), account
        )

    async def page(self, command: GetChanges, actor: AccountId) -> ChangesPage:
        command.actor = actor
        page = await self._bus.send(command, retry=True)
        return ChangesPage(tuple(map(to_display_change, page.changes)), page.rev, page.more)


_NO_CLIENT_S_NAME = "\0forward "
"""The names of forwarded messages (see PostMessage.nonce) begin with this text. No frame of a client can contain its
first character."""


@dataclass(frozen=True)
class MessageForwarder:
    """`clock` is the clock of the connections. Every method may raise RequestError."""

    _bus: Bus
    _publisher: MessagePublisher
    _resolver: MessageResolver
    _clock: Callable[[], float]

    def handlers(self) -> Handlers:
        return {ForwardMessage: self.forward}

    async def forward(self, session: LoginSession, command: ForwardMessage) -> MessagesForwarded:
        """Forward a message. Returns the result for each chat. All connections of the account get the new messages like
        the messages of others."""
        started = self._clock()
        segments = await self._content(session, command)
        submission = _Submission(command.into)
        for draft in self._drafts(session, command, pack_segments(segments), started):
            self._publisher.post(submission, [draft], started)
        self._publisher.flush()
        results = await submission.results()
        for one in results:
            if one.posted is not None:
                session.mark_posted(session.connection.account, one.chat, [one.posted.index], self._clock() - started)
        return MessagesForwarded(tuple(results))

    async def _content(self, session: LoginSession, command: ForwardMessage) -> tuple[Segment, ...]:
        """The content of the message as the account sees it. Mentions become texts, so that the new message mentions no
        account."""
        request = GetHistory(command.chat, command.index, 1, actor=session.connection.account)
        page = await self._bus.send(request, retry=True)
        segments = unpack_segments(requested_content(page.messages, command.index).body)
        try:
            return await self._resolver.look_up_all(segments)  # type: ignore[return-value] # no mention is among them
        except RequestError as error:
            if error.failure.code is not ErrorCode.INVALID:
                raise
            raise RequestError(
                ErrorCode.INVALID, "a picture or file of this message is gone", "index", reason=Reason.GONE
            ) from error

    def _drafts(self, session: LoginSession, command: ForwardMessage, body: bytes, started: float) -> Sequence[Draft]:
        sender, summary, name = session.connection.account, session.summary(), _NO_CLIENT_S_NAME + command.nonce
        deadline = self._publisher.deadline(started)
        return [Draft(sender, chat, nonce_of(sender, chat, name), deadline, body, summary) for chat in command.into]


class _Submission:
    """See services.edge.upstream.publisher.Submitter."""

    def __init__(self, chats: Sequence[ChatId]) -> None:
        loop = asyncio.get_running_loop()
        self._results: dict[ChatId, asyncio.Future[ForwardedMessage]] = {chat: loop.create_future() for chat in chats}

    async def results(self) -> list[ForwardedMessage]:
        return await asyncio.gather(*self._results.values())

    def confirmed(self, draft: Draft, posted: Posted, *, again: bool = False) -> None:
        self._set(ForwardedMessage(draft.chat, posted, again))

    def failed(self, draft: Draft, failure: Failure) -> None:
        self._set(ForwardedMessage(draft.chat, failure=failure))

    def crashed(self) -> None:
        for chat in self._results:
            self._set(ForwardedMessage(chat, failure=INTERNAL_ERROR))

    def _set(self, result: ForwardedMessage) -> None:
        if not self._results[result.chat].done():
            self._results[result.chat].set_result(result)
