"""The state of a terminal client: its account, its current chat, and the frames that are not replies to requests."""

import asyncio
import queue
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout

import msgspec

from dragoman_client.aio import AsyncConnection, connect
from dragoman_client.codec.base import ClientAccount, ClientRequest, Codec, Destination
from dragoman_client.codec.events import (
    ClientEvent,
    NotificationKind,
    ReceivedMessage,
    ReceivedNotification,
    ReceivedPart,
    ReplyKind,
    ServerReply,
)
from dragoman_client.errors import ClientError, ConnectionEnded, RequestRejected
from dragoman_client.pending import UnansweredRequests, check, no_reply
from services.cli.client import wording
from services.cli.client.terminal import Terminal

SECONDS = 10.0
Process = Callable[[ServerReply], None]
Trace = Callable[[bool, str | bytes], None]
"""A function that gets each frame, and whether the client has sent it."""


def _ignore(_: ServerReply) -> None: ...


def _ignore_frame(_sent: bool, _frame: str | bytes) -> None: ...


class ChatConnection:
    """The first request opens the connection. If the connection has ended before a login, a later request opens it
    again, because servers close silent connections. `receive` is called with every event that answers no request, and
    `ended` when a connection ends that this client has not closed. Both are called on the thread of the connection's
    event loop. Implements dragoman_client.aio.Listener."""

    def __init__(
        self,
        server: str,
        codec: Codec,
        receive: Callable[[ClientEvent], None],
        ended: Callable[[ConnectionEnded], None],
        trace: Trace = _ignore_frame,
    ) -> None:
        self._server = server
        self._codec = codec
        self._receive = receive
        self._ended = ended
        self._trace = trace
        self._connection: AsyncConnection | None = None
        self._waiting = UnansweredRequests[tuple[Future[ServerReply], Process]](codec)
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, name="receive", daemon=True).start()

    def open(self) -> None:
        """Raises Unreachable, InvalidAddress."""
        if self._connection is None:
            asyncio.run_coroutine_threadsafe(self._open(), self._loop).result()

    async def _open(self) -> None:
        self._connection = await connect(self._server, self._codec, self, self._decode)

    def _decode(self, frame: bytes) -> ClientEvent | None:
        self._trace(False, frame.decode())
        try:
            return self._codec.decode(frame)
        except (ValueError, msgspec.MsgspecError):
            return None  # servers send no invalid frames, and `--frames` would show one

    def start(self, request: ClientRequest) -> None:
        """Send without waiting for the reply. Raises ClientError."""
        self._start(request, _ignore)

    def request(self, request: ClientRequest, process: Process = _ignore) -> ServerReply:
        """Sends a request and returns the reply. If it is no error, `process` is called with it on the receiving
        thread, before the next frame. Raises ClientError."""
        try:
            return check(request, self._start(request, process).result(SECONDS))
        except FutureTimeout:
            raise no_reply(request, SECONDS) from None

    def _start(self, request: ClientRequest, process: Process) -> Future[ServerReply]:
        self.open()
        future: Future[ServerReply] = Future()
        self._loop.call_soon_threadsafe(self._send, request, future, process)
        return future

    def _send(self, request: ClientRequest, future: Future[ServerReply], process: Process) -> None:
        if self._connection is None:
            future.set_exception(ConnectionEnded("the connection has ended"))
            return
        if request.reply is None:
            future.set_result(ServerReply(ReplyKind.ANY))
        else:
            self._waiting.add(request, (future, process))
        for frame in (*request.before, request.frame):
            self._trace(True, frame.decode())
            self._connection.send(frame)

    def close(self) -> None:
        """Closes the connection in an orderly way: frames that the server has already sent are still received."""
        if self._connection is not None:
            asyncio.run_coroutine_threadsafe(self._connection.close(), self._loop).result()

    # dragoman_client.aio.Listener

    def received(self, event: ClientEvent | None, _: int) -> None:
        if event is None:
            return
        if isinstance(event, ReceivedPart):
            self._trace(False, event.data)
        if (found := self._waiting.match(event)) is None:
            self._receive(event)
            return
        reply, (future, process) = found
        if not reply.error:
            process(reply)
        future.set_result(reply)

    def replied(self, reply: ServerReply, now: int) -> None:
        self.received(reply, now)

    def ended(self) -> None:
        assert self._connection is not None
        ending, self._connection = self._connection.ending, None
        for future, _ in self._waiting.clear():
            future.set_exception(ending)
        self._ended(ending)


_REJECTION_SECONDS = 0.5
_MOST_LINES = 1000
_NO_CHAT = Destination()
_ENTERED = (ReplyKind.REGISTRATION, ReplyKind.LOGIN)
_JOINED = (NotificationKind.CHAT_ADDED, NotificationKind.MEMBERSHIP_GRANTED)


class Transcript:
    """The latest lines, and every chat that was opened or joined or has had a message. It serves protocols that can
    list neither messages nor chats."""

    def __init__(self) -> None:
        self._lines: deque[tuple[Destination, str]] = deque(maxlen=_MOST_LINES)
        self._chats: dict[Destination, None] = {}

    @property
    def chats(self) -> Sequence[Destination]:
        return [*self._chats]

    def clear(self) -> None:
        """Forget everything, because the client logs in as another account."""
        self._lines.clear()
        self._chats.clear()

    def add_chat(self, chat: Destination) -> None:
        self._chats[chat] = None

    def add(self, chat: Destination, line: str) -> None:
        self.add_chat(chat)
        self._lines.append((chat, line))

    def lines(self, chat: Destination, count: int) -> Sequence[str]:
        """The last lines of a chat, oldest first."""
        return [line for place, line in self._lines if place == chat][-count:] if count else []


class CommandError(ClientError):
    """The line is no command, has wrong arguments, or needs another command first."""


class Conversation:
    """The state of the terminal client. Frames and replies to logins are processed on the receiving thread. Lines are
    processed on another thread."""

    def __init__(self, server: str, codec: Codec, terminal: Terminal, *, frames: bool) -> None:
        self.end: ConnectionEnded | None = None
        self.names: dict[str, str] = {}
        """The names of users as they were typed, by UUID."""
        self.transcript = Transcript()
        self._codec = codec
        self._terminal = terminal
        trace: Trace = self._show_frame if frames else _ignore_frame
        self._connection = ChatConnection(server, codec, self.receive, self._ended, trace)
        self._closed = threading.Event()
        self._account: ClientAccount | None = None
        """The account that is logged in; None before the login."""
        self._entering = ClientAccount()
        self._current = _NO_CHAT
        self.last: dict[Destination, int] = {}
        """For each chat, the position of the last message of another user."""
        self._rejections: queue.Queue[str] | None = None
        """This queue exists while a request is pending to which the server replies only with a rejection."""

    def connect(self) -> None:
        """Raises ClientError."""
        self._connection.open()

    def close(self) -> None:
        self._closed.set()
        self._connection.close()

    @property
    def account(self) -> ClientAccount:
        """Raises CommandError before the login."""
        if self._account is None:
            raise CommandError("log in first: /register NAME, or /login NAME")
        return self._account

    @property
    def current(self) -> Destination:
        """The chat that messages go to. Raises CommandError."""
        if self._current == _NO_CHAT:
            raise CommandError("choose a chat first: /open USER, /group NAME or /chat CHAT")
        return self._current

    def write_to(self, chat: Destination) -> None:
        self._current = chat
        self.transcript.add_chat(chat)
        self._terminal.show(f"messages go to {wording.destination(chat)} now")

    # Requests. All methods may raise ClientError.

    def request(self, request: ClientRequest) -> ServerReply:
        return self._connection.request(request)

    def complete(self, request: ClientRequest) -> None:
        """Sends a request to which the server replies only if it rejects it. An early rejection is raised, and a later
        rejection is shown."""
        if request.reply is not None:
            self.request(request)
            return
        self._rejections = rejections = queue.Queue[str]()
        self._connection.start(request)
        try:
            raise CommandError(f"rejected: {rejections.get(timeout=_REJECTION_SECONDS)}")
        except queue.Empty:
            return
        finally:
            self._rejections = None

    def enter(self, request: ClientRequest, account: ClientAccount, *, logs_in: bool = True) -> None:
        """Register or log in."""
        self._entering = account
        try:
            if logs_in:
                self._connection.request(request, self._logged_in)
            else:
                self.request(request)
        except RequestRejected as rejected:
            mail = self._codec.request_verification() if rejected.needs_verification else None
            if mail is None:
                raise
            self._connection.start(mail)
            self._terminal.show("open the link in the mail to your address; then you are logged in")

    def _logged_in(self, reply: ServerReply) -> None:
        account = self._entering
        account.number = reply.number or account.number
        account.token = reply.token or account.token
        self._account, self._current = account, _NO_CHAT
        self.names[account.uuid] = account.name
        self.transcript.clear()
        self._terminal.show(f"you are user {self._codec.user_id(account)}")
        for request in self._codec.after_login(account):
            self._connection.start(request)
        if self._codec.lobby:
            self.write_to(Destination(self._codec.lobby))

    # Events

    def receive(self, event: ClientEvent) -> None:
        """Shows an event that answers no pending request."""
        if isinstance(event, ServerReply):
            self._late_reply(event)
        elif isinstance(event, ReceivedMessage):
            self._show_message(event)
        else:
            self._show_news(event)

    def _show_message(self, message: ReceivedMessage) -> None:
        account = self._account or ClientAccount()
        line, place = wording.message(message, account, self.names), wording.place(message, account)
        self.transcript.add(place, line)
        self.last[place] = message.position
        self._terminal.show(line)

    def _show_news(self, event: wording.News) -> None:
        if isinstance(event, ReceivedNotification) and event.kind in _JOINED and event.chat:
            self.transcript.add_chat(Destination(event.chat))
        if text := wording.news(event):
            self._terminal.show(text)

    def _late_reply(self, reply: ServerReply) -> None:
        """Handles a late reply. It belongs to a login whose e-mail address had to be verified, or it is the rejection
        of a request that has no other reply."""
        rejections = self._rejections
        if reply.error and rejections is not None:
            rejections.put(reply.error)
        elif reply.error:
            self._terminal.show(f"rejected: {reply.error}")
        elif reply.to in _ENTERED and self._account is None:
            self._logged_in(reply)

    def _ended(self, end: ConnectionEnded) -> None:
        if self._account is not None:
            self.end = end
            self._terminal.interrupt(self._closed.wait)

    def _show_frame(self, sent: bool, frame: str | bytes) -> None:
        text = frame if isinstance(frame, str) else f"({len(frame)} binary bytes)"
        self._terminal.show(f"{'→' if sent else '←'} {text}")
