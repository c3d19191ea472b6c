"""A mail server that stores its mails and finds the links in them."""

import re
import time
from email import message_from_bytes, policy
from email.message import EmailMessage
from types import TracebackType
from typing import Any
from urllib.error import HTTPError
from urllib.request import ProxyHandler, build_opener

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

from local.ports import free_port
from tests.support.waiting import WAIT_SECONDS

_LINK = re.compile(r"https?://\S+/verify/\S+")
_TICKET = re.compile(r"^[0-9a-f]{32}$", re.MULTILINE)


class Postbox:
    """A mail server. It listens between `__enter__` and `__exit__`, and may be opened again on the same port."""

    def __init__(self) -> None:
        self.port = free_port()
        self.mails: list[tuple[str, str]] = []
        """The address and the text of each mail, in order of arrival."""
        self.messages: list[EmailMessage] = []
        """The same mails in full."""
        self._controller: Controller | None = None

    def __enter__(self) -> "Postbox":
        self.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def flags(self, *settings: str) -> list[str]:
        """Returns the options of a system that sends its mails to this server, and whose users register by a link in a
        mail.
        """
        mail = (
            "verification.registration=true", "mail.smtp_host=127.0.0.1", f"mail.smtp_port={self.port}",
            "mail.smtp_security=none",
        )  # fmt: skip
        return [word for setting in (*mail, *settings) for word in ("--set", setting)]

    def open(self) -> None:
        self._controller = Controller(self, hostname="127.0.0.1", port=self.port)
        self._controller.start()

    def close(self) -> None:
        if self._controller is not None:
            self._controller.stop()
            self._controller = None

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        """aiosmtpd calls this for each mail."""
        content: Any = envelope.content
        message = message_from_bytes(content, EmailMessage, policy=policy.default)
        self.messages += [message for _ in envelope.rcpt_tos]
        self.mails += [(address, message.get_content()) for address in envelope.rcpt_tos]
        return "250 kept"

    def link(self, address: str, after: int = 0) -> str:
        """Returns the link in the newest mail to this address. The first `after` mails do not count."""
        match = _LINK.search(self._newest(address, after))
        assert match is not None
        return match[0]

    def ticket(self, address: str, after: int = 0) -> str:
        """Returns the ticket for a new password, from the same mail as `link` reads."""
        match = _TICKET.search(self._newest(address, after))
        assert match is not None
        return match[0]

    def message(self, address: str, after: int = 0) -> EmailMessage:
        """Returns the newest mail to this address. The first `after` mails do not count."""
        self._newest(address, after)
        return [one for one in self.messages[after:] if one["To"] == address][-1]

    def _newest(self, address: str, after: int) -> str:
        deadline = time.monotonic() + WAIT_SECONDS
        while not (found := [text for to, text in self.mails[after:] if to == address]):
            assert time.monotonic() < deadline, f"no mail for {address}"
            time.sleep(0.02)
        return found[-1]


def visit(link: str) -> int:
    """Opens a link, and presses the button of its page, as a user does. Returns the last HTTP status."""
    status, page = fetch(link)
    return fetch(link, b"")[0] if b'<form method="post">' in page else status


def fetch(link: str, form: bytes | None = None) -> tuple[int, bytes]:
    try:
        with build_opener(ProxyHandler({})).open(link, form, timeout=WAIT_SECONDS) as response:
            return response.status, response.read()
    except HTTPError as error:
        with error:
            return error.code, error.read()
