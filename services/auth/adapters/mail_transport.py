"""Delivers mails to an SMTP server, or writes them as files into a directory. Its libraries take 0.6 MiB, so auth
imports this module for the first mail."""

import hashlib
import os
import smtplib
import socket
import ssl
import tempfile
from email import policy
from email.message import EmailMessage
from email.utils import formatdate, parseaddr
from pathlib import Path

from services.auth.adapters.mailer import MailDeferred, MailRejected
from services.auth.identifiers import ENCODED_WORD
from shared.contract.events import MailRequested
from shared.settings.accounts import MailSettings

_PERMANENT = 500
_UNFOLDED = policy.default.clone(max_line_length=998)
"""The limit is so high that a link in a header is not broken into two lines."""


def message_name(mail: MailRequested) -> str:
    """The name of the mail, the same for every attempt. Names sort by the time at which their mails expire."""
    digest = hashlib.sha256(f"{mail.to}\0{mail.text}".encode()).hexdigest()
    return f"{mail.expires}-{digest[:16]}"


def _message(settings: MailSettings, mail: MailRequested, encoding: str) -> EmailMessage:
    """Raises MailRejected for an address that previous versions have accepted."""
    if ENCODED_WORD in mail.to:
        raise MailRejected("the address has an encoded word")
    message = EmailMessage()
    message["From"] = settings.sender
    message["To"] = mail.to
    message["Subject"] = mail.subject
    message["Date"] = formatdate(usegmt=True)
    message["Message-ID"] = f"<{message_name(mail)}@{parseaddr(settings.sender)[1].rpartition('@')[2] or 'localhost'}>"
    message["Auto-Submitted"] = "auto-generated"
    if mail.unsubscribe:
        message["List-Unsubscribe"] = f"<{mail.unsubscribe}>"
        message["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    message.set_content(mail.text, cte=encoding)
    message.policy = _UNFOLDED
    return message


def write_file(settings: MailSettings, mail: MailRequested) -> None:
    """Write the mail to a temporary file and rename it, so that readers of *.eml only see complete files. The temporary
    file and the mail are in the same directory, which may be a volume."""
    settings.outbox.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle, new = tempfile.mkstemp(prefix=".", dir=settings.outbox)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(_message(settings, mail, "8bit").as_bytes())
        os.replace(new, settings.outbox / f"{message_name(mail)}.eml")
    except BaseException:
        Path(new).unlink(missing_ok=True)
        raise


def send(settings: MailSettings, mail: MailRequested) -> None:
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
    """Connect and log in without sending anything. Raises OSError, smtplib.SMTPException."""
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
    """Connect, and verify certificates against the system's authorities."""
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
