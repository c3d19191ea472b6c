"""nats-py's client with three changes. If the settings demand TLS, the client does not log in without it. The client
handles messages while it reads, and writes, without a task."""

import asyncio
from collections.abc import Callable, Mapping
from functools import partial
from itertools import count
from typing import Any
from urllib.parse import unquote, urlsplit

import nats.errors
from nats.aio.client import NO_RESPONDERS_STATUS, Client, Srv
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.aio.transport import TcpTransport, Transport
from nats.js.api import Header

from shared.bus.node_identity import NodeIdentity
from shared.clock import until_next
from shared.errors import StartupError
from shared.settings.servers import NatsSettings
from shared.tls import nats_context

_FIRST_LINE_SECONDS = 2.0
_HEADERS_BYTES = 4096
"""The number of bytes that are reserved for the headers of a message."""
_TOO_LARGE = "maximum payload violation"


class NoTlsOffered(nats.errors.Error):
    """The settings demand TLS, but the program at the server's address offers none."""

    def __str__(self) -> str:
        return "the server offers no TLS, which nats.tls_ca demands"


Receive = Callable[[Msg], None]
"""Called with each message, in order. The function must be quick."""


class _WhileReading(partial[Any]):
    """Marks a callback of a subscription. The client calls the wrapped function directly while it reads."""


class NatsClient(Client):
    """Without this class, nats-py would use TLS only if the server's first message demands it, and that message is not
    encrypted. nats-py would also give each message to a task of the subscription, which costs more than many
    handlers."""

    def __init__(self) -> None:
        super().__init__()
        self._request_sub_callback = _WhileReading(_never, self._answer)  # type: ignore[method-assign]
        self._requests = count()
        self._ending_with_connection: set[asyncio.Future[Msg]] = set()
        self._is_write_due = False

    async def receive(self, subject: str, queue: str, receive: Receive) -> Subscription:
        """Subscribes. An exception of `receive` is reported as an error of the connection. Raises nats.errors.Error."""
        return await self.subscribe(subject, queue, _WhileReading(_never, receive))

    async def send_request(
        self, subject: str, payload: bytes, seconds: float, headers: dict[str, str], *, ends_with_connection: bool
    ) -> bytes:
        """Send a request and return the reply. nats-py's `request` takes more time. Before Python 3.12, it also loses a
        cancellation that occurs together with the reply. `ends_with_connection`: whether to raise TimeoutError at once
        if the connection ends, because the reply can be lost with it. Raises nats.errors.Error."""
        if (prefix := self._resp_sub_prefix) is None:
            await self._init_request_sub()
            prefix = self._resp_sub_prefix
            assert prefix is not None
        loop, name = asyncio.get_running_loop(), str(next(self._requests))
        reply = self._resp_map[name] = loop.create_future()
        timer = loop.call_later(seconds, _give_up, reply)
        if ends_with_connection:
            self._ending_with_connection.add(reply)
        try:
            await self.publish(subject, payload, f"{prefix.decode()}{name}", headers)
            message: Msg = await reply
        finally:
            timer.cancel()
            self._ending_with_connection.discard(reply)
            del self._resp_map[name]
        if message.headers and message.headers.get(Header.STATUS) == NO_RESPONDERS_STATUS:
            raise nats.errors.NoRespondersError
        return message.data

    def end_requests(self) -> None:
        """End the requests that end with the connection."""
        for reply in self._ending_with_connection:
            _give_up(reply)

    def write_pending(self) -> None:
        """Write published messages to the socket now. While the server does not read, the client keeps the messages and
        delays publishers (backpressure)."""
        writer: asyncio.StreamWriter | None = getattr(self._transport, "_io_writer", None)
        if writer is None:  # only nats-py's task writes to a WebSocket
            return
        if not self._pending:
            self._pending_data_size = 0  # nats-py writes a ping at once, but counts its bytes as pending
            return
        if writer.is_closing() or not self.is_connected:
            return
        if not writer.transport.get_write_buffer_size():
            writer.writelines(self._pending)
            self._pending, self._pending_data_size = [], 0

    async def _flush_pending(self, force_flush: bool = False) -> Any:
        """Write published messages at the end of this event-loop iteration. nats-py would wake a task each time, even
        if the messages were written meanwhile."""
        if force_flush or not self.is_connected:
            return await super()._flush_pending(force_flush)
        if not self._is_write_due:
            self._is_write_due = True
            asyncio.get_running_loop().call_soon(self._write_due)

    def _write_due(self) -> None:
        self._is_write_due = False
        self.write_pending()
        if (
            self._pending_data_size
            and self.is_connected
            and self._flush_queue is not None
            and self._flush_queue.empty()
        ):
            # nats-py's task waits until the server reads
            self._flush_queue.put_nowait(asyncio.get_running_loop().create_future())

    async def _ping_interval(self) -> None:
        """Ping the server as nats-py does, but at the moments at which the other loops of this process wake."""
        while True:
            await asyncio.sleep(until_next(self.options["ping_interval"]))
            if not self.is_connected:
                continue
            self._pings_outstanding += 1
            if self._pings_outstanding > self.options["max_outstanding_pings"]:
                await self._process_op_err(nats.errors.StaleConnectionError())
                return
            try:
                await self._send_ping()
            except (RuntimeError, AttributeError):  # the connection is being closed
                return

    async def _process_msg(self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes) -> None:
        """Handle a message. All exceptions are caught, because an exception would stop the client from reading."""
        subscription = self._subs.get(sid)
        try:
            if subscription is None or type(callback := subscription._cb) is not _WhileReading:
                await super()._process_msg(sid, subject, reply, data, headers)
                return
            callback.args[0](self._build_message(sid, subject, reply, data, await self._process_headers(headers)))
        except Exception as error:
            await self._error_cb(error)

    def _answer(self, message: Msg) -> None:
        """Handle a message that is the reply to a request."""
        future = self._resp_map.get(message.subject.rpartition(".")[2])
        if future is not None and not future.done():
            future.set_result(message)

    def _connect_command(self) -> bytes:
        """Make the command that logs in. nats-py calls this just before it sends the password. Raises NoTlsOffered."""
        if self.options.get("tls") and not self._is_encrypted():
            raise NoTlsOffered
        self._accept_end_of_tls()
        self._max_payload -= _HEADERS_BYTES  # the server counts headers as payload, but nats-py does not
        if (transport := self._transport) is not None:
            transport.readline = partial(_line_after_pings, transport)  # type: ignore[method-assign]
        return super()._connect_command()

    async def connect(self, *servers: Any, **options: Any) -> None:
        """Raises OSError, nats.errors.Error, StartupError."""
        (first, *_) = servers[0] if servers else options["servers"]
        try:
            await super().connect(*servers, **options | _credentials(first, options))
        except BaseException:
            self._close_socket()
            raise

    async def _connect_to_server(self, s: Srv) -> None:
        """Open a connection to a server. nats-py calls this for each attempt, at the first connection and at
        reconnections."""
        self._close_socket()
        await super()._connect_to_server(s)
        if (transport := self._transport) is not None:
            transport.readline = partial(_first_line, transport)  # type: ignore[method-assign]

    async def _attempt_reconnect(self) -> None:
        """Reconnect at once. nats-py would wait until the server has ended TLS, which takes 30 seconds if the server is
        frozen."""
        self._close_socket()
        await super()._attempt_reconnect()

    async def _process_err(self, err_msg: str) -> None:
        """Handle an error that the server reports. If a message was too large, the server's limit has become lower
        since it accepted this connection. nats-py would then close for ever. This client reconnects instead, and then
        has the new limit."""
        if _TOO_LARGE in err_msg.lower():
            await self._process_op_err(nats.errors.MaxPayloadError())
        else:
            await super()._process_err(err_msg)

    def _close_socket(self) -> None:
        """Closes the socket of a failed, cancelled or ended connection, which nats-py leaves open. Does not wait,
        because nats-py's close() waits for ever if TLS has failed."""
        if isinstance(self._transport, TcpTransport) and (writer := self._transport._io_writer) is not None:
            writer.transport.abort()

    def _accept_end_of_tls(self) -> None:
        """Prevent a warning of asyncio when the server ends the connection. nats-py adds TLS to an open connection, so
        asyncio's protocol object does not know that TLS is in use."""
        if isinstance(self._transport, TcpTransport) and (writer := self._transport._io_writer) is not None:
            protocol = writer.transport.get_protocol()
            # the protocol has no reader if the connection has already ended
            if isinstance(protocol, asyncio.StreamReaderProtocol):
                protocol._over_ssl = self._is_encrypted()  # type: ignore[attr-defined]

    def _is_encrypted(self) -> bool:
        """Whether the connection is encrypted. A WebSocket counts as encrypted here, because its URL decides about
        encryption."""
        if not isinstance(self._transport, TcpTransport):
            return True
        writer = self._transport._io_writer
        return writer is not None and writer.get_extra_info("ssl_object") is not None


def _credentials(url: str, options: Mapping[str, Any]) -> dict[str, str]:
    """The decoded credentials in the URL, unless the options have credentials. nats-py itself would not decode them,
    and would send %40 for an @."""
    parts = urlsplit(url)
    if parts.username is None or options.get("user") or options.get("token"):
        return {}
    if parts.password is None:
        return {"token": unquote(parts.username)}
    return {"user": unquote(parts.username), "password": unquote(parts.password)}


def _give_up(reply: asyncio.Future[Msg]) -> None:
    if not reply.done():
        reply.set_exception(nats.errors.TimeoutError())


async def _never(receive: Receive, message: Msg) -> None:
    """Serves only as the coroutine that nats-py demands as a callback. It is never called."""
    raise AssertionError


async def _first_line(transport: Transport) -> bytes:
    """The first line, which a server sends at once. A frozen server accepts connections but sends nothing. The time
    limit matters because the next attempt may reach another server at the same address. Raises TimeoutError."""
    async with asyncio.timeout(_FIRST_LINE_SECONDS):
        return await type(transport).readline(transport)


async def _line_after_pings(transport: Transport) -> bytes:
    """The line in which the server accepts or rejects a connection. While auth decides, the server sends pings. They
    are answered here, because nats-py would take a ping for an acceptance."""
    while (line := await type(transport).readline(transport)).strip() == b"PING":
        transport.write(b"PONG\r\n")
    return line


async def connect(settings: NatsSettings, node: NodeIdentity | None = None, **options: Any) -> Client:
    """Open a connection as the user in the settings, or as the node `node`. Raises OSError, nats.errors.Error,
    StartupError."""
    client, password = NatsClient(), settings.password.get_secret_value()
    if node is not None:
        password, options = node.password(password), options | {"name": node.id}
    await client.connect(
        settings.url.split(","),
        user=settings.user or None,
        password=password or None,
        tls=nats_context(settings),
        tls_hostname=settings.tls_name or None,
        **options,
    )
    return client


PAYLOAD_BYTES = 1_000_000
"""The least limit that NATS must have for a message. It is close to nats-server's default of 1 MB. Requests and replies
of half this size are usual."""

NO_JETSTREAM = (
    "NATS runs without JetStream",
    "Start nats-server with -js, or with `jetstream {}` in its configuration",
)


class UnfitServer(StartupError):
    """The NATS server cannot be used with its configuration. The message says what to change."""


def require_payload(client: Client) -> None:
    """Raises UnfitServer if the server's limit for a message is too low."""
    # `client.max_payload` is lower, because it leaves room for headers
    offered: int = client._server_info["max_payload"]
    if offered < PAYLOAD_BYTES:
        raise UnfitServer(
            f"max_payload of NATS is {offered} bytes, and messages need {PAYLOAD_BYTES}",
            "Set max_payload to 1MB in the configuration of nats-server (nats.url)",
        )


def lacks_jetstream(client: Client) -> bool:
    """Whether this server has no JetStream, which explains a failure. In a cluster, another server may have it."""
    return not client._server_info.get("jetstream", False)
