"""Commands about messages: which part of the edge handles each."""

from typing import assert_never

from services.edge.canonical.commands import (
    CountUnread,
    DropUpload,
    EditMessage,
    FetchUnread,
    ForwardMessage,
    MarkChatRead,
    MessageCommand,
    PostMessage,
    PostUpload,
    ReadHistory,
    ReadingCommand,
    ResumeChats,
    StartUpload,
    UploadCommand,
    UploadPart,
)
from services.edge.canonical.replies import Reply
from services.edge.client.session import LoginSession
from services.edge.dialects.base import Request
from services.edge.ephemeral.hub import EphemeralHub
from services.edge.handlers.changes import MessageChanger
from services.edge.handlers.chat_reads import ChatReads
from services.edge.handlers.history import MessageHistory
from services.edge.handlers.message_forwarder import MessageForwarder
from services.edge.handlers.message_resolver import MessageResolver
from services.edge.handlers.search import ClientSearches
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.message import ChangeMessage, GetChanges, GetHistory
from shared.contract.receipts import FindReactors, FindReaders
from shared.contract.search import SearchMessages

MessagesCommand = MessageCommand | UploadCommand | ReadingCommand | ForwardMessage | EditMessage | ChangeMessage


class MessageHandler:
    """All raise RequestError."""

    def __init__(
        self,
        history: MessageHistory,
        search: ClientSearches,
        reads: ChatReads,
        resolver: MessageResolver,
        changes: MessageChanger,
        forwarder: MessageForwarder,
        ephemeral: EphemeralHub,
    ) -> None:
        self._ephemeral = ephemeral
        self._forwarder = forwarder
        self._history = history
        self._search = search
        self._reads = reads
        self._resolver = resolver
        self._changes = changes

    async def resolve(self, session: LoginSession, requests: list[Request]) -> list[Request]:
        return await self._resolver.resolve(session, requests)

    async def handle(self, session: LoginSession, request: Request, command: MessagesCommand) -> Reply:
        match command:
            case StartUpload() | UploadPart() | DropUpload():
                return await self._resolver.upload(session, request)
            case PostMessage() | PostUpload():
                raise RequestError(ErrorCode.INTERNAL, "messages are resolved, then posted")
            case ForwardMessage():
                return await self._forwarder.forward(session, command)
            case EditMessage() | ChangeMessage():
                return await self._changes.change(session, command)
            case _:
                return await self._read(command, session)

    async def _read(self, command: ReadingCommand, session: LoginSession) -> Reply:
        history, actor = self._history, session.connection.account
        match command:
            case GetHistory() | FetchUnread():
                page = await history.fetch(command, actor, session.catch_up.unpushed_to)
                for shown in page.messages:
                    session.catch_up.mark_sent(shown.message.chat, shown.message.index)
                return page
            case ResumeChats():
                return await history.resume(command, actor)
            case ReadHistory():
                return await history.read_page(command, actor)
            case CountUnread():
                return await history.count_unread(actor)
            case MarkChatRead():
                return await self._reads.mark(command, actor, session.connection.number)
            case GetChanges():
                return await self._changes.page(command, actor)
            case FindReactors():
                return await self._changes.reactors(command, actor)
            case SearchMessages():
                return await self._search.search(command, actor)
            case FindReaders():
                return await self._ephemeral.receipts.readers(command, actor)
            case _:
                assert_never(command)
