"""What an edge serves by HTTP on the clients' port: generated avatars, the links of verification mails, a greeting."""

import hashlib
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from services.edge.avatars import Kind, avatar_png
from shared.contract.errors import Refused

Outcome = Literal["passed", "wrong", "expired"]
Verify = Callable[[str, str], Awaitable[Outcome]]
"""Open the link of this ticket with this code. Raises Refused when that cannot be done now."""

Headers = Mapping[str, str]
Send = Callable[[Mapping[str, Any]], Awaitable[None]]

_AVATAR = re.compile(r"/avatar/(account|chat)/([1-9][0-9]{0,18})\.png")
_VERIFY = re.compile(r"/verify/([A-Za-z0-9_-]{1,128})\.([A-Za-z0-9_-]{1,128})")
_GREETING = "Dragoman, a chat server. Connect to this address with a WebSocket client.\n"
_ALWAYS: Headers = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "Referrer-Policy": "no-referrer",
}
_PAGES: Mapping[str, tuple[int, str, str]] = {
    "passed": (200, "验证成功", "Your e-mail address is verified. You can go back to your chat client."),
    "wrong": (403, "链接无效", "This link is not right. Please open the one from the latest mail."),
    "expired": (410, "链接已过期", "This link has expired. Please start again in your chat client."),
    "unavailable": (503, "暂时无法验证", "That did not work just now. Please open the link again in a minute."),
}


@dataclass(frozen=True, slots=True)
class Response:
    status: int
    body: bytes
    content_type: str
    headers: Headers = field(default_factory=dict)


class HttpApp:
    """The ASGI application. HEAD is answered as GET wherever GET changes nothing."""

    def __init__(self, verify: Verify) -> None:
        self._verify = verify

    async def __call__(self, scope: Mapping[str, Any], _receive: object, send: Send) -> None:
        asked = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        await _send(await self._respond(scope["method"], scope["path"], asked), send)

    async def _respond(self, method: str, path: str, asked: Headers) -> Response:
        if link := _VERIFY.fullmatch(path):
            return await self._open_link(link[1], link[2]) if method == "GET" else _not_allowed("GET")
        response = _resource(path, asked)
        if response.status != 404 and method not in ("GET", "HEAD"):
            return _not_allowed("GET, HEAD")
        return response

    async def _open_link(self, ticket: str, code: str) -> Response:
        try:
            return _page(await self._verify(ticket, code))
        except Refused:
            return _page("unavailable")


def _resource(path: str, asked: Headers) -> Response:
    if avatar := _AVATAR.fullmatch(path):
        return _avatar("chat" if avatar[1] == "chat" else "account", int(avatar[2]), asked)
    if path == "/":
        return _text(200, _GREETING)
    if path == "/ws" or path.startswith("/ws/"):
        return _text(426, "This is the address of a WebSocket.\n", {"Upgrade": "websocket"})
    return _text(404, "Not found.\n")


def _avatar(kind: Kind, number: int, asked: Headers) -> Response:
    """It never changes: who sets another one gets another address."""
    png = avatar_png(kind, number)
    tag = f'"{hashlib.sha256(png).hexdigest()[:32]}"'
    caching = {"ETag": tag, "Cache-Control": "public, max-age=31536000, immutable"}
    if tag in asked.get("if-none-match", ""):
        return Response(304, b"", "image/png", caching)
    return Response(200, png, "image/png", caching)


def _page(outcome: str) -> Response:
    status, title, text = _PAGES[outcome]
    html = (
        '<!doctype html><html lang="zh"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f'<title>{title}</title></head><body><h1>{title}</h1><p lang="en">{text}</p></body></html>\n'
    )
    retry = {"Retry-After": "30"} if status == 503 else {}
    return Response(status, html.encode(), "text/html; charset=utf-8", {"Cache-Control": "no-store", **retry})


def _not_allowed(allowed: str) -> Response:
    return _text(405, "Method not allowed.\n", {"Allow": allowed})


def _text(status: int, text: str, headers: Headers | None = None) -> Response:
    return Response(status, text.encode(), "text/plain; charset=utf-8", headers or {})


async def _send(response: Response, send: Send) -> None:
    headers = {**_ALWAYS, **response.headers}
    if response.status != 304:
        headers |= {"Content-Type": response.content_type, "Content-Length": str(len(response.body))}
    lines = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": response.status, "headers": lines})
    await send({"type": "http.response.body", "body": response.body})
