"""Serves the link that ends the mails about unread messages to an account. A mail program posts to the link (RFC 8058).
A browser gets a page with a button that posts to it, because mail scanners open links."""

from collections.abc import Awaitable, Callable, Mapping

from starlette.requests import Request
from starlette.responses import Response

from services.edge.http.responses import not_allowed
from services.edge.http.verification import FORM_POLICY, page
from shared.contract.errors import ErrorCode, RequestError
from shared.setting_types import Language

StopMails = Callable[[str], Awaitable[object]]
"""Ends the mails that the token of the link names. Raises RequestError (`not_found`, `unavailable`)."""

_TEXTS: Mapping[int, Mapping[Language, tuple[str, str]]] = {
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
_BUTTON: Mapping[Language, tuple[str, str]] = {
    "zh": ("退订邮件", '退订 <span lang="en">Send me no more mails</span>'),
    "en": ("Mails about unread messages", "Send me no more mails"),
}


class UnsubscribeLinks:
    def __init__(self, stop: StopMails, language: Language = "zh") -> None:
        self._stop = stop
        self._language: Language = language

    async def respond(self, request: Request) -> Response:
        if request.method in ("GET", "HEAD"):
            title, button = _BUTTON[self._language]
            form = f'<form method="post"><button>{button}</button></form>'
            return page(self._language, 200, title, form, {"Content-Security-Policy": FORM_POLICY})
        if request.method != "POST":
            return not_allowed("GET, HEAD, POST")
        try:
            await self._stop(request.path_params["token"])
            status = 200
        except RequestError as error:
            status = 404 if error.failure.code is ErrorCode.NOT_FOUND else 503
        title, text = _TEXTS[status][self._language]
        headers = {"Retry-After": "30"} if status == 503 else {}
        return page(self._language, status, title, f"<p>{text}</p>", headers)
