"""Which web pages may open connections. A browser names the origin of its page in each handshake, and would otherwise
let any page that a user visits use the edges that the user's machine reaches. Other clients name none. Pure."""

from collections.abc import Collection

from services.edge.canonical.transport import Handshake

ANY = "*"


class WebOrigins:
    """`allowed`: origins as browsers write them (`https://chat.example`), or ANY. Pages of the edge itself are always
    allowed: their origin is the Host that they connect to, or the public URL."""

    def __init__(self, allowed: Collection[str], public_url: str) -> None:
        self._any = ANY in allowed
        self._allowed = {_origin(url) for url in (*allowed, public_url)}

    def permits(self, handshake: Handshake) -> bool:
        origin = handshake.origin.lower()
        if not origin or self._any:
            return True
        own = handshake.host.lower()
        return origin in self._allowed or (bool(own) and origin.partition("://")[2] == own)


def _origin(url: str) -> str:
    """The scheme and authority of a URL."""
    scheme, separator, rest = url.lower().partition("://")
    return scheme + separator + rest.partition("/")[0]
