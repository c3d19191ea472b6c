"""Serves the pages of links in mails. A verification link verifies an address. An unsubscription link ends the mails
about unread messages: a mail program posts to it (RFC 8058). Pages have a button that posts, because mail scanners open
links."""

from collections.abc import Mapping
from datetime import UTC, datetime
from html import escape
from typing import Literal, NamedTuple

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from services.edge.http.responses import not_allowed
from shared.bus.client import Bus
from shared.contract.auth import DescribeVerification, OpenVerification, Requester
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.push import StopMails
from shared.request_nonce import new_nonce
from shared.setting_types import Language

VerificationResult = Literal["passed", "wrong", "expired"]
_LinkResult = VerificationResult | Literal["unavailable"]
_REQUEST_SECONDS = 5.0


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
        "This link is not valid. Please open the link in the latest mail.",
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
"""The title of the page and the text of its button, in each language."""
_REQUESTS: Mapping[str, Mapping[Language, str]] = {
    "register": {
        "zh": "有人正在用您的邮箱注册账号：地址 {address}，客户端 {client}，时间 {time}。如非本人操作，请勿点击。",
        "en": "Somebody registers an account with your e-mail address: from {address}, with {client}, at {time}. "
        "If it is not you, do not press the button.",
    },
    "login": {
        "zh": "有人正在登录您的账号：地址 {address}，客户端 {client}，时间 {time}。"
        "如非本人操作，请勿点击，并修改密码。",
        "en": "Somebody logs in to your account: from {address}, with {client}, at {time}. "
        "If it is not you, do not press the button, and change your password.",
    },
}
_ENDED: Mapping[int, Mapping[Language, tuple[str, str]]] = {
    200: {
        "zh": ("已退订", "您不会再收到未读消息的邮件。You get no more mails about unread messages."),
        "en": ("Unsubscribed", "You get no more mails about unread messages."),
    },
    404: {"zh": ("链接无效", "此链接无效。This link is not valid."), "en": ("Wrong link", "This link is not valid.")},
    503: {
        "zh": ("暂时无法退订", "请稍后重试。Please try again in a minute."),
        "en": ("Please try again", "That did not work just now. Please try again in a minute."),
    },
}
_END: Mapping[Language, tuple[str, str]] = {
    "zh": ("退订邮件", '退订 <span lang="en">Send me no more mails</span>'),
    "en": ("Mails about unread messages", "Send me no more mails"),
}

FORM_POLICY = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"


class LinkPages:
    """With `confirm_button`, a verification link shows a page that names the device, and only the POST of its button
    has an effect. Without `confirm_button`, GET has the effect. The button is needed because mail scanners open links,
    and because another person may have given the address. Chinese pages also contain the English text."""

    def __init__(self, bus: Bus, confirm_button: bool = True, language: Language = "zh") -> None:
        self._bus = bus
        self._confirm_button = confirm_button
        self._language: Language = language

    async def verify(self, request: Request) -> Response:
        ticket, code = request.path_params["ticket"], request.path_params["code"]
        if not self._confirm_button:
            return await self._open(ticket, code) if request.method == "GET" else not_allowed("GET")
        match request.method:
            case "GET" | "HEAD":
                return await self._confirmation(ticket, code)
            case "POST":
                return await self._open(ticket, code)
        return not_allowed("GET, HEAD, POST")

    async def _open(self, ticket: str, code: str) -> Response:
        result: _LinkResult
        try:
            link = OpenVerification(ticket, code)
            opening = self._bus.send(link, seconds=_REQUEST_SECONDS, retry=True, nonce=new_nonce())
            result = (await opening).outcome
        except RequestError:
            result = "unavailable"
        return self._result(result)

    def _result(self, result: _LinkResult) -> Response:
        status, title, message = _TEXTS[result]
        headers = {"Retry-After": "30"} if status == 503 else {}
        return self._page(status, title[self._language], f'<p lang="en">{message}</p>', headers)

    async def _confirmation(self, ticket: str, code: str) -> Response:
        """A page with a button that posts to the page's own address. The page itself changes nothing. A wrong link has
        the button, too, because its POST informs the waiting client."""
        try:
            link = DescribeVerification(ticket, code)
            described = await self._bus.send(link, seconds=_REQUEST_SECONDS, retry=True)
            requester = self._paragraphs(described)
        except RequestError as error:
            if error.failure.code is not ErrorCode.NOT_FOUND:
                return self._result("unavailable")
            requester = ""
        title, button = _CONFIRMATION[self._language]
        form = f'{requester}<form method="post"><button>{button}</button></form>'
        return self._page(200, title, form, {"Content-Security-Policy": FORM_POLICY})

    def _paragraphs(self, requester: Requester) -> str:
        if not requester.time:
            return ""
        time = datetime.fromtimestamp(requester.time / 1000, UTC).strftime("%Y-%m-%d %H:%M UTC")
        names = {"address": escape(requester.address), "client": escape(requester.client), "time": time}
        texts = _REQUESTS[requester.purpose]
        english = f'<p lang="en">{texts["en"].format(**names)}</p>'
        return english if self._language == "en" else f"<p>{texts['zh'].format(**names)}</p>{english}"

    async def unsubscribe(self, request: Request) -> Response:
        if request.method in ("GET", "HEAD"):
            title, button = _END[self._language]
            form = f'<form method="post"><button>{button}</button></form>'
            return self._page(200, title, form, {"Content-Security-Policy": FORM_POLICY})
        if request.method != "POST":
            return not_allowed("GET, HEAD, POST")
        try:
            await self._bus.send(StopMails(request.path_params["token"]), seconds=_REQUEST_SECONDS, retry=True)
            status = 200
        except RequestError as error:
            status = 404 if error.failure.code is ErrorCode.NOT_FOUND else 503
        title, text = _ENDED[status][self._language]
        headers = {"Retry-After": "30"} if status == 503 else {}
        return self._page(status, title, f"<p>{text}</p>", headers)

    def _page(self, status: int, title: str, body: str, headers: Mapping[str, str]) -> Response:
        """Make the page of a link. `body` is HTML."""
        html = (
            f'<!doctype html><html lang="{self._language}"><head><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width">'
            f"<title>{title}</title></head><body><h1>{title}</h1>{body}</body></html>\n"
        )
        return HTMLResponse(html, status, {"Cache-Control": "no-store", **headers})
