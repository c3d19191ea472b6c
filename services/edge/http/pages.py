"""Small complete responses: generated avatars, a greeting, errors."""

import hashlib
import re

from services.edge.http.request import Headers, Response
from services.edge.identicons import Kind, avatar_png

_AVATAR = re.compile(r"/avatar/(account|chat)/([1-9][0-9]{0,18})\.png")
_GREETING = "Dragoman, a chat server. Connect to this address with a WebSocket client.\n"


def resource(path: str, headers: Headers) -> Response:
    if avatar := _AVATAR.fullmatch(path):
        return _avatar("chat" if avatar[1] == "chat" else "account", int(avatar[2]), headers)
    if path == "/":
        return text(200, _GREETING)
    if path == "/ws" or path.startswith("/ws/"):
        return text(426, "This is the address of a WebSocket.\n", {"Upgrade": "websocket"})
    return not_found()


def _avatar(kind: Kind, number: int, headers: Headers) -> Response:
    """An avatar never changes: a new one has a new URL."""
    png = avatar_png(kind, number)
    tag = f'"{hashlib.sha256(png).hexdigest()[:32]}"'
    caching = {"ETag": tag, "Cache-Control": "public, max-age=31536000, immutable"}
    if tag in headers.get("if-none-match", ""):
        return Response(304, b"", "image/png", caching)
    return Response(200, png, "image/png", caching)


def not_found() -> Response:
    return text(404, "Not found.\n")


def not_allowed(allowed: str) -> Response:
    return text(405, "Method not allowed.\n", {"Allow": allowed})


def text(status: int, body: str, headers: Headers | None = None) -> Response:
    return Response(status, body.encode(), "text/plain; charset=utf-8", headers or {})
