"""The address of a server. It has a scheme (ws://, wss:// or tcp://), a host and a port."""

from typing import NamedTuple
from urllib.parse import urlsplit

from dragoman_client.codec.base import Codec
from dragoman_client.errors import ClientError

_PORTS = {"ws": 80, "wss": 443}


class InvalidAddress(ClientError):
    """The text is not the address of a server."""


class ServerAddress(NamedTuple):
    """`url` has the path of the dialect, unless the text itself had a path. Plain TCP has no path, so the server
    detects the dialect from the first frame."""

    url: str
    host: str
    port: int
    is_tcp: bool


def parse(text: str, codec: Codec) -> ServerAddress:
    """Parse an address. Raises InvalidAddress."""
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise InvalidAddress(f"{text} is no address of a server: {error}") from error
    if parts.scheme not in ("ws", "wss", "tcp") or not host:
        raise InvalidAddress(f"{text} is no address of a server: ws://HOST:PORT, wss://HOST or tcp://HOST:PORT is")
    if parts.scheme == "tcp":
        if not port or parts.path.strip("/"):
            raise InvalidAddress(f"{text} is no address of plain TCP: tcp://HOST:PORT is")
        return ServerAddress(text, host, port, is_tcp=True)
    path = parts.path if parts.path else codec.path
    return ServerAddress(parts._replace(path=path).geturl(), host, port or _PORTS[parts.scheme], is_tcp=False)
