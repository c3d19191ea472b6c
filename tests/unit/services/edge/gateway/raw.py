"""A client on a plain TCP socket that can send any bytes."""

import asyncio
import socket
import ssl
import struct
from types import TracebackType
from typing import Any, Self

from tests.support.sockets import reset_on_close
from tests.support.waiting import WAIT_SECONDS

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10


def masked(opcode: int, payload: bytes = b"", *, final: bool = True, reserved: int = 0) -> bytes:
    size = len(payload)
    first = (0x80 if final else 0) | reserved | opcode
    if size < 126:
        head = bytes((first, 0x80 | size))
    elif size < 65_536:
        head = struct.pack("!BBH", first, 0xFE, size)
    else:
        head = struct.pack("!BBQ", first, 0xFF, size)
    mask = b"\x11\x22\x33\x44"
    stream = (mask * (size // 4 + 1))[:size]
    return head + mask + (int.from_bytes(payload, "big") ^ int.from_bytes(stream, "big")).to_bytes(size, "big")


def closing(code: int, reason: str = "") -> bytes:
    return masked(CLOSE, code.to_bytes(2, "big") + reason.encode())


def request(path: str = "/", *headers: str, key: str = KEY) -> bytes:
    lines = [
        f"GET {path} HTTP/1.1", "Host: chat.test:8080", "Upgrade: websocket", "Connection: keep-alive, Upgrade",
        "Sec-WebSocket-Version: 13", f"Sec-WebSocket-Key: {key}", *headers, "", "",
    ]  # fmt: skip
    return "\r\n".join(lines).encode()


class RawPeer:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def dial(cls, port: int, receive_buffer: int | None = None, tls: ssl.SSLContext | None = None) -> Self:
        sock = socket.socket()
        if receive_buffer is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        sock.setblocking(False)
        try:
            await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
        except OSError:
            sock.close()
            raise
        name = None if tls is None else "localhost"
        return cls(*await asyncio.open_connection(sock=sock, limit=16 * 1024, ssl=tls, server_hostname=name))

    @classmethod
    async def open(cls, port: int, path: str = "/", *headers: str, **options: Any) -> Self:
        """Returns a client after a valid handshake."""
        peer = await cls.dial(port, **options)
        await peer.upgrade(path, *headers)
        return peer

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.transport.abort()
        await asyncio.sleep(0)

    def send(self, *data: bytes) -> None:
        self._writer.write(b"".join(data))

    async def head(self) -> str:
        """Returns the head of an HTTP response."""
        async with asyncio.timeout(WAIT_SECONDS):
            return (await self._reader.readuntil(b"\r\n\r\n")).decode()

    async def upgrade(self, path: str = "/", *headers: str) -> str:
        self.send(request(path, *headers))
        head = await self.head()
        assert head.startswith("HTTP/1.1 101 "), head
        return head

    async def frame(self) -> tuple[int, bytes]:
        """Returns the opcode and the payload of the server's next frame, which must be unmasked and final."""
        async with asyncio.timeout(WAIT_SECONDS):
            first, size = await self._reader.readexactly(2)
            assert first & 0xF0 == 0x80
            if size == 126:
                size = int.from_bytes(await self._reader.readexactly(2), "big")
            elif size == 127:
                size = int.from_bytes(await self._reader.readexactly(8), "big")
            return first & 0x0F, await self._reader.readexactly(size)

    async def closed_with(self) -> tuple[int, str]:
        """Returns the code and the reason of the next frame, which must be a close frame."""
        opcode, payload = await self.frame()
        assert opcode == CLOSE, (opcode, payload)
        return int.from_bytes(payload[:2], "big"), payload[2:].decode()

    async def some(self) -> bytes:
        """Returns the bytes of one read."""
        async with asyncio.timeout(WAIT_SECONDS):
            return await self._reader.read(65_536)

    async def until(self, end: bytes) -> bytes:
        async with asyncio.timeout(WAIT_SECONDS):
            return await self._reader.readuntil(end)

    async def exactly(self, size: int) -> bytes:
        async with asyncio.timeout(WAIT_SECONDS):
            return await self._reader.readexactly(size)

    async def rest(self) -> bytes:
        """Returns all bytes up to the end of the stream."""
        async with asyncio.timeout(WAIT_SECONDS):
            return await self._reader.read(-1)

    @property
    def certificate(self) -> bytes | None:
        """Returns the server's certificate if the connection is encrypted."""
        encryption: ssl.SSLObject | None = self._writer.get_extra_info("ssl_object")
        return None if encryption is None else encryption.getpeercert(binary_form=True)

    def stop_reading(self) -> None:
        self._writer.transport.pause_reading()  # type: ignore[attr-defined]

    def start_reading(self) -> None:
        self._writer.transport.resume_reading()  # type: ignore[attr-defined]

    def end_writing(self) -> None:
        """Closes the sending direction, so that the server sees the end of the stream."""
        self._writer.write_eof()

    def close(self) -> None:
        """Closes the connection after everything that was sent. With TLS, the closing alert is sent at once."""
        self._writer.close()

    def reset(self) -> None:
        """Closes the connection at once with RST."""
        reset_on_close(self._writer.get_extra_info("socket"))
        self._writer.transport.abort()
