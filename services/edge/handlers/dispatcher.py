"""Passes each command of a client to the handler for it, and begins a trace."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Protocol

from services.edge.canonical.commands import AnnounceTyping, AuthCommand, GiveState, UploadCommand, WatchAccounts
from services.edge.canonical.irc_commands import MonitorNicks, ReadStates, RelayTags, ShowAway, ShowModes
from services.edge.canonical.replies import PresenceShown, Reply
from services.edge.client.requests import RequestHandler
from services.edge.client.session import LoginSession
from services.edge.dialects.base import Request
from services.edge.ephemeral.hub import EphemeralHub
from services.edge.handlers.accounts import Forwarder
from services.edge.handlers.auth import AuthHandler
from services.edge.handlers.messages import MessageResolver
from services.edge.handlers.table import Handlers, for_actor
from services.edge.notifications.social import SocialNotifier
from shared.contract.ids import AccountId
from shared.contract.metadata import MetadataList, SetMetadata
from shared.contract.receipts import FindReaders
from shared.contract.routes import Ack, Forwarded
from shared.telemetry import trace

if TYPE_CHECKING:
    from shared.tracing import Span, Tracer


class CommandHandler(Protocol):
    def handlers(self) -> Handlers: ...


class Dispatcher:
    """Implements services.edge.client.requests.RequestHandler. Commands for which no handler is in `parts` are
    forwarded."""

    def __init__(
        self,
        auth: AuthHandler,
        resolver: MessageResolver,
        forwarder: Forwarder,
        ephemeral: EphemeralHub,
        social: SocialNotifier,
        parts: Iterable[CommandHandler],
    ) -> None:
        self._auth = auth
        self._resolver = resolver
        self._forwarder = forwarder
        self._ephemeral = ephemeral
        self._social = social
        self.handlers: Handlers = {
            AnnounceTyping: for_actor(self._announce_typing),
            WatchAccounts: self._watch,
            GiveState: self._give_state,
            ReadStates: for_actor(self._read_states),
            RelayTags: self._relay_tags,
            MonitorNicks: self._monitor,
            ShowAway: self._show_away,
            ShowModes: self._show_modes,
            SetMetadata: self._set_metadata,
            FindReaders: for_actor(ephemeral.receipts.readers),
        }
        for part in parts:
            self.handlers.update(part.handlers())

    async def handle(self, session: LoginSession, request: Request) -> Reply:
        await self._auth.authenticate(session, request)
        command = request.command
        if (handle := self.handlers.get(type(command))) is not None:
            return await handle(session, command)
        if isinstance(command, UploadCommand):
            return await self._resolver.upload(session, request)
        if isinstance(command, AuthCommand):
            return await self._auth.handle(session, request, command)
        assert isinstance(command, Forwarded)  # commands with messages go to `resolve` and `post`
        return await self._forwarder.forward(command, session.connection.account)

    async def _announce_typing(self, command: AnnounceTyping, actor: AccountId) -> Ack:
        self._ephemeral.typing.announce(command, actor)
        return Ack()

    async def _watch(self, session: LoginSession, command: WatchAccounts) -> PresenceShown:
        connection = session.connection
        watching = self._ephemeral.watching.watch(connection.account, connection.number, command.accounts)
        return PresenceShown(await watching)

    async def _give_state(self, session: LoginSession, command: GiveState) -> Ack:
        connection = session.connection
        await self._ephemeral.states.give(connection.account, connection.number, command.state, command.text)
        text = (command.text or command.state) if command.state in ("away", "busy") else ""
        self._ephemeral.nicks.away(connection.account, session.summary(), text)
        return Ack()

    async def _show_away(self, session: LoginSession, command: ShowAway) -> Ack:
        self._ephemeral.nicks.away(session.connection.account, session.summary(), command.text, [command.chat])
        return Ack()

    async def _read_states(self, command: ReadStates, actor: AccountId) -> PresenceShown:
        return PresenceShown(await self._ephemeral.watching.read_now(actor, command.accounts))

    async def _relay_tags(self, session: LoginSession, command: RelayTags) -> Ack:
        await self._ephemeral.relay_tags(command, session.connection.account, session.summary())
        return Ack()

    async def _monitor(self, session: LoginSession, command: MonitorNicks) -> Ack:
        self._ephemeral.nicks.monitor(session.recipient, command.nicks)
        return Ack()

    async def _show_modes(self, session: LoginSession, command: ShowModes) -> Ack:
        self._ephemeral.nicks.show_modes(session.connection.account, command.modes)
        return Ack()

    async def _set_metadata(self, session: LoginSession, command: SetMetadata) -> MetadataList:
        changed = await self._forwarder.forward(command, session.connection.account)
        assert isinstance(changed, MetadataList)
        self._ephemeral.nicks.metadata(session.connection.account, session.summary(), changed.values)
        return changed

    async def resolve(self, session: LoginSession, requests: list[Request]) -> list[Request]:
        await self._auth.authenticate(session, requests[0])
        return await self._resolver.resolve(session, requests)

    def after_login(self, session: LoginSession) -> None:
        self._social.after_login(session)


class TracedHandler:
    """Passes requests to another handler, and measures them. See services.edge.client.requests."""

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
