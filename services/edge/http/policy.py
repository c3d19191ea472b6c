"""Rules for every request: a rate, and TLS for pages. Media, avatars and WebSockets stay reachable by `http://` and
`ws://`, because clients of the legacy dialects use these schemes."""

from collections.abc import Mapping
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from services.edge.gateway.handshake import parse_networks
from services.edge.http.request import handshake_of
from services.edge.http.responses import error_response
from services.edge.rate_limit import TokenBuckets
from shared.addresses import network
from shared.contract.errors import ErrorCode, Failure
from shared.settings import Settings

_LINKS = ("/verify/", "/hooks/", "/unsubscribe/")
"""The paths that contain a secret. The secret is looked up in a database, or checked."""
_OPERATIONS = "/api/v1/"
_NO_PAGES = ("/media", "/avatar", "/ws")
TOO_MANY = PlainTextResponse(
    "Too many requests, please wait a moment.\n", 429, {"Retry-After": "1", "Connection": "close"}
)
"""This response closes the connection. So requests that the client has sent without waiting for replies are dropped."""
_TOO_MANY_OPERATIONS = Failure(ErrorCode.RATE_LIMITED, "too many requests from this address")


class HttpPolicy:
    """The constructor raises ValueError for a trusted proxy that is not a network."""

    def __init__(self, settings: Settings) -> None:
        edge, limits = settings.edge, settings.limits
        self._trusted = parse_networks(edge.trusted_proxies)
        self._redirects = edge.redirect_to_tls
        self._hsts = f"max-age={edge.hsts_seconds}" if edge.hsts_seconds else ""
        public = urlsplit(edge.public_url)
        self._public_place = public.netloc + public.path.rstrip("/") if public.scheme == "https" else ""
        rate, burst = limits.page_requests_per_second, limits.page_requests_burst
        self._rates = TokenBuckets(rate, burst) if limits.rates else None
        self._links = TokenBuckets(limits.links_per_second, limits.links_burst)

    def decide(self, request: Request, now: float) -> Response | None:
        """The response to a request that is not served, or None. It is not served if its address is over the rate, or
        if it must be repeated with TLS."""
        handshake = handshake_of(request, self._trusted)
        if self._rates is not None and not self._takes(self._rates, request, network(handshake.address), now):
            if not request.scope["path"].startswith(_OPERATIONS):
                return TOO_MANY
            return error_response(_TOO_MANY_OPERATIONS, headers={"Connection": "close"})
        if self._redirects and _is_page(request) and not handshake.secure and request.method in ("GET", "HEAD"):
            place = self._public_place or handshake.host
            headers = {"Location": f"https://{place}{_target(request)}", "Cache-Control": "no-store"}
            return PlainTextResponse("", 308, headers)
        return None

    def _takes(self, rates: TokenBuckets, request: Request, unit: str, now: float) -> bool:
        if not rates.take(unit, now):
            return False
        return not request.scope["path"].startswith(_LINKS) or self._links.take(unit, now)

    def headers(self, request: Request) -> Mapping[str, str]:
        """Headers that this policy adds to the response."""
        if self._hsts and _is_page(request) and handshake_of(request, self._trusted).secure:
            return {"Strict-Transport-Security": self._hsts}
        return {}


def _is_page(request: Request) -> bool:
    return not request.scope["path"].startswith(_NO_PAGES)


def _target(request: Request) -> str:
    path: bytes = request.scope["raw_path"]
    query: bytes = request.scope["query_string"]
    return (path + (b"?" + query if query else b"")).decode("latin-1")
