"""What clients ask by HTTP, each as a trace that begins here."""

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

from services.edge.http.request import Receive, Send

if TYPE_CHECKING:
    from shared.tracing import Tracer

Serve = Callable[[Mapping[str, Any], Receive, Send], Awaitable[None]]

_KNOWN = ("", "avatar", "media", "verify")


class TracedHttp:
    """An application of ASGI that has another one answer, and sees how long it takes until all is sent. An outcome is
    a status of 400 or more, or "gone" when the client did not get all."""

    def __init__(self, serve: Serve, tracer: "Tracer") -> None:
        self._serve = serve
        self._tracer = tracer

    async def __call__(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        outcome = "gone"
        status = 0

        async def seen(message: Mapping[str, Any]) -> None:
            nonlocal outcome, status
            await send(message)
            status = message.get("status", status)
            if message["type"] == "http.response.body" and not message["more_body"]:
                outcome = str(status) if status >= 400 else "ok"

        with self._tracer.begin(span_name(scope["method"], scope["path"])):
            await self._serve(scope, receive, seen)
            self._tracer.end_current(outcome)


def span_name(method: str, path: str) -> str:
    """What is asked, without what tells one address from another: that is for who knows it. Pure."""
    room = path.removeprefix("/").partition("/")[0]
    return f"{method} /{room}" if room in _KNOWN else f"{method} elsewhere"
