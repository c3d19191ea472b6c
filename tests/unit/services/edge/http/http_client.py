"""HTTP requests over plain sockets."""

from dataclasses import dataclass

from tests.unit.services.edge.gateway.raw import RawPeer


@dataclass
class HttpReply:
    """A response. The names of its headers are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


def request(method: str, path: str, body: bytes = b"", **headers: str) -> bytes:
    """Returns the bytes of a request.

    Underscores in header names stand for hyphens. A body has a Content-Length unless it is chunked.
    """
    named = {"Host": "chat.test:8080"} | {name.replace("_", "-"): value for name, value in headers.items()}
    if body and "Transfer-Encoding" not in named:
        named.setdefault("Content-Length", str(len(body)))
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in named.items()), "", ""]
    return "\r\n".join(lines).encode("latin-1") + body


async def head_of(peer: RawPeer) -> HttpReply:
    """Reads the head of the next response."""
    status, *lines = (await peer.head()).split("\r\n")[:-2]
    pairs = (line.partition(": ") for line in lines)
    return HttpReply(int(status.split(" ")[1]), {name.lower(): value for name, _, value in pairs}, b"")


async def fetch(port: int, method: str, path: str, body: bytes = b"", **headers: str) -> HttpReply:
    """Sends a request on a new connection, which the server closes after the response."""
    async with await RawPeer.dial(port) as peer:
        peer.send(request(method, path, body, Connection="close", **headers))
        reply = await head_of(peer)
        reply.body = await peer.rest()
        return reply
