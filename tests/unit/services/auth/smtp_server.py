"""A real SMTP server for tests."""

import asyncio
import email
import email.policy
import ssl
from email.message import EmailMessage
from typing import Any

from aiosmtpd.smtp import SMTP, Envelope, Session

from local.ports import free_port


class FakeSmtpServer:
    """An SMTP server in the event loop of the test.

    It rejects recipients with `rejections` one after the other, and then accepts mail.
    """

    def __init__(self, **options: Any) -> None:
        self.port = free_port()
        self.tls: ssl.SSLContext | None = options.pop("tls", None)
        self.options = options
        self.mails: list[EmailMessage] = []
        self.contents: list[bytes] = []
        self.recipients: list[str] = []
        self.secured: list[bool] = []
        self.rejections: list[str] = []
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._protocol, "127.0.0.1", self.port, ssl=self.tls)

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    def _protocol(self) -> SMTP:
        return SMTP(self, hostname="mail.test", enable_SMTPUTF8=True, **self.options)

    async def handle_RCPT(self, _s: SMTP, _session: Session, envelope: Envelope, to: str, _options: object) -> str:
        if self.rejections:
            return self.rejections.pop(0)
        envelope.rcpt_tos.append(to)
        return "250 OK"

    async def handle_DATA(self, _server: SMTP, session: Session, envelope: Envelope) -> str:
        assert isinstance(envelope.content, bytes)
        message = email.message_from_bytes(envelope.content, policy=email.policy.default)
        assert isinstance(message, EmailMessage)
        self.mails.append(message)
        self.contents.append(envelope.content)
        self.recipients += envelope.rcpt_tos
        self.secured.append(session.ssl is not None or self.tls is not None)
        return "250 OK"
