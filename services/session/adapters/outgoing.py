"""Posts messages for outgoing webhooks to addresses on the Internet, stores webhooks that have stopped as dead letters,
and passes mails to the auth service. Of a response, only the status is used."""

import ssl

import nats.errors

from services.session.service.ports import PostFailed
from services.session.service.webhook_turns import places
from shared.bus.client import Bus
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.events import MailRequested, OutgoingWebhooksDue
from shared.contract.subjects import MAIL_DIGEST, OUTGOING_WEBHOOKS_DUE
from shared.outgoing_addresses import AddressRules
from shared.outgoing_http import OutgoingFailed, OutgoingHttp
from shared.settings.messages import OutgoingWebhookSettings

_GONE = 410


class HttpWebhookPoster:
    """Implements the port WebhookPoster."""

    def __init__(self, settings: OutgoingWebhookSettings, context: ssl.SSLContext | None = None) -> None:
        rules, at_once = AddressRules(settings.permitted_networks), places(settings.concurrent)
        self._http = OutgoingHttp(rules, settings.timeout_seconds, at_once, context)

    def close(self) -> None:
        self._http.close()

    async def post(self, endpoint: str, headers: dict[str, str], body: bytes) -> None:
        """Raises PostFailed."""
        try:
            named = {"Content-Type": "application/json", **headers}
            response = await self._http.request("POST", endpoint, named, body)
        except OutgoingFailed as error:
            raise PostFailed(str(error)) from error
        if not 200 <= response.status < 300:
            raise PostFailed(f"status {response.status}", is_gone=response.status == _GONE)


class DeadWebhooks:
    """Implements the port GiveUpWebhook. When an operator retries the dead letter, the webhook continues."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def store(self, event: OutgoingWebhooksDue, error: str, attempts: int) -> None:
        try:
            await self._bus.store_dead_letter(OUTGOING_WEBHOOKS_DUE, event, error, attempts)
        except nats.errors.Error as failed:
            raise RequestError(ErrorCode.UNAVAILABLE, "a dead letter was not stored") from failed


class MailOutbox:
    """Implements the port PublishMail. The auth service sends the mails."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def store(self, mail: MailRequested, key: str) -> None:
        try:
            await self._bus.publish_event(MAIL_DIGEST, mail, key=key)
        except (nats.errors.Error, TimeoutError) as failed:
            raise RequestError(ErrorCode.UNAVAILABLE, "a mail was not stored") from failed
