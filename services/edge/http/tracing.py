"""Traces of HTTP requests; each begins a new trace."""

from typing import TYPE_CHECKING

from starlette.types import ASGIApp, Message, Receive, Scope, Send

if TYPE_CHECKING:
    from shared.tracing import Tracer

_KNOWN = ("", "avatar", "hooks", "media", "verify", "web")


class TracedHttp:
    """ASGI middleware that traces each request until its response is sent. The span's result is "ok", a status of 400
    or more, or "gone" if the client did not receive the whole response."""

    def __init__(self, serve: ASGIApp, tracer: "Tracer") -> None:
        self._serve = serve
        self._tracer = tracer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        result = "gone"
        status = 0

        async def send_observed(message: Message) -> None:
            nonlocal result, status
            await send(message)
            status = message.get("status", status)
            if message["type"] == "http.response.body" and not message["more_body"]:
                result = str(status) if status >= 400 else "ok"

        with self._tracer.begin(span_name(scope["method"], scope["path"])):
            await self._serve(scope, receive, send_observed)
            self._tracer.end_current(result)


def span_name(method: str, path: str) -> str:
    """Method and first part of the path. The rest may be secret, such as a media id. Pure."""
    section = path.removeprefix("/").partition("/")[0]
    return f"{method} /{section}" if section in _KNOWN else f"{method} elsewhere"
