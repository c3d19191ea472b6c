"""The texts of mails are complete in both languages."""

import re

import pytest

from services.auth.adapters.mailer import verification_mail
from services.auth.domain import VerificationPurpose
from services.auth.store.verifications import VerificationMail
from shared.contract.auth import Requester

LINK = "https://chat.example/verify/a.b"
CHINESE = re.compile("[\u3000-\uffff]")


def mail(purpose: VerificationPurpose) -> VerificationMail:
    requester = Requester("login", "192.0.2.1", "pipe", 1_800_000_000_000)
    return VerificationMail(purpose, "ann@chat.example", 9, requester)


def test_the_default_is_in_both_languages() -> None:
    found = verification_mail(mail(VerificationPurpose.REGISTER), LINK)
    assert found.subject == "Confirm your e-mail address / 确认您的邮箱"
    assert found.text == (
        "An account is being registered with this e-mail address.\n"
        "From 192.0.2.1, with pipe, at 2027-01-15 08:00 UTC.\n"
        "有人正在用此邮箱注册账号。\n地址 192.0.2.1，客户端 pipe，时间 2027-01-15 08:00 UTC。\n\n"
        f"If it is you, open this link:\n如是您本人操作，请打开此链接：\n\n{LINK}\n\n"
        "If it is not you, ignore this mail.\n如非本人操作，请忽略此邮件。\n"
    )


@pytest.mark.parametrize("purpose", VerificationPurpose)
def test_an_english_mail_is_in_english_alone(purpose: VerificationPurpose) -> None:
    found = verification_mail(mail(purpose), LINK, "en")
    assert not CHINESE.search(found.subject + found.text)
    assert f"\n\n{LINK}\n\n" in found.text
    assert verification_mail(mail(purpose), LINK).subject.startswith(found.subject)
