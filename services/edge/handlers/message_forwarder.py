"""Forwards a message: posts its content again, to several chats at once, by the way of any message."""

import asyncio
from collections.abc import Callable, Sequence

from services.edge.canonical.commands import ForwardMessage
from services.edge.canonical.replies import ForwardedMessage, MessagesForwarded
from services.edge.client.posts import nonce_of
from services.edge.client.session import LoginSession
from services.edge.handlers.message_resolver import MessageResolver
from services.edge.upstream.publisher import MessagePublisher
from shared.bus.client import Bus
from shared.contract.body import pack_segments, requested_content, unpack_segments
from shared.contract.errors import INTERNAL_ERROR, ErrorCode, Failure, RequestError
from shared.contract.ids import ChatId
from shared.contract.message import Draft, GetHistory, Posted
from shared.contract.model import Segment

_NO_CLIENT_S_NAME = "\0forward "
"""Begins the names of forwarded messages: no frame has this character."""


class MessageForwarder:
    """Each request waits for its reply for `seconds`. `clock` is that of the connections. All raise RequestError."""

    def __init__(
        self,
        bus: Bus,
        publisher: MessagePublisher,
        resolver: MessageResolver,
        clock: Callable[[], float],
        seconds: float,
    ) -> None:
        self._bus = bus
        self._publisher = publisher
        self._resolver = resolver
        self._clock = clock
        self._seconds = seconds

    async def forward(self, session: LoginSession, command: ForwardMessage) -> MessagesForwarded:
        """The result for each chat. The messages come to all connections of the account as those of others do."""
        started = self._clock()
        segments = await self._content(session, command)
        submission = _Submission(command.into)
        for draft in self._drafts(session, command, pack_segments(segments)):
            self._publisher.post(submission, [draft], started)
        self._publisher.flush()
        results = await submission.results()
        for one in results:
            if one.posted is not None:
                session.mark_posted(session.connection.account, one.chat, [one.posted.index], self._clock() - started)
        return MessagesForwarded(tuple(results))

    async def _content(self, session: LoginSession, command: ForwardMessage) -> tuple[Segment, ...]:
        """Of the message, as its reader sees it; mentions are texts, so that nobody is mentioned again."""
        request = GetHistory(command.chat, command.index, 1, actor=session.connection.account)
        page = await self._bus.send(request, seconds=self._seconds, retry=True)
        segments = unpack_segments(requested_content(page.messages, command.index).body)
        try:
            return await self._resolver.look_up_all(segments)  # type: ignore[return-value] # no mention is among them
        except RequestError as error:
            if error.failure.code is not ErrorCode.INVALID:
                raise
            raise RequestError(ErrorCode.INVALID, "a picture or file of this message is gone", "index") from error

    def _drafts(self, session: LoginSession, command: ForwardMessage, body: bytes) -> Sequence[Draft]:
        sender, summary, name = session.connection.account, session.summary(), _NO_CLIENT_S_NAME + command.nonce
        deadline = self._publisher.deadline(self._clock())
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
