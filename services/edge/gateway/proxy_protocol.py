"""Reads the PROXY protocol, by which a trusted proxy names the client for which it has opened a TCP connection.

The specification of versions 1 (text) and 2 (binary) is https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt,
sections 2.1 and 2.2.
"""

import asyncio
import struct
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import NamedTuple

from services.edge.gateway.handshake import Networks, in_networks
from shared.telemetry import log

_log = log(__name__)

_TEXT = b"PROXY "
_TEXT_BYTES = 107
_SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
_FIXED_BYTES = 16
_LOCAL, _PROXY = 0x20, 0x21
_UNSPECIFIED, _TCP4, _TCP6, _UNIX = 0x00, 0x11, 0x21, 0x31
_ADDRESSES = {_TCP4: (4, 12), _TCP6: (16, 36)}
"""For each family of addresses, the bytes of the source's address, and the bytes of both addresses with their ports."""

ClientReady = Callable[[asyncio.Transport, str, bytes], None]
"""A function that gets the connection, the client's address, and the bytes that the client has already sent."""


class MalformedProxyHeader(Exception):
    """The connection does not begin with a valid header of the PROXY protocol."""


class ProxyHeader(NamedTuple):
    """`source` is the client's address. It is empty if the proxy names no address, as in its own health checks. The
    client's data begins after `bytes` bytes."""

    source: str
    bytes: int


_NO_HEADER = ProxyHeader("", 0)


class ProxyProtocolReader(asyncio.Protocol):
    """The protocol of a connection until the address of its client is known, for at most `seconds`. Untrusted peers are
    clients themselves. With `required`, a trusted proxy must send a header. Otherwise a client of a proxy that sends no
    header could forge one. `pending` holds the reader while it waits."""

    def __init__(
        self,
        trusted: Networks,
        required: bool,
        client_ready: ClientReady,
        pending: "set[ProxyProtocolReader]",
        seconds: float,
    ) -> None:
        self._trusted = trusted
        self._required = required
        self._client_ready = client_ready
        self._pending = pending
        self._seconds = seconds
        self._received = b""
        self._peer = ""
        self._deadline: asyncio.TimerHandle | None = None

    def abort(self) -> None:
        self._transport.abort()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._transport = transport
        peer = transport.get_extra_info("peername")
        if peer is None:  # the peer has already disconnected
            transport.abort()
            return
        self._peer = peer[0]
        if not in_networks(self._peer, self._trusted):
            self._client_ready(transport, self._peer, b"")
            return
        self._pending.add(self)
        self._deadline = asyncio.get_running_loop().call_later(self._seconds, self.abort)

    def data_received(self, data: bytes) -> None:
        self._received += data
        try:
            header = parse_proxy_header(self._received)
        except MalformedProxyHeader:
            if self._required:
                _log.warning("a trusted proxy sent no valid PROXY header", proxy=self._peer)
                self.abort()
                return
            header = _NO_HEADER
        if header is not None:
            self._stop_waiting()
            self._client_ready(self._transport, header.source or self._peer, self._received[header.bytes :])

    def connection_lost(self, _error: Exception | None) -> None:
        self._stop_waiting()

    def _stop_waiting(self) -> None:
        self._pending.discard(self)
        if self._deadline is not None:
            self._deadline.cancel()


def parse_proxy_header(data: bytes) -> ProxyHeader | None:
    """The header at the start of the data. None if it is incomplete. Raises MalformedProxyHeader."""
    if _SIGNATURE.startswith(data[: len(_SIGNATURE)]):
        return _parse_binary(data) if len(data) >= _FIXED_BYTES else None
    if _TEXT.startswith(data[: len(_TEXT)]):
        return _parse_text(data)
    raise MalformedProxyHeader


def _parse_text(data: bytes) -> ProxyHeader | None:
    line, end, _ = data[:_TEXT_BYTES].partition(b"\r\n")
    if not end:
        if len(data) >= _TEXT_BYTES:
            raise MalformedProxyHeader
        return None
    try:
        return ProxyHeader(_source(line.decode("ascii")), len(line + end))
    except ValueError as error:
        raise MalformedProxyHeader from error


def _source(line: str) -> str:
    """Raises ValueError."""
    _, kind, *rest = line.split(" ")
    if kind == "UNKNOWN":
        return ""
    source, destination, *ports = rest
    addresses = ip_address(source), ip_address(destination)
    expected = {"TCP4": IPv4Address, "TCP6": IPv6Address}.get(kind)
    if expected is None or not all(isinstance(address, expected) for address in addresses):
        raise ValueError(kind)
    if len(ports) != 2 or not all(port.isdecimal() and int(port) < 65_536 for port in ports):
        raise ValueError(ports)
    return str(addresses[0])


def _parse_binary(data: bytes) -> ProxyHeader | None:
    command, family, size = struct.unpack_from("!BBH", data, len(_SIGNATURE))
    address_bytes, least_bytes = _ADDRESSES.get(family, (0, 0))
    known = family in _ADDRESSES or family in (_UNSPECIFIED, _UNIX)
    if command not in (_LOCAL, _PROXY) or (command == _PROXY and (not known or size < least_bytes)):
        raise MalformedProxyHeader
    if len(data) < _FIXED_BYTES + size:
        return None
    packed = data[_FIXED_BYTES : _FIXED_BYTES + address_bytes]
    source = str(ip_address(packed)) if command == _PROXY and packed else ""
    return ProxyHeader(source, _FIXED_BYTES + size)
