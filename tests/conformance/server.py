"""A server of native.

Each case decides how it replies and what faults it has. It decodes and encodes frames as the edge does.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from http import HTTPStatus
from typing import Any, NamedTuple, TypeVar

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request as HandshakeRequest
from websockets.http11 import Response as HandshakeResponse
from websockets.typing import Subprotocol

from services.edge.canonical.commands import (
    BEFORE_LOGIN,
    Command,
    MarkChatRead,
    PostMessage,
    ReadHistory,
    RenewToken,
    ResumeChats,
)
from services.edge.canonical.events import ChatJoined, MessageChanged
from services.edge.canonical.frames import Outgoing
from services.edge.canonical.replies import DisplayChange, DisplayMessage, Reply, TokenRenewed
from services.edge.client.inbox import NOT_LOGGED_IN
from services.edge.dialects.base import ConnectionInfo, DecodeError, Dialect, Disconnect, LocalReply, Request
from services.edge.dialects.registry import DIALECTS
from shared.contract.errors import ErrorCode, Failure
from shared.contract.ids import NO_ACCOUNT
from shared.contract.message import GetChanges
from shared.contract.session import ChatView
from shared.settings.limits import LimitsSettings
from tests.conformance.bell import Bell
from tests.conformance.served_chats import ACCOUNT, OTHER, ServedChat, ServedChats

PATH = "/ws/native"
TOKEN = "a-token-of-the-kit"
_SUBPROTOCOL = Subprotocol("dragoman")
_EXPIRES = 4_000_000_000
_NOT_SERVED = Failure(ErrorCode.FORBIDDEN, "this server serves no such operation")
_WRONG_TOKEN = Failure(ErrorCode.UNAUTHENTICATED, "the token is not valid")

C = TypeVar("C", bound=Command)
Handler = Callable[["Peer", C], Reply | Failure | None]
"""A function that returns the reply to a command of one connection, or None if there is no reply."""


class ConnectionAttempt(NamedTuple):
    """A client's attempt to open a connection. `query` is from its address. `at` is a time of the monotonic clock."""

    query: str
    at: float


class ScriptedServer:
    """The server.

    While `rejects` is true, it rejects every new connection. `faults` are frames that clients must not send.
    """

    def __init__(self, chats: ServedChats, bell: Bell) -> None:
        self.peers: list[Peer] = []
        self.attempts: list[ConnectionAttempt] = []
        self.rejects = False
        self.faults: list[str] = []
        self.alter: Callable[[bytes], bytes] = bytes
        """Changes the bytes of each frame before it is sent."""
        self.url = ""
        self._handlers: dict[type, Handler[Any]] = {}
        self._gates: dict[type[Command], asyncio.Event] = {}
        self._bell = bell
        self.handle(ReadHistory, lambda _, command: chats.history(command))
        self.handle(GetChanges, lambda _, command: chats.changes(command))
        self.handle(PostMessage, lambda _, command: chats.post(command))
        self.handle(MarkChatRead, lambda _, command: chats.read(command))
        self.handle(ResumeChats, lambda _, command: chats.resume(command))
        self.handle(RenewToken, lambda *_: TokenRenewed(ACCOUNT, "sid", _EXPIRES))

    def handle(self, kind: type[C], handler: Handler[C]) -> None:
        self._handlers[kind] = handler

    def hold(self, kind: type[Command]) -> asyncio.Event:
        """Commands of this kind get no reply until the event is set. Commands that arrive after them also wait."""
        return self._gates.setdefault(kind, asyncio.Event())

    async def reply(self, peer: "Peer", command: Command) -> Reply | Failure | None:
        if gate := self._gates.get(type(command)):
            await gate.wait()
        handler = self._handlers.get(type(command))
        return _NOT_SERVED if handler is None else handler(peer, command)

    def fault(self, text: str) -> None:
        self.faults.append(text)
        self._bell.ring()

    def commands_changed(self) -> None:
        self._bell.ring()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        server: Server = await serve(
            self._serve, "127.0.0.1", 0, process_request=self._admit, select_subprotocol=_select, compression=None,
            ping_interval=None, close_timeout=1,
        )  # fmt: skip
        port = server.sockets[0].getsockname()[1]
        self.url = f"ws://127.0.0.1:{port}{PATH}"
        try:
            yield
        finally:
            server.close(close_connections=True)
            await server.wait_closed()

    def _admit(self, connection: ServerConnection, request: HandshakeRequest) -> HandshakeResponse | None:
        path, _, query = request.path.partition("?")
        self.attempts.append(ConnectionAttempt(query, time.monotonic()))
        self._bell.ring()
        if path != PATH:
            self.fault(f"the client has requested the path {request.path}, and {PATH} was expected")
            return connection.respond(HTTPStatus.NOT_FOUND, "not found\n")
        if self.rejects:
            return connection.respond(HTTPStatus.SERVICE_UNAVAILABLE, "not now\n")
        return None

    async def _serve(self, connection: ServerConnection) -> None:
        peer = Peer(self, connection)
        self.peers.append(peer)
        self._bell.ring()
        with suppress(ConnectionClosed):
            async for frame in connection:
                await peer.receive(frame)
                self._bell.ring()
        self._bell.ring()


def _select(_: ServerConnection, offered: Sequence[Subprotocol]) -> Subprotocol | None:
    return _SUBPROTOCOL if _SUBPROTOCOL in offered else None


class Peer:
    """One connection of a client. `commands` are the commands that the client has sent."""

    def __init__(self, server: ScriptedServer, connection: ServerConnection) -> None:
        entry = next(entry for entry in DIALECTS if entry.name == "native")
        self._dialect: Dialect = entry(ConnectionInfo(LimitsSettings(rates=False), "http://127.0.0.1"))
        self._server = server
        self._connection = connection
        self._account = NO_ACCOUNT
        self.commands: list[Command] = []
        self.is_synced = False

    async def receive(self, frame: str | bytes) -> None:
        if isinstance(frame, bytes):
            return self._server.fault("the client has sent a binary frame")
        dialect = self._dialect
        try:
            actions = dialect.decode(frame.encode(), time.monotonic())
        except DecodeError as error:
            self._server.fault(f"the client has sent {frame:.200}, which the server rejects: {error.failure.text}")
            return await self._write(dialect.encode_error(None, error.failure, error.context))
        for action in actions:
            match action:
                case LocalReply(frames):
                    await self._write(frames)
                case Disconnect(code, reason):
                    await self._connection.close(code, reason)
                case Request():
                    await self._process(action)

    async def push(self, *shown: DisplayMessage | DisplayChange) -> None:
        """Pushes messages, and changes of messages."""
        for one in shown:
            if isinstance(one, DisplayMessage):
                await self._write(self._dialect.encode_message(one))
            else:
                for push in self._dialect.encode_event(MessageChanged(one), time.monotonic()):
                    await self._write(push.frames)

    async def push_joined(self, served: ServedChat, first: int) -> None:
        """Pushes the event that the account is now a member of the chat.

        The account may see the messages from the index `first` on.
        """
        joined = ChatJoined(served.id, served.head, first, served.rev)
        for push in self._dialect.encode_event(joined, time.monotonic()):
            for request in push.requests:
                view = ChatView(served.shown, [OTHER, ACCOUNT])
                await self._write(self._dialect.encode_reply(request, view, time.monotonic()))

    async def push_raw(self, frame: bytes) -> None:
        """Pushes an event that this version of native does not define."""
        await self._write((frame,))

    async def close(self, code: int, reason: str = "") -> None:
        """Closes the connection as an edge does. If there is a reason, the event `bye` is sent first."""
        frames, code, reason = self._dialect.encode_close(code, reason)
        await self._write(frames)
        await self._connection.close(code, reason)

    def lose(self) -> None:
        """Ends the connection without a close frame."""
        self._connection.transport.abort()

    async def _process(self, request: Request) -> None:
        command = request.command
        self.commands.append(command)
        self._server.commands_changed()
        if self._account == NO_ACCOUNT and not request.token and not isinstance(command, BEFORE_LOGIN):
            return await self._write(self._dialect.encode_error(request, NOT_LOGGED_IN))
        reply = await self._server.reply(self, command)
        if request.token and request.token != TOKEN:
            reply = _WRONG_TOKEN
        if reply is None:
            return
        if isinstance(reply, Failure):
            return await self._write(self._dialect.encode_error(request, reply))
        if isinstance(reply, TokenRenewed):
            self._account = reply.account
            self._dialect.logged_in(reply.account, time.monotonic())
        await self._write(self._dialect.encode_reply(request, reply, time.monotonic()))
        self.is_synced = self.is_synced or isinstance(command, ResumeChats)

    async def _write(self, frames: Sequence[Outgoing]) -> None:
        with suppress(ConnectionClosed):
            for frame in frames:
                assert isinstance(frame, bytes), "native has no binary frames"
                await self._connection.send(self._server.alter(frame).decode())
