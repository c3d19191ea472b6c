"""The opening handshake (RFC 6455, section 4), pure: an HTTP request's head to a Hello, and the answers to it."""

import base64
import binascii
import hashlib
from collections.abc import Iterable, Sequence
from http import HTTPStatus
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import NamedTuple
from urllib.parse import unquote

from services.edge.canonical.transport import Accept, Handshake, Reject

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_HINTS = {405: b"Allow: GET\r\n", 426: b"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"}
Headers = Sequence[tuple[bytes, bytes]]
"""Names in lower case."""
Networks = tuple[IPv4Network | IPv6Network, ...]


class HandshakeRequest(NamedTuple):
    """The head of a request to upgrade; `peer` is the address that the connection comes from."""

    method: str
    target: bytes
    version: str
    headers: Headers
    peer: str


def parse_networks(names: Iterable[str]) -> Networks:
    """Raises ValueError."""
    return tuple(ip_network(name, strict=False) for name in names)


def check_request(request: HandshakeRequest) -> Reject | None:
    """What is wrong with a request to upgrade to a WebSocket, if anything."""
    if request.method != "GET":
        return Reject(405, "a WebSocket is opened by GET")
    if request.version != "1.1":
        return Reject(505, "a WebSocket needs HTTP/1.1")
    if _values(request.headers, b"sec-websocket-version") != [b"13"]:
        return Reject(426, "only WebSocket version 13 is spoken here")
    keys = _values(request.headers, b"sec-websocket-key")
    if len(keys) != 1 or not _is_key(keys[0]):
        return Reject(400, "one Sec-WebSocket-Key of 16 bytes in base64 is needed")
    return None


def parse_handshake(request: HandshakeRequest, trusted: Networks) -> Handshake:
    headers = request.headers
    path, _, query = _local(request.target).decode("latin-1").partition("?")
    believed = in_networks(request.peer, trusted)
    forwarded = _tokens(headers, b"x-forwarded-for") if believed else []
    protocols = _tokens(headers, b"x-forwarded-proto") if believed else []
    return Handshake(
        path=unquote(path),
        host=_first(headers, b"host"),
        address=client_address(request.peer, forwarded, trusted),
        secure=protocols[-1:] in (["https"], ["wss"]),
        subprotocols=tuple(_tokens(headers, b"sec-websocket-protocol")),
        origin=_first(headers, b"origin"),
        query=query,
    )


def client_address(peer: str, forwarded: Sequence[str], trusted: Networks) -> str:
    """The right-most address that is no trusted proxy's: every proxy appends the one that it was called from. What
    lies left of it, or of something that is no address, was written by who knows whom."""
    address = _normal(peer)
    for entry in reversed(forwarded):
        if not in_networks(address, trusted):
            break
        try:
            address = _normal(_without_port(entry))
        except ValueError:
            break
    return address


def accept_response(request: HandshakeRequest, welcome: Accept) -> bytes:
    key = _values(request.headers, b"sec-websocket-key")[0]
    digest = base64.b64encode(hashlib.sha1(key + _GUID, usedforsecurity=False).digest())
    chosen = b"Sec-WebSocket-Protocol: %b\r\n" % welcome.subprotocol.encode() if welcome.subprotocol else b""
    return (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: %b\r\n%b\r\n" % (digest, chosen)
    )


def reject_response(rejection: Reject) -> bytes:
    text = rejection.text.encode() + b"\n"
    phrase = HTTPStatus(rejection.status).phrase.encode()
    return (
        b"HTTP/1.1 %d %b\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: %d\r\n%b"
        b"Connection: close\r\n\r\n%b" % (rejection.status, phrase, len(text), _HINTS.get(rejection.status, b""), text)
    )


def authority(address: str, port: int) -> str:
    """As in an address of the web."""
    host = _normal(address)
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _local(target: bytes) -> bytes:
    """`http://host/path` to `/path`, as proxies may send it."""
    scheme, separator, rest = target.partition(b"://")
    if not separator or b"/" in scheme:
        return target
    return b"/" + rest.partition(b"/")[2]


def _values(headers: Headers, name: bytes) -> list[bytes]:
    return [value.strip() for other, value in headers if other == name]


def _first(headers: Headers, name: bytes) -> str:
    return next((value.decode("latin-1") for value in _values(headers, name)), "")


def _tokens(headers: Headers, name: bytes) -> list[str]:
    """The members of a comma-separated list that may span several headers."""
    members = b",".join(_values(headers, name)).decode("latin-1").split(",")
    return [member.strip() for member in members if member.strip()]


def _is_key(value: bytes) -> bool:
    try:
        return len(base64.b64decode(value, validate=True)) == 16
    except binascii.Error:
        return False


def _without_port(entry: str) -> str:
    """`1.2.3.4:5`, `[::1]:5` and `[::1]` too."""
    if entry.startswith("["):
        return entry[1:].partition("]")[0]
    return entry.partition(":")[0] if entry.count(":") == 1 else entry


def _normal(address: str) -> str:
    """One spelling for each; an IPv4 address in an IPv6 one stands for itself. Raises ValueError."""
    parsed = ip_address(address)
    mapped = parsed.ipv4_mapped if isinstance(parsed, IPv6Address) else None
    return str(mapped or parsed)


def in_networks(address: str, trusted: Networks) -> bool:
    return bool(trusted) and any(ip_address(_normal(address)) in network for network in trusted)
