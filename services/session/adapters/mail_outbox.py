"""Passes mails to users to the auth service, which sends them."""

import nats.errors

from shared.bus.client import Bus
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.events import MailRequested
from shared.contract.subjects import MAIL_DIGEST


class MailOutbox:
    """Implements the port PublishMail."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def store(self, mail: MailRequested, key: str) -> None:
        try:
            await self._bus.publish_event(MAIL_DIGEST, mail, key=key)
        except (nats.errors.Error, TimeoutError) as failed:
            raise RequestError(ErrorCode.UNAVAILABLE, "a mail was not stored") from failed
