"""Which web pages may open connections. A browser names the origin of its page in each handshake, and would otherwise
let any page that a user visits use the edges that the user's machine reaches. Other clients name none. Pure.

That the origin is the Host of the connection proves nothing by itself: a page can make its own domain lead to an edge
after it was loaded (DNS rebinding). It cannot do so with an address, with `localhost`, or with a name that is ours."""

from collections.abc import Collection
from urllib.parse import urlsplit

from services.edge.canonical.transport import Handshake
from shared.addresses import host_name, is_address

ANY = "*"


class WebOrigins:
    """`allowed`: origins as browsers write them (`https://chat.example`), or ANY. Pages of the edge itself are always
    allowed: their origin is the public URL, or the Host that they connect to, if that is an own one."""

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
        """Whether a Host header names an edge of this system: by its address, as `localhost`, or by a name of the
        settings."""
        name = host_name(host)
        return self._any or name in self._names or is_address(name)


def is_own_page(handshake: Handshake) -> bool:
    """Whether a page connects to the place from which its browser has loaded it, whatever its name."""
    return bool(handshake.host) and handshake.origin.lower().partition("://")[2] == handshake.host.lower()


def _origin(url: str) -> str:
    """The scheme and authority of a URL."""
    scheme, separator, rest = url.lower().partition("://")
    return scheme + separator + rest.partition("/")[0]
