"""Texts of mails."""

from services.auth.domain import VerificationPurpose as Purpose
from services.auth.store.verifications import VerificationMail
from shared.contract.events import MailRequested

_SUBJECT = {
    Purpose.REGISTER: "Confirm your e-mail address / 确认您的邮箱",
    Purpose.LOGIN: "Confirm your login / 确认登录",
}
_REASON = {
    Purpose.REGISTER: "An account is being registered with this e-mail address.\n有人正在用此邮箱注册账号。",
    Purpose.LOGIN: "Somebody logs in to your account after failed attempts.\n您的账号在多次登录失败后有新的登录。",
}


def verification(mail: VerificationMail, link: str) -> MailRequested:
    """Puts the link alone on a line, as the first address in the text."""
    text = (
        f"{_REASON[mail.purpose]}\n\n"
        f"If it is you, open this link:\n如是您本人操作，请打开此链接：\n\n{link}\n\n"
        "If it is not you, ignore this mail.\n如非本人操作，请忽略此邮件。\n"
    )
    return MailRequested(mail.email, _SUBJECT[mail.purpose], text, mail.expires)
