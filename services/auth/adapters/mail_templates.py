"""Texts of mails: with `language` zh in English and Chinese, with en in English alone."""

from collections.abc import Mapping
from datetime import UTC, datetime

from services.auth.domain import VerificationPurpose as Purpose
from services.auth.store.verifications import VerificationMail
from shared.contract.auth import Requester
from shared.contract.events import MailRequested
from shared.setting_types import Language

_SUBJECT: Mapping[Purpose, Mapping[Language, str]] = {
    Purpose.REGISTER: {
        "en": "Confirm your e-mail address",
        "zh": "Confirm your e-mail address / 确认您的邮箱",
    },
    Purpose.LOGIN: {
        "en": "Confirm your login",
        "zh": "Confirm your login / 确认登录",
    },
    Purpose.ADDRESS: {
        "en": "Confirm your e-mail address",
        "zh": "Confirm your e-mail address / 确认您的邮箱",
    },
}
_REASON = {
    Purpose.REGISTER: ("An account is being registered with this e-mail address.", "有人正在用此邮箱注册账号。"),
    Purpose.LOGIN: ("Somebody logs in to your account after failed attempts.", "您的账号在多次登录失败后有新的登录。"),
    Purpose.ADDRESS: (
        "Somebody has logged in to an account with this e-mail address. Once you confirm the address,\n"
        "a forgotten password can be replaced by mail.",
        "有人登录了使用此邮箱的账号。确认邮箱后，忘记密码时可通过邮件重置。",
    ),
}
_REQUESTER = (
    "From {address}, with {client}, at {time}.",
    "地址 {address}，客户端 {client}，时间 {time}。",
)
_REQUEST = ("If it is you, open this link:", "如是您本人操作，请打开此链接：")
_OTHERWISE = ("If it is not you, ignore this mail.", "如非本人操作，请忽略此邮件。")
_RECOVERY_SUBJECT: Mapping[Language, str] = {"en": "A new password", "zh": "A new password / 重置密码"}
_RECOVERY_REASON = ("Somebody requests a new password for your account.", "有人请求重置您的账号密码。")
_RECOVERY_REQUEST = ("If it is you, give your chat program this ticket:", "如是您本人操作，请在聊天程序中输入此凭证：")
"""English and Chinese, as those above."""


def verification(mail: VerificationMail, link: str, language: Language = "zh") -> MailRequested:
    """Puts the link alone on a line, as the first address in the text."""
    english, chinese = (
        f"{reason}\n{_requester(mail.requester, form)}".rstrip()
        for reason, form in zip(_REASON[mail.purpose], _REQUESTER, strict=True)
    )
    text = _text((english, chinese), _REQUEST, link, language)
    return MailRequested(mail.email, _SUBJECT[mail.purpose][language], text, mail.expires)


def _requester(requester: Requester, form: str) -> str:
    """Empty if the version before has taken the request."""
    if not requester.time:
        return ""
    time = datetime.fromtimestamp(requester.time / 1000, UTC).strftime("%Y-%m-%d %H:%M UTC")
    return form.format(address=requester.address, client=requester.client, time=time)


def recovery(email: str, ticket: str, expires: int, language: Language = "zh") -> MailRequested:
    """Puts the ticket alone on a line."""
    text = _text(_RECOVERY_REASON, _RECOVERY_REQUEST, ticket, language)
    return MailRequested(email, _RECOVERY_SUBJECT[language], text, expires)


def _text(reason: tuple[str, str], request: tuple[str, str], line: str, language: Language) -> str:
    shown = 1 if language == "en" else 2
    above, before, below = ("\n".join(one[:shown]) for one in (reason, request, _OTHERWISE))
    return f"{above}\n\n{before}\n\n{line}\n\n{below}\n"
