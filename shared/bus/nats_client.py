"""nats-py's client, which does not log in without TLS where TLS is set."""

import asyncio
from functools import partial
from typing import Any

import nats.errors
from nats.aio.client import Client, Srv
from nats.aio.transport import TcpTransport, Transport

from shared.bus.node_identity import NodeIdentity
from shared.settings import NatsSettings
from shared.tls import nats_context


class NoTlsOffered(nats.errors.Error):
    """The server, or whatever is in its place, offers no TLS, and settings demand it."""

    def __str__(self) -> str:
        return "the server offers no TLS, which nats.tls_ca demands"


class NatsClient(Client):
    """nats-py encrypts only if the server's first message, which is not encrypted, demands it."""

    def _connect_command(self) -> bytes:
        """Called just before the password is sent. Raises NoTlsOffered."""
        if self.options.get("tls") and not self._is_encrypted():
            raise NoTlsOffered
        self._accept_end_of_tls()
        if (transport := self._transport) is not None:
            transport.readline = partial(_line_after_pings, transport)  # type: ignore[method-assign]
        return super()._connect_command()

    async def connect(self, *servers: Any, **options: Any) -> None:
        """Raises OSError, nats.errors.Error, StartupError."""
        try:
            await super().connect(*servers, **options)
        except BaseException:
            self._close_socket()
            raise

    async def _connect_to_server(self, s: Srv) -> None:
        """Called for each attempt, the first and those of a reconnect."""
        self._close_socket()
        await super()._connect_to_server(s)

    def _close_socket(self) -> None:
        """Of the attempt before, failed or cancelled: nats-py leaves it open. At once, because nats-py's close() waits
        for ever if TLS has failed."""
        if isinstance(self._transport, TcpTransport) and (writer := self._transport._io_writer) is not None:
            writer.transport.abort()

    def _accept_end_of_tls(self) -> None:
        """nats-py adds TLS to an open connection. Its protocol does not know that, and asyncio would log a warning when
        the server ends the connection."""
        if isinstance(self._transport, TcpTransport) and (writer := self._transport._io_writer) is not None:
            protocol = writer.transport.get_protocol()
            if isinstance(protocol, asyncio.StreamReaderProtocol):  # None: the connection has ended already
                protocol._over_ssl = self._is_encrypted()  # type: ignore[attr-defined]

    def _is_encrypted(self) -> bool:
        """A WebSocket's own URL says whether it is."""
        if not isinstance(self._transport, TcpTransport):
            return True
        writer = self._transport._io_writer
        return writer is not None and writer.get_extra_info("ssl_object") is not None


async def _line_after_pings(transport: Transport) -> bytes:
    """The server's decision on a connection. While auth decides, the server sends pings, and nats-py takes a ping for
    an acceptance."""
    while (line := await type(transport).readline(transport)).strip() == b"PING":
        transport.write(b"PONG\r\n")
    return line


async def connect(settings: NatsSettings, node: NodeIdentity | None = None, **options: Any) -> Client:
    """A connection as the user of the settings, or as that node. Raises OSError, nats.errors.Error, StartupError."""
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
