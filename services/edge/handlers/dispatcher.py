"""Passes each command of a client to its handler."""

from services.edge.canonical.commands import (
    CountUnread,
    CreateChatByUuid,
    DropUpload,
    EditMessage,
    FetchUnread,
    FindUsers,
    GetServerStatus,
    MarkChatRead,
    PostMessage,
    PostUpload,
    ReadHistory,
    RenewToken,
    RequestVerification,
    ResumeChats,
    StartUpload,
    UpdateAccount,
    UploadPart,
)
from services.edge.canonical.replies import Reply
from services.edge.client.session import LoginSession
from services.edge.dialects.base import Request
from services.edge.handlers.accounts import AccountHandler
from services.edge.handlers.auth import AuthHandler
from services.edge.handlers.changes import MessageChanger
from services.edge.handlers.forwarding import Forwarder
from services.edge.handlers.history import MessageHistory
from services.edge.handlers.message_resolver import MessageResolver
from services.edge.notifications.social import SocialNotifier
from shared.contract.auth import (
    ChangePassword,
    DeleteAccount,
    EndLogin,
    ListLogins,
    Login,
    Logout,
    Recover,
    Register,
    SetSecurity,
)
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.message import ChangeMessage, GetChanges, GetHistory
from shared.contract.session import CreateChat, GetAccount, SetProfile


class Dispatcher:
    """See services.edge.client.request_processor.RequestHandler."""

    def __init__(
        self,
        auth: AuthHandler,
        accounts: AccountHandler,
        history: MessageHistory,
        messages: MessageResolver,
        forwarder: Forwarder,
        changes: MessageChanger,
        social: SocialNotifier,
    ) -> None:
        self._auth = auth
        self._accounts = accounts
        self._history = history
        self._messages = messages
        self._forwarder = forwarder
        self._changes = changes
        self._social = social

    async def handle(self, session: LoginSession, request: Request) -> Reply:
        await self._auth.authenticate(session, request)
        command, actor = request.command, session.connection.account
        match command:
            case Register() | Login() | RequestVerification() | GetServerStatus() | RenewToken():
                return await self._auth.handle(session, request, command)
            case DeleteAccount() | Recover() | Logout() | ListLogins() | EndLogin() | ChangePassword():
                return await self._auth.handle_own(session, command)
            case SetSecurity() if session.connection.issued is not None:
                raise RequestError(ErrorCode.FORBIDDEN, "log in by your secret to change the security question")
            case GetAccount(lists=False):
                return await self._accounts.get(command, actor)
            case FindUsers():
                return await self._accounts.find(command, actor)
            case SetProfile():
                return await self._accounts.set_profile(command, actor)
            case UpdateAccount():
                return await self._accounts.update(command, actor)
            case CreateChatByUuid():
                return await self._accounts.create_chat_by_uuid(command, actor)
            case GetHistory() | FetchUnread():
                return await self._history.fetch(command, actor)
            case ResumeChats():
                return await self._history.resume(command, actor)
            case ReadHistory():
                return await self._history.read_page(command, actor)
            case CountUnread():
                return await self._history.count_unread(actor)
            case MarkChatRead():
                return await self._history.mark_chat_read(command, actor)
            case StartUpload() | UploadPart() | DropUpload():
                return await self._messages.upload(session, request)
            case PostMessage() | PostUpload():
                raise RequestError(ErrorCode.INTERNAL, "messages are resolved, then posted")
            case CreateChat():
                return await self._accounts.create_chat(command, actor)
            case EditMessage() | ChangeMessage():
                return await self._changes.change(session, command)
            case GetChanges():
                return await self._changes.page(command, actor)
            case _:
                return await self._forwarder.forward(command, actor)

    async def resolve(self, session: LoginSession, requests: list[Request]) -> list[Request]:
        await self._auth.authenticate(session, requests[0])
        return await self._messages.resolve(session, requests)

    def after_login(self, session: LoginSession) -> None:
        self._social.after_login(session)
