"""Writes the texts of mails: in English and Chinese if `language` is zh, otherwise only in English. Has them delivered
or rejects all. Never logs addresses or texts."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from datetime import UTC, datetime
from functools import partial

import msgspec

from services.auth.domain import VerificationPurpose as Purpose
from services.auth.metrics import AuthMetrics
from services.auth.store.verifications import VerificationMail
from shared.clock import now_ms
from shared.contract.auth import Requester
from shared.contract.events import MailRequested
from shared.contract.ids import AccountId
from shared.setting_types import Language
from shared.settings.accounts import MailSettings
from shared.telemetry import log

_log = log(__name__)

Transport = Callable[[MailRequested], None]
"""Blocks until the mail is delivered. Raises OSError or MailDeferred when a retry may succeed, else MailRejected."""


FindAddresses = Callable[[Collection[AccountId]], Awaitable[Mapping[AccountId, str]]]
"""Returns the verified address of each account that has one. Raises RequestError."""


class MailDeferred(Exception):
    """The mail server does not accept the mail now; a later attempt can succeed."""


class MailRejected(Exception):
    """The server will never accept this mail."""


class Mailer:
    """Consumes MailRequested. If a mail is delivered twice, both copies have the same Message-ID."""

    def __init__(self, settings: MailSettings, metrics: AuthMetrics, find_addresses: FindAddresses) -> None:
        self._transport = _transport(settings)
        self._find_addresses = find_addresses
        self._metrics = metrics

    async def deliver(self, mail: MailRequested) -> None:
        self._metrics.mails.labels(await self._try_delivery(mail)).inc()

    async def _try_delivery(self, mail: MailRequested) -> str:
        """Returns the result as a label of the metric. If it raises an exception, the delivery is tried again."""
        if mail.expires <= now_ms():
            return "expired"
        try:
            if mail.account:
                address = (await self._find_addresses([mail.account])).get(mail.account, "")
                mail = msgspec.structs.replace(mail, to=address)
            await asyncio.to_thread(self._transport if mail.to else _reject, mail)
        except MailRejected as error:
            _log.warning("mail rejected", error=str(error))
            return "refused"
        except Exception:
            self._metrics.mails.labels("delayed").inc()
            raise
        return "sent"


def _transport(settings: MailSettings) -> Transport:
    return partial(_deliver, settings) if settings.is_on else _reject


def _deliver(settings: MailSettings, mail: MailRequested) -> None:
    from services.auth.adapters.mail_transport import send, write_file

    (send if settings.smtp_host else write_file)(settings, mail)


def _reject(mail: MailRequested) -> None:
    """Reject a mail that was requested before mails were switched off, or whose account has no address."""
    raise MailRejected("this server sends no mails, or the account has no verified address")


_SUBJECT: Mapping[Purpose, Mapping[Language, str]] = {
    Purpose.REGISTER: {"en": "Confirm your e-mail address", "zh": "Confirm your e-mail address / 确认您的邮箱"},
    Purpose.LOGIN: {"en": "Confirm your login", "zh": "Confirm your login / 确认登录"},
    Purpose.ADDRESS: {"en": "Confirm your e-mail address", "zh": "Confirm your e-mail address / 确认您的邮箱"},
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
_REQUESTER = ("From {address}, with {client}, at {time}.", "地址 {address}，客户端 {client}，时间 {time}。")
_REQUEST = ("If it is you, open this link:", "如是您本人操作，请打开此链接：")
_OTHERWISE = ("If it is not you, ignore this mail.", "如非本人操作，请忽略此邮件。")
_RECOVERY_SUBJECT: Mapping[Language, str] = {"en": "A new password", "zh": "A new password / 重置密码"}
_RECOVERY_REASON = ("Somebody requests a new password for your account.", "有人请求重置您的账号密码。")
_RECOVERY_REQUEST = ("If it is you, give your chat program this ticket:", "如是您本人操作，请在聊天程序中输入此凭证：")
"""The English and the Chinese text, like the texts above."""


def verification_mail(mail: VerificationMail, link: str, language: Language = "zh") -> MailRequested:
    """The mail in which the link has a line of its own, and is the first address in the text."""
    english, chinese = (
        f"{reason}\n{_requester(mail.requester, form)}".rstrip()
        for reason, form in zip(_REASON[mail.purpose], _REQUESTER, strict=True)
    )
    text = _text((english, chinese), _REQUEST, link, language)
    return MailRequested(mail.email, _SUBJECT[mail.purpose][language], text, mail.expires)


def _requester(requester: Requester, form: str) -> str:
    time = datetime.fromtimestamp(requester.time / 1000, UTC).strftime("%Y-%m-%d %H:%M UTC")
    return form.format(address=requester.address, client=requester.client, time=time)


def recovery_mail(email: str, ticket: str, expires: int, language: Language = "zh") -> MailRequested:
    """The mail in which the ticket has a line of its own."""
    text = _text(_RECOVERY_REASON, _RECOVERY_REQUEST, ticket, language)
    return MailRequested(email, _RECOVERY_SUBJECT[language], text, expires)


def _text(reason: tuple[str, str], request: tuple[str, str], line: str, language: Language) -> str:
    shown = 1 if language == "en" else 2
    above, before, below = ("\n".join(one[:shown]) for one in (reason, request, _OTHERWISE))
    return f"{above}\n\n{before}\n\n{line}\n\n{below}\n"
