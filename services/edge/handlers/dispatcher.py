"""Passes each command of a client to its handler, and begins a trace for it."""

from typing import TYPE_CHECKING, assert_never

from services.edge.canonical.commands import (
    AnnounceTyping,
    AuthCommand,
    CreateChatByUuid,
    ExportAccount,
    ExportMessages,
    FindUsers,
    GiveState,
    UpdateAccount,
    WatchAccounts,
)
from services.edge.canonical.replies import PresenceShown, Reply
from services.edge.client.requests import RequestHandler
from services.edge.client.session import LoginSession
from services.edge.dialects.base import Request
from services.edge.ephemeral.hub import EphemeralHub
from services.edge.handlers.accounts import AccountHandler
from services.edge.handlers.auth import AuthHandler
from services.edge.handlers.forwarding import Forwarder
from services.edge.handlers.messages import MessageHandler, MessagesCommand
from services.edge.handlers.own_data import OwnDataExporter
from services.edge.notifications.social import SocialNotifier
from shared.contract.contacts import SetBlocked
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.members import SetChat
from shared.contract.recovery import SetSecurity
from shared.contract.routes import Ack, Forwarded
from shared.contract.session import CreateChat, GetAccount, ListChatViews, MuteChat, SetProfile
from shared.telemetry import trace

if TYPE_CHECKING:
    from shared.tracing import Span, Tracer


class Dispatcher:
    """See services.edge.client.requests.RequestHandler."""

    def __init__(
        self,
        auth: AuthHandler,
        accounts: AccountHandler,
        messages: MessageHandler,
        forwarder: Forwarder,
        ephemeral: EphemeralHub,
        social: SocialNotifier,
        exporter: OwnDataExporter,
    ) -> None:
        self._auth = auth
        self._accounts = accounts
        self._messages = messages
        self._forwarder = forwarder
        self._ephemeral = ephemeral
        self._social = social
        self._exporter = exporter

    async def handle(self, session: LoginSession, request: Request) -> Reply:
        await self._auth.authenticate(session, request)
        command, actor = request.command, session.connection.account
        if isinstance(command, MessagesCommand):
            return await self._messages.handle(session, request, command)
        if isinstance(command, AuthCommand):
            return await self._auth.handle(session, request, command)
        match command:
            case SetSecurity() if session.connection.claims is not None:
                raise RequestError(ErrorCode.FORBIDDEN, "log in by your secret to change the security question")
            case ExportAccount():
                return await self._exporter.account(session.connection)
            case ExportMessages():
                return await self._exporter.messages(command, actor)
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
            case CreateChat():
                return await self._accounts.create_chat(command, actor)
            case SetChat():
                return await self._accounts.set_chat(command, actor)
            case MuteChat():
                return await self._accounts.mute_chat(command, session.connection)
            case SetBlocked():
                return await self._accounts.set_blocked(command, actor)
            case AnnounceTyping():
                self._ephemeral.typing.announce(command, actor)
                return Ack()
            case WatchAccounts(accounts):
                watching, number = self._ephemeral.watching, session.connection.number
                return PresenceShown(await watching.watch(actor, number, accounts))
            case GiveState(state, text):
                await self._ephemeral.states.give(actor, session.connection.number, state, text)
                return Ack()
            case ListChatViews():
                return await self._forwarder.list_chats(command, actor)
            case Forwarded():
                return await self._forwarder.forward(command, actor)
            case _:
                assert_never(command)

    async def resolve(self, session: LoginSession, requests: list[Request]) -> list[Request]:
        await self._auth.authenticate(session, requests[0])
        return await self._messages.resolve(session, requests)

    def after_login(self, session: LoginSession) -> None:
        self._social.after_login(session)


class TracedHandler:
    """Passes requests to another handler, and measures it. See services.edge.client.requests."""

    def __init__(self, handler: RequestHandler, tracer: "Tracer") -> None:
        self._handler = handler
        self._tracer = tracer

    async def handle(self, session: LoginSession, request: Request) -> Reply:
        with self._begin(session, request):
            return await self._handler.handle(session, request)

    async def resolve(self, session: LoginSession, requests: list[Request]) -> list[Request]:
        with self._begin(session, requests[0]):
            return await self._handler.resolve(session, requests)

    def after_login(self, session: LoginSession) -> None:
        self._handler.after_login(session)

    def _begin(self, session: LoginSession, request: Request) -> "Span":
        name = type(request.command).__name__
        return self._tracer.begin(name, {"dialect": session.dialect.name}, trace_id=trace.get())
