"""Pages of mailed verification links."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Literal, NamedTuple

from services.edge.http.pages import not_allowed
from services.edge.http.request import Response
from shared.contract.errors import RequestError
from shared.setting_types import Language

VerificationResult = Literal["passed", "wrong", "expired"]
OpenLink = Callable[[str, str], Awaitable[VerificationResult]]
"""Redeem a verification link by its ticket and code. Raises RequestError when the service is unavailable."""

_LinkResult = VerificationResult | Literal["unavailable"]


class _Text(NamedTuple):
    status: int
    title: Mapping[Language, str]
    message: str


_TEXTS: Mapping[_LinkResult, _Text] = {
    "passed": _Text(
        200, {"zh": "验证成功", "en": "Verified"},
        "Your e-mail address is verified. You can go back to your chat client.",
    ),
    "wrong": _Text(
        403, {"zh": "链接无效", "en": "Wrong link"},
        "This link is not right. Please open the one from the latest mail.",
    ),
    "expired": _Text(
        410, {"zh": "链接已过期", "en": "Expired link"},
        "This link has expired. Please start again in your chat client.",
    ),
    "unavailable": _Text(
        503, {"zh": "暂时无法验证", "en": "Please try again"},
        "That did not work just now. Please open the link again in a minute.",
    ),
}  # fmt: skip
_CONFIRMATION: Mapping[Language, tuple[str, str]] = {
    "zh": ("验证邮箱", '验证 <span lang="en">Verify my e-mail address</span>'),
    "en": ("Verify your e-mail address", "Verify my e-mail address"),
}
"""Title and button."""


class VerificationLinks:
    """With `confirm_button` a link shows a page, and the POST of its button has the effect; else GET has. Chinese pages
    are in English, too."""

    def __init__(self, open_link: OpenLink, confirm_button: bool = False, language: Language = "zh") -> None:
        self._redeem = open_link
        self._confirm_button = confirm_button
        self._language: Language = language

    async def serve(self, method: str, ticket: str, code: str) -> Response:
        if not self._confirm_button:
            return await self._open(ticket, code) if method == "GET" else not_allowed("GET")
        match method:
            case "GET" | "HEAD":
                return self._confirmation()
            case "POST":
                return await self._open(ticket, code)
        return not_allowed("GET, HEAD, POST")

    async def _open(self, ticket: str, code: str) -> Response:
        result: _LinkResult
        try:
            result = await self._redeem(ticket, code)
        except RequestError:
            result = "unavailable"
        status, title, message = _TEXTS[result]
        headers = {"Retry-After": "30"} if status == 503 else {}
        return self._page(status, title[self._language], f'<p lang="en">{message}</p>', headers)

    def _confirmation(self) -> Response:
        """A page whose button posts to its own address, and changes nothing itself."""
        title, button = _CONFIRMATION[self._language]
        policy = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
        form = f'<form method="post"><button>{button}</button></form>'
        return self._page(200, title, form, {"Content-Security-Policy": policy})

    def _page(self, status: int, title: str, body: str, headers: Mapping[str, str]) -> Response:
        html = (
            f'<!doctype html><html lang="{self._language}"><head><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width">'
            f"<title>{title}</title></head><body><h1>{title}</h1>{body}</body></html>\n"
        )
        return Response(status, html.encode(), "text/html; charset=utf-8", {"Cache-Control": "no-store", **headers})
