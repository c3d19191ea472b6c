"""`POST /hooks/SECRET`: a program without an account posts to a group."""

from collections.abc import Awaitable, Callable

from services.edge.http.body import read_body
from services.edge.http.hook_body import text_of
from services.edge.http.pages import not_allowed, text
from services.edge.http.request import HttpRequest, Response
from services.edge.http.responses import error_response
from shared.contract.errors import ErrorCode, RequestError
from shared.settings import LimitsSettings

PostHook = Callable[[str, str, str], Awaitable[None]]
"""Posts for a hook's secret a text, under a key or "". Raises RequestError."""
_KEY_CHARACTERS = 255


class HttpHooks:
    def __init__(self, post: PostHook, limits: LimitsSettings) -> None:
        self._post = post
        self._body_bytes = limits.text_frame_bytes

    async def respond(self, request: HttpRequest, secret: str) -> Response:
        """`ok`, as Slack responds, once the message is committed. Raises ClientDisconnected."""
        if request.method != "POST":
            return not_allowed("POST")
        try:
            await self._receive(request, secret)
        except RequestError as error:
            return error_response(error.failure)
        return text(200, "ok", {"Cache-Control": "no-store"})

    async def _receive(self, request: HttpRequest, secret: str) -> None:
        key = request.headers.get("idempotency-key", "")
        if len(key) > _KEY_CHARACTERS:
            raise RequestError(ErrorCode.INVALID, f"a key has at most {_KEY_CHARACTERS} characters", "Idempotency-Key")
        body = await read_body(request, self._body_bytes)
        await self._post(secret, text_of(request.headers.get("content-type", ""), body), key)
