"""TLS of the clients' ports. This module has the certificate, which is read again when its files change, and the
transport of one encrypted connection.

The event loop's own TLS hides how many bytes wait in the connection below it. Delivery confirmation needs this
number.
"""

import asyncio
import os
import ssl
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from prometheus_client import Gauge

from shared.errors import StartupError
from shared.settings.edge import EdgeSettings
from shared.telemetry import log
from shared.tls import served_until, server_context

_log = log(__name__)
_WATCH_SECONDS = 5.0
_READ_BYTES = 256 * 1024

Version = tuple[tuple[int, int, int], ...]


class ServerTls:
    """`context` gives new connections the present certificate. Open connections keep the certificate that they began
    with. The constructor raises StartupError for files that cannot be used."""

    def __init__(self, settings: EdgeSettings, left: Gauge) -> None:
        self._settings = settings
        self.context = server_context(settings)
        self._until = served_until(settings)
        self._version = self._read_version()
        left.labels(settings.tls_certificate).set_function(lambda: self._until.timestamp() - time.time())

    def _read_version(self) -> Version:
        files = (self._settings.tls_certificate, self._settings.tls_key)
        stats = [os.stat(path) for path in files if path]
        return tuple((one.st_mtime_ns, one.st_size, one.st_ino) for one in stats)

    async def watch(self, seconds: float = _WATCH_SECONDS) -> None:
        """Read the files again when they have changed, until cancelled. If the files cannot be used, for example
        because only one of them has been replaced yet, the previous certificate is kept."""
        failed = False
        while True:
            await asyncio.sleep(seconds)
            try:
                version = await asyncio.to_thread(self._read_version)
                if version == self._version:
                    continue
                context = await asyncio.to_thread(server_context, self._settings)
                until = await asyncio.to_thread(served_until, self._settings)
            except (OSError, StartupError) as error:
                if not failed:
                    _log.error("the new certificate cannot be used", error=str(error))
                failed = True
                continue
            self.context, self._until, self._version, failed = context, until, version, False
            _log.info("certificate replaced", file=self._settings.tls_certificate)


def server_tls(settings: EdgeSettings, left: Gauge) -> ServerTls | None:
    """TLS of the port, or None without a certificate. `left`: the gauge that shows, for each file, the seconds until
    its certificate expires. Raises StartupError."""
    return ServerTls(settings, left) if settings.tls_certificate else None


class TlsTransport(asyncio.Transport, asyncio.Protocol):
    """A TLS transport on top of another transport, whose protocol it is. The handshake takes at most `seconds`. After
    the handshake, `ready` gets this transport and sets its protocol. `waited` is called when the handshake ends, or
    when the connection ends before."""

    is_flood = False

    def __init__(
        self,
        below: asyncio.Transport,
        context: ssl.SSLContext,
        ready: "Callable[[TlsTransport], None]",
        waited: "Callable[[TlsTransport], None]",
        seconds: float,
    ) -> None:
        super().__init__()
        self._below = below
        self._received, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._received, self._outgoing, server_side=True)
        self._ready = ready
        self._waited = waited
        self._protocol: asyncio.Protocol | None = None
        self._is_paused = False
        """Whether reading is paused. `is_reading` is also False after the end of the stream, with uvloop."""
        self._has_ended = self._end_reported = False
        """Whether the peer has ended its side, and whether this was reported."""
        self._writing_ended = False
        self._deadline = asyncio.get_running_loop().call_later(seconds, self.abort)
        below.set_protocol(self)

    # The following methods implement asyncio.Protocol for the transport underneath.

    def data_received(self, data: bytes) -> None:
        """Pass on all arrived data as one piece, because a protocol that pauses reading gets no second piece. After the
        peer has ended its side, TLS reads nothing more, and what arrives would be kept."""
        if self._has_ended:
            return
        self._received.write(data)
        try:
            if self._protocol is None:
                self._tls.do_handshake()
                self._write_outgoing()
                self._stop_waiting()
                self._ready(self)
                if self.is_closing():
                    return
            received, ended = self._read()
        except ssl.SSLWantReadError:
            self._write_outgoing()
            return
        except ssl.SSLError as error:
            self._write_outgoing()  # sends the TLS alert
            _log.debug("TLS failed", error=str(error))
            self._below.close()
            return
        self._write_outgoing()
        if received:
            self._of_client.data_received(received)
        if ended:  # reported like the end of a plain stream, after the data are handled at the end of this iteration
            self._has_ended = True
            asyncio.get_running_loop().call_soon(self._report_end)

    def _read(self) -> tuple[bytes, bool]:
        """Return the received data, and whether the peer has ended its side. Raises ssl.SSLError."""
        chunks: list[bytes] = []
        try:
            while chunk := self._tls.read(_READ_BYTES):
                chunks.append(chunk)
        except ssl.SSLWantReadError:
            return b"".join(chunks), False
        except ssl.SSLZeroReturnError:
            pass
        except ssl.SSLError:
            if not (self._writing_ended or chunks):
                raise
        return b"".join(chunks), True

    def eof_received(self) -> bool:
        if self._protocol is None:
            return False
        self._has_ended = True
        self._report_end()
        return True

    def connection_lost(self, error: Exception | None) -> None:
        self._stop_waiting()
        if self._protocol is not None:
            self._protocol.connection_lost(error)

    def pause_writing(self) -> None:
        if self._protocol is not None:
            self._protocol.pause_writing()

    def resume_writing(self) -> None:
        if self._protocol is not None:
            self._protocol.resume_writing()

    # asyncio.Transport

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        match name:
            case "sslcontext":
                return self._tls.context
            case "ssl_object":
                return self._tls
        return self._below.get_extra_info(name, default)

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self._of_client

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        assert isinstance(protocol, asyncio.Protocol)
        self._protocol = protocol

    def write(self, data: "bytes | bytearray | memoryview[Any]") -> None:
        if data and not self._writing_ended and not self.is_closing():
            self._tls.write(data)
            self._write_outgoing()

    def get_write_buffer_size(self) -> int:
        return self._below.get_write_buffer_size()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._below.set_write_buffer_limits(high, low)

    def pause_reading(self) -> None:
        self._is_paused = True
        self._below.pause_reading()

    def resume_reading(self) -> None:
        self._is_paused = False
        self._below.resume_reading()
        if self._has_ended:
            asyncio.get_running_loop().call_soon(self._report_end)

    def is_reading(self) -> bool:
        return self._below.is_reading()

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self._end_writing()
        if not self.is_closing():
            self._below.write_eof()

    def close(self) -> None:
        self._end_writing()
        self._below.close()

    def is_closing(self) -> bool:
        return self._below.is_closing()

    def abort(self) -> None:
        self._below.abort()

    # Inside

    @property
    def _of_client(self) -> asyncio.Protocol:
        assert self._protocol is not None
        return self._protocol

    def _write_outgoing(self) -> None:
        if self._outgoing.pending and not self.is_closing():
            self._below.write(self._outgoing.read())

    def _end_writing(self) -> None:
        """Send TLS's closing alert, so that the peer can distinguish an orderly end from a cut connection."""
        if self._writing_ended or self._protocol is None:
            return
        self._writing_ended = True
        with suppress(ssl.SSLError):  # unwrap() raises an error until the peer has announced its own end
            self._tls.unwrap()
        self._write_outgoing()

    def _report_end(self) -> None:
        """Report the end of the peer's side once. A protocol that has paused reading may have data left, and gets the
        report when it reads again."""
        if not (self._is_paused or self._end_reported or self.is_closing()):
            self._end_reported = True
            if not self._of_client.eof_received():
                self.close()

    def _stop_waiting(self) -> None:
        self._waited(self)
        self._deadline.cancel()
