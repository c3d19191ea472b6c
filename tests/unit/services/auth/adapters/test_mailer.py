"""Mails are written to files, or sent to a real SMTP server: unencrypted, with STARTTLS, with TLS, and with a login."""

import email
import email.policy
import socket
import ssl
import stat
from base64 import b64encode
from collections.abc import Collection, Mapping
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiosmtpd.smtp import AuthResult, LoginPassword
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from prometheus_client import CollectorRegistry
from pydantic import SecretStr

from services.auth.adapters.mailer import MailDeferred, Mailer
from services.auth.metrics import AuthMetrics
from shared.clock import now_ms
from shared.contract.events import MailRequested
from shared.contract.ids import AccountId
from shared.settings.accounts import MailSettings
from tests.support.small_disk import small_disk
from tests.unit.services.auth.conftest import MakeSmtpServer
from tests.unit.services.auth.smtp_server import FakeSmtpServer

LATER = now_ms() + 86_400_000  # pytest computes this at the start, so the time must be after the end of even a long run
MAIL = MailRequested("ann@example.org", "Hello / 你好", "你好\n\nhttp://127.0.0.1/verify/a.b\n", LATER)


def smtp(server: FakeSmtpServer, security: str = "none", **more: Any) -> MailSettings:
    return MailSettings(
        smtp_host="127.0.0.1", smtp_port=server.port, smtp_security=security, sender="Us <us@chat.example>", **more
    )


def mailer_of(settings: MailSettings, metrics: AuthMetrics, **verified: str) -> Mailer:
    """Makes a mailer. `verified` is the verified address of account 7, if it has one."""

    async def find(accounts: Collection[AccountId]) -> Mapping[AccountId, str]:
        assert accounts == [7]
        return {AccountId(7): address for address in verified.values()}

    return Mailer(settings, metrics, find)


@pytest.fixture
def certificate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    """A server certificate that this process trusts."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mail.test")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path / "mail.pem"
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.write_bytes(pem + made.public_bytes(Encoding.PEM))
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context


def sent(registry: CollectorRegistry) -> dict[str, float]:
    families = [family for family in registry.collect() if family.name == "dragoman_auth_mails"]
    return {s.labels["result"]: s.value for f in families for s in f.samples if s.name.endswith("_total")}


async def test_each_file_is_one_complete_mail(
    tmp_path: Path, metrics: AuthMetrics, registry: CollectorRegistry
) -> None:
    outbox = tmp_path / "out box" / "mail"
    mailer = mailer_of(MailSettings(outbox=outbox), metrics)
    await mailer.deliver(MAIL)
    await mailer.deliver(MAIL)
    await mailer.deliver(MailRequested("bob@example.org", "x", "y", LATER))
    first, second = sorted(outbox.iterdir(), key=lambda path: path.stat().st_mtime_ns)
    message = email.message_from_bytes(first.read_bytes(), policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    assert (message["To"], message["Subject"]) == (MAIL.to, MAIL.subject)
    assert message.get_content() == MAIL.text
    assert second.suffix == first.suffix == ".eml"
    assert stat.S_IMODE(outbox.stat().st_mode) == 0o700
    assert sent(registry) == {"sent": 3}


async def test_the_outbox_may_be_a_volume(tmp_path: Path, metrics: AuthMetrics) -> None:
    with small_disk(tmp_path / "mail", 1) as disk:
        await mailer_of(MailSettings(outbox=disk.path), metrics).deliver(MAIL)
        assert [file.suffix for file in disk.path.iterdir()] == [".eml"]


async def test_smtp_without_encryption(make_smtp_server: MakeSmtpServer, metrics: AuthMetrics) -> None:
    server = make_smtp_server()
    await server.start()
    mailer = mailer_of(smtp(server), metrics)
    await mailer.deliver(MAIL)
    await mailer.deliver(MAIL)
    message = server.mails[0]
    assert (message["From"], message["To"], message["Subject"]) == ("Us <us@chat.example>", MAIL.to, MAIL.subject)
    assert message.get_content().replace("\r\n", "\n") == MAIL.text
    assert message["Message-ID"].endswith("@chat.example>")
    assert message["Message-ID"] == server.mails[1]["Message-ID"]
    assert server.recipients == [MAIL.to] * 2


@pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")
@pytest.mark.parametrize("security", ["starttls", "tls"])
async def test_smtp_with_encryption_and_login(
    make_smtp_server: MakeSmtpServer, certificate: ssl.SSLContext, metrics: AuthMetrics, security: str
) -> None:
    logins: list[LoginPassword] = []

    def authenticate(_server: object, _session: object, _envelope: object, _mechanism: str, data: Any) -> AuthResult:
        logins.append(data)
        return AuthResult(success=data.password == b"mail secret", handled=False)

    options: dict[str, Any] = {"tls_context": certificate, "require_starttls": True}
    server = make_smtp_server(
        authenticator=authenticate, auth_required=True, auth_require_tls=security == "starttls",
        **(options if security == "starttls" else {"tls": certificate}),
    )  # fmt: skip
    await server.start()
    good = smtp(server, security, smtp_user="us", smtp_password=SecretStr("mail secret"))
    await mailer_of(good, metrics).deliver(MAIL)
    assert [login.login for login in logins] == [b"us"]
    assert server.secured == [True]
    with pytest.raises(MailDeferred) as caught:
        await mailer_of(good.model_copy(update={"smtp_password": SecretStr("other")}), metrics).deliver(MAIL)
    assert "other" not in str(caught.value)


async def test_a_server_without_tls_receives_nothing(make_smtp_server: MakeSmtpServer, metrics: AuthMetrics) -> None:
    server = make_smtp_server()
    await server.start()
    with pytest.raises(MailDeferred):
        await mailer_of(smtp(server, "starttls"), metrics).deliver(MAIL)
    assert server.mails == []


async def test_an_untrusted_server_receives_nothing(
    make_smtp_server: MakeSmtpServer, certificate: ssl.SSLContext, metrics: AuthMetrics, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = make_smtp_server(tls=certificate)
    await server.start()
    monkeypatch.setenv("SSL_CERT_FILE", ssl.get_default_verify_paths().openssl_cafile)
    with pytest.raises(ssl.SSLCertVerificationError):
        await mailer_of(smtp(server, "tls"), metrics).deliver(MAIL)
    assert server.mails == []


async def test_a_mail_is_retried_while_the_server_is_away_or_busy(
    make_smtp_server: MakeSmtpServer, metrics: AuthMetrics, registry: CollectorRegistry
) -> None:
    server = make_smtp_server()
    mailer = mailer_of(smtp(server), metrics)
    with pytest.raises(OSError, match="refused"):
        await mailer.deliver(MAIL)
    await server.start()
    server.rejections = ["451 later"]
    with pytest.raises(MailDeferred) as caught:
        await mailer.deliver(MAIL)
    assert MAIL.to not in f"{caught.value!r}"
    await mailer.deliver(MAIL)
    assert len(server.mails) == 1
    assert sent(registry) == {"delayed": 2, "sent": 1}


async def test_a_silent_mail_server_times_out(metrics: AuthMetrics) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        settings = MailSettings(smtp_host="127.0.0.1", smtp_port=port, smtp_security="none", smtp_timeout_seconds=0.1)
        with pytest.raises(MailDeferred):
            await mailer_of(settings, metrics).deliver(MAIL)


async def test_a_rejected_or_expired_mail_is_not_retried(
    make_smtp_server: MakeSmtpServer, metrics: AuthMetrics, registry: CollectorRegistry
) -> None:
    server = make_smtp_server()
    await server.start()
    mailer = mailer_of(smtp(server), metrics)
    server.rejections = ["550 nobody here"]
    await mailer.deliver(MAIL)
    await mailer.deliver(MailRequested(MAIL.to, "late", "late", now_ms() - 1))
    assert server.mails == []
    assert sent(registry) == {"refused": 1, "expired": 1}


@pytest.mark.parametrize("hidden", ["b.example, c@d.example", "b.example\r\nSubject: other\r\n\r\nother text"])
async def test_no_address_contains_other_recipients_or_a_header(
    make_smtp_server: MakeSmtpServer, metrics: AuthMetrics, registry: CollectorRegistry, tmp_path: Path, hidden: str
) -> None:
    """The library that writes mails decodes encoded words."""
    server = make_smtp_server()
    await server.start()
    mail = msgspec.structs.replace(MAIL, to=f"a@=?utf-8?b?{b64encode(hidden.encode()).decode()}?=")
    for settings in (smtp(server), MailSettings(outbox=tmp_path)):
        await mailer_of(settings, metrics).deliver(mail)
    assert (server.mails, sent(registry)) == ([], {"refused": 2})


async def test_a_mail_to_an_account_goes_to_its_verified_address_and_can_be_unsubscribed(
    make_smtp_server: MakeSmtpServer, metrics: AuthMetrics, registry: CollectorRegistry
) -> None:
    """Mail programs find a long link in angle brackets, so it must stay in one piece."""
    server = make_smtp_server()
    await server.start()
    link = f"https://chat.example/{'x' * 120}/unsubscribe/{'A' * 32}"
    mail = MailRequested("", "3 unread messages", "…", LATER, AccountId(7), link)
    await mailer_of(smtp(server), metrics).deliver(mail)
    assert server.mails == []
    await mailer_of(smtp(server), metrics, address="ann@example.org").deliver(mail)
    (message,) = server.mails
    assert server.recipients == ["ann@example.org"]
    assert f"\r\nList-Unsubscribe: <{link}>\r\n".encode() in server.contents[0]
    assert message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert sent(registry) == {"refused": 1, "sent": 1}
