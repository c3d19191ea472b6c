"""The PROXY protocol's header, pure: for whom a proxy opened a TCP connection. Versions 1 (text) and 2 (binary) of
https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt, sections 2.1 and 2.2."""

import struct
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import NamedTuple

_TEXT = b"PROXY "
_TEXT_BYTES = 107
_SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
_FIXED_BYTES = 16
_LOCAL, _PROXY = 0x20, 0x21
_UNSPECIFIED, _TCP4, _TCP6, _UNIX = 0x00, 0x11, 0x21, 0x31
_ADDRESSES = {_TCP4: (4, 12), _TCP6: (16, 36)}
"""Bytes of the source's address, and of both addresses with their ports."""


class MalformedProxyHeader(Exception):
    """No such header."""


class ProxyHeader(NamedTuple):
    """`source` is the client's address, empty where the proxy names none (its own checks, say); after so many `bytes`
    the client's own begin."""

    source: str
    bytes: int


NONE = ProxyHeader("", 0)


def parse_proxy_header(data: bytes) -> ProxyHeader | None:
    """The header that the data begin with; None: more of it must come. Raises Malformed."""
    if _SIGNATURE.startswith(data[: len(_SIGNATURE)]):
        return _read_binary(data) if len(data) >= _FIXED_BYTES else None
    if _TEXT.startswith(data[: len(_TEXT)]):
        return _read_text(data)
    raise MalformedProxyHeader


def _read_text(data: bytes) -> ProxyHeader | None:
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


def _read_binary(data: bytes) -> ProxyHeader | None:
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
