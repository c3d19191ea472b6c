"""Delivers mails to an SMTP server, or writes them as files into a directory, or rejects all. Never logs addresses or
texts."""

import asyncio
import hashlib
import os
import smtplib
import socket
import ssl
import tempfile
from collections.abc import Callable
from email.message import EmailMessage
from email.utils import formatdate, parseaddr
from functools import partial
from pathlib import Path

from services.auth.metrics import AuthMetrics
from shared.clock import now_ms
from shared.contract.events import MailRequested
from shared.settings import MailSettings
from shared.telemetry import log

_log = log(__name__)
_PERMANENT = 500

Transport = Callable[[MailRequested], None]
"""Blocks until the mail is delivered. Raises OSError or MailDeferred when a retry may succeed, else MailRejected."""


class MailDeferred(Exception):
    """The server does not accept the mail now."""


class MailRejected(Exception):
    """The server never accepts this mail."""


class Mailer:
    """Consumes MailRequested. A mail that is delivered twice has the same Message-ID both times."""

    def __init__(self, settings: MailSettings, metrics: AuthMetrics) -> None:
        self._transport = _transport(settings)
        self._metrics = metrics

    async def deliver(self, mail: MailRequested) -> None:
        self._metrics.mails.labels(await self._try_delivery(mail)).inc()

    async def _try_delivery(self, mail: MailRequested) -> str:
        """The metric's label. Raises for a retry."""
        if mail.expires <= now_ms():
            return "expired"
        try:
            await asyncio.to_thread(self._transport, mail)
        except MailRejected as error:
            _log.warning("mail rejected", error=str(error))
            return "refused"
        except Exception:
            self._metrics.mails.labels("delayed").inc()
            raise
        return "sent"


def _transport(settings: MailSettings) -> Transport:
    if not settings.is_on:
        return _reject
    return partial(_send if settings.smtp_host else _write_file, settings)


def message_name(mail: MailRequested) -> str:
    """Identical for every attempt; sorts by expiry."""
    digest = hashlib.sha256(f"{mail.to}\0{mail.text}".encode()).hexdigest()
    return f"{mail.expires}-{digest[:16]}"


def _message(settings: MailSettings, mail: MailRequested, encoding: str) -> EmailMessage:
    message = EmailMessage()
    message["From"] = settings.sender
    message["To"] = mail.to
    message["Subject"] = mail.subject
    message["Date"] = formatdate(usegmt=True)
    message["Message-ID"] = f"<{message_name(mail)}@{parseaddr(settings.sender)[1].rpartition('@')[2] or 'localhost'}>"
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(mail.text, cte=encoding)
    return message


def _write_file(settings: MailSettings, mail: MailRequested) -> None:
    """Writes the file beside the directory and moves it in, so that readers see complete mails only."""
    settings.outbox.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle, new = tempfile.mkstemp(prefix=f".{settings.outbox.name}-", dir=settings.outbox.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(_message(settings, mail, "8bit").as_bytes())
        os.replace(new, settings.outbox / f"{message_name(mail)}.eml")
    except BaseException:
        Path(new).unlink(missing_ok=True)
        raise


def _reject(mail: MailRequested) -> None:
    """One from before mails were switched off."""
    raise MailRejected("mails are switched off")


def _send(settings: MailSettings, mail: MailRequested) -> None:
    message = _message(settings, mail, "base64")
    try:
        with _connect_and_log_in(settings) as server:
            server.send_message(message)
    except smtplib.SMTPRecipientsRefused as error:
        code = max((code for code, _ in error.recipients.values()), default=0)
        raise (MailRejected if code >= _PERMANENT else MailDeferred)(f"recipient rejected: {code}") from None
    except smtplib.SMTPResponseException as error:
        raise MailDeferred(f"{type(error).__name__}: {error.smtp_code}") from None
    except smtplib.SMTPException as error:
        raise MailDeferred(type(error).__name__) from None


def check(settings: MailSettings) -> None:
    """Connects and logs in; sends nothing. Raises OSError, smtplib.SMTPException."""
    with _connect_and_log_in(settings) as server:
        server.noop()


def _connect_and_log_in(settings: MailSettings) -> smtplib.SMTP:
    server = _connect(settings)
    try:
        if settings.smtp_user:
            server.login(settings.smtp_user, settings.smtp_password.get_secret_value())
    except BaseException:
        server.close()
        raise
    return server


def _connect(settings: MailSettings) -> smtplib.SMTP:
    """Verifies certificates against the system's authorities."""
    host, port, own_name = settings.smtp_host, settings.smtp_port, socket.gethostname()
    if settings.smtp_security == "tls":
        context = ssl.create_default_context()
        return smtplib.SMTP_SSL(host, port, own_name, timeout=settings.smtp_timeout_seconds, context=context)
    server = smtplib.SMTP(host, port, own_name, timeout=settings.smtp_timeout_seconds)
    if settings.smtp_security == "starttls":
        try:
            server.starttls(context=ssl.create_default_context())
        except BaseException:
            server.close()
            raise
    return server
