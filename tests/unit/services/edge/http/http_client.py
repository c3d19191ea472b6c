"""HTTP requests over bare sockets."""

from dataclasses import dataclass

from tests.unit.services.edge.gateway.raw import RawPeer


@dataclass
class HttpReply:
    """Header names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


def request(method: str, path: str, body: bytes = b"", **headers: str) -> bytes:
    """Underscores in header names stand for hyphens. A body has a Content-Length unless it is chunked."""
    named = {"Host": "chat.test:8080"} | {name.replace("_", "-"): value for name, value in headers.items()}
    if body and "Transfer-Encoding" not in named:
        named.setdefault("Content-Length", str(len(body)))
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in named.items()), "", ""]
    return "\r\n".join(lines).encode("latin-1") + body


async def head_of(peer: RawPeer) -> HttpReply:
    """The head of the next reply."""
    status, *lines = (await peer.head()).split("\r\n")[:-2]
    pairs = (line.partition(": ") for line in lines)
    return HttpReply(int(status.split(" ")[1]), {name.lower(): value for name, _, value in pairs}, b"")


async def fetch(port: int, method: str, path: str, body: bytes = b"", **headers: str) -> HttpReply:
    """A request on a connection of its own, which the server closes after the reply."""
    async with await RawPeer.dial(port) as peer:
        peer.send(request(method, path, body, Connection="close", **headers))
        reply = await head_of(peer)
        reply.body = await peer.rest()
        return reply
