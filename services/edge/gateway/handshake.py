"""The WebSocket opening handshake (RFC 6455, section 4), pure (no I/O). Parses the head of a request, and builds the
response."""

import base64
import binascii
import hashlib
import time
from collections.abc import Collection, Iterable, Sequence
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from services.edge.canonical.transport import Accept, Handshake, Reject
from shared.addresses import canonical, host_name, is_address

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_HINTS = {405: b"Allow: GET\r\n", 426: b"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"}
Headers = Sequence[tuple[bytes, bytes]]
"""The names of headers in lower case, with their values."""
Networks = tuple[IPv4Network | IPv6Network, ...]
ANY = "*"


def http_date() -> str:
    return _date_of(int(time.time()))


@lru_cache(maxsize=1)
def _date_of(second: int) -> str:
    return formatdate(second, usegmt=True)


class HandshakeRequest(NamedTuple):
    """The head of an upgrade request. `peer` is the address that opened the connection."""

    method: str
    target: bytes
    version: str
    headers: Headers
    peer: str


def parse_networks(names: Iterable[str]) -> Networks:
    """Raises ValueError."""
    return tuple(ip_network(name, strict=False) for name in names)


def check_request(request: HandshakeRequest) -> Reject | None:
    """The HTTP status with which to reject an invalid upgrade request. None if the request is valid."""
    if request.method != "GET":
        return Reject(405, "a WebSocket must be opened by GET")
    if request.version != "1.1":
        return Reject(505, "a WebSocket needs HTTP/1.1")
    if _values(request.headers, b"sec-websocket-version") != [b"13"]:
        return Reject(426, "only WebSocket version 13 is spoken here")
    keys = _values(request.headers, b"sec-websocket-key")
    if len(keys) != 1 or not _is_key(keys[0]):
        return Reject(400, "one Sec-WebSocket-Key of 16 bytes in base64 is needed")
    return None


def parse_handshake(request: HandshakeRequest, trusted: Networks, *, encrypted: bool = False) -> Handshake:
    """`encrypted`: whether the edge's own port uses TLS."""
    headers = request.headers
    path, _, query = _origin_form(request.target).decode("latin-1").partition("?")
    is_trusted = in_networks(request.peer, trusted)
    forwarded = _tokens(headers, b"x-forwarded-for")
    protocols = _tokens(headers, b"x-forwarded-proto") if is_trusted else []
    return Handshake(
        path=unquote(path),
        host=_first(headers, b"host"),
        address=client_address(request.peer, forwarded if is_trusted else (), trusted),
        secure=encrypted or protocols[-1:] in (["https"], ["wss"]),
        subprotocols=tuple(_tokens(headers, b"sec-websocket-protocol")),
        origin=_first(headers, b"origin"),
        query=query,
        untrusted_proxy=bool(forwarded) and not is_trusted,
    )


def client_address(peer: str, forwarded: Sequence[str], trusted: Networks) -> str:
    """The right-most address that is not the address of a trusted proxy. Every proxy appends the address of its own
    peer. So entries to the left of an untrusted or invalid entry cannot be trusted."""
    address = canonical(peer)
    for entry in reversed(forwarded):
        if not in_networks(address, trusted):
            break
        try:
            address = canonical(_without_port(entry))
        except ValueError:
            break
    return address


def accept_response(request: HandshakeRequest, accept: Accept) -> bytes:
    key = _values(request.headers, b"sec-websocket-key")[0]
    digest = base64.b64encode(hashlib.sha1(key + _GUID, usedforsecurity=False).digest())
    chosen = b"Sec-WebSocket-Protocol: %b\r\n" % accept.subprotocol.encode() if accept.subprotocol else b""
    return (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: %b\r\n%b\r\n" % (digest, chosen)
    )


def reject_response(reject: Reject) -> bytes:
    text = reject.text.encode() + b"\n"
    phrase = HTTPStatus(reject.status).phrase.encode()
    return (
        b"HTTP/1.1 %d %b\r\nDate: %b\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: %d\r\n%b"
        b"Connection: close\r\n\r\n%b"
        % (reject.status, phrase, http_date().encode(), len(text), _HINTS.get(reject.status, b""), text)
    )


def authority(address: str, port: int) -> str:
    """The host and port in the form that they have in a URL."""
    host = canonical(address)
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _origin_form(target: bytes) -> bytes:
    """The path and query of a request target. A proxy may send `http://host/path` instead of `/path`."""
    scheme, separator, rest = target.partition(b"://")
    if not separator or b"/" in scheme:
        return target
    path = rest[len(rest.partition(b"?")[0].partition(b"/")[0]) :]
    return path if path.startswith(b"/") else b"/" + path


def _values(headers: Headers, name: bytes) -> list[bytes]:
    return [value.strip() for other, value in headers if other == name]


def _first(headers: Headers, name: bytes) -> str:
    return next((value.decode("latin-1") for value in _values(headers, name)), "")


def _tokens(headers: Headers, name: bytes) -> list[str]:
    """The items of a comma-separated list, which may be spread over several headers."""
    members = b",".join(_values(headers, name)).decode("latin-1").split(",")
    return [member.strip() for member in members if member.strip()]


def _is_key(value: bytes) -> bool:
    try:
        return len(base64.b64decode(value, validate=True)) == 16
    except binascii.Error:
        return False


def _without_port(entry: str) -> str:
    """The entry without its port and brackets. Examples of entries are `1.2.3.4:5`, `[::1]:5` and `[::1]`."""
    if entry.startswith("["):
        return entry[1:].partition("]")[0]
    return entry.partition(":")[0] if entry.count(":") == 1 else entry


def in_networks(address: str, trusted: Networks) -> bool:
    return bool(trusted) and any(ip_address(canonical(address)) in network for network in trusted)


class WebOrigins:
    """Decides which web pages may connect. `allowed`: origins as browsers write them (`https://chat.example`), or ANY.
    Pages of the edge itself are always permitted. These are pages whose origin is the public URL, or is the Host that
    the page connects to, if that Host is the edge's own."""

    def __init__(self, allowed: Collection[str], public_url: str) -> None:
        self._any = ANY in allowed
        self._allowed = {_origin(url) for url in (*allowed, public_url)}
        self._names = {"localhost", *(host_name(urlsplit(url).netloc) for url in self._allowed)} - {""}

    def permits(self, handshake: Handshake) -> bool:
        origin = handshake.origin.lower()
        if not origin or self._any or origin in self._allowed:
            return True
        return is_own_page(handshake) and self.is_own(handshake.host)

    def is_own(self, host: str) -> bool:
        """Whether a Host header names an edge of this system. It does so by an IP address, as `localhost`, or by a name
        in the settings."""
        name = host_name(host)
        return self._any or name in self._names or is_address(name)


def is_own_page(handshake: Handshake) -> bool:
    """Whether a page connects to the same server from which it was loaded, whatever name it uses for the server."""
    return bool(handshake.host) and handshake.origin.lower().partition("://")[2] == handshake.host.lower()


def _origin(url: str) -> str:
    """The scheme and authority of a URL."""
    scheme, separator, rest = url.lower().partition("://")
    return scheme + separator + rest.partition("/")[0]
