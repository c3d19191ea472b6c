"""Forwards messages, which means that their content is posted as new messages to other chats. Also posts the messages
of incoming webhooks, and changes messages."""

import asyncio
import hashlib
from collections.abc import Callable, Sequence

from services.edge.canonical.commands import EditMessage, ForwardMessage
from services.edge.canonical.replies import ChangesPage, ForwardedMessage, MessagesForwarded
from services.edge.client.posts import nonce_of
from services.edge.client.session import LoginSession
from services.edge.dialects.encoded_message import to_display_change
from services.edge.handlers.message_resolver import MessageResolver
from services.edge.handlers.table import Handlers, for_actor
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
from shared.contract.model import Segment, Text
from shared.contract.receipts import FindReactors, Reactors
from shared.contract.webhooks import FindIncomingWebhook, FoundIncomingWebhook
from shared.settings import Settings
from shared.tasks import operation

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


class MessageChanger:
    """Sends edits, recalls, reactions and pins to the message service, and reads the pages of such changes. `clock` is
    the clock of `leaders`. Every method may raise RequestError."""

    def __init__(
        self, bus: Bus, node: NodeId, leaders: Leaders, messages: MessageResolver, clock: Callable[[], float]
    ) -> None:
        self._bus = bus
        self._node = node
        self._leaders = leaders
        self._messages = messages
        self._clock = clock

    def handlers(self) -> Handlers:
        return {
            EditMessage: self.change,
            ChangeMessage: self.change,
            GetChanges: for_actor(self.page),
            FindReactors: for_actor(self.reactors),
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

    async def reactors(self, command: FindReactors, actor: AccountId) -> Reactors:
        command.actor = actor
        return await self._bus.send(command, retry=True)


_NO_CLIENT_S_NAME = "\0forward "
"""The names of forwarded messages (see PostMessage.nonce) begin with this text. No frame of a client can contain its
first character."""


class MessageForwarder:
    """`clock` is the clock of the connections. Every method may raise RequestError."""

    def __init__(
        self, bus: Bus, publisher: MessagePublisher, resolver: MessageResolver, clock: Callable[[], float]
    ) -> None:
        self._bus = bus
        self._publisher = publisher
        self._resolver = resolver
        self._clock = clock

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
