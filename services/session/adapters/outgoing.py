"""Sends notifications to push services, and messages of outgoing webhooks to addresses on the Internet. Stores webhooks
that have stopped as dead letters, and passes mails to the auth service. Redirects are not followed."""

import ssl
import time
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import nats.errors

from services.session.metrics import SessionMetrics
from services.session.service.ports import PUSHES_AT_ONCE, PostFailed, PushFailed, PushMessage, PushResult
from services.session.service.webhook_turns import places
from services.session.store.subscriptions import PushDevice
from shared.bus.client import Bus
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.events import MailRequested, OutgoingWebhooksDue
from shared.contract.subjects import MAIL_DIGEST, OUTGOING_WEBHOOKS_DUE
from shared.outgoing_addresses import AddressRules
from shared.outgoing_http import OutgoingFailed, OutgoingHttp
from shared.settings import Settings
from shared.settings.messages import OutgoingWebhookSettings

if TYPE_CHECKING:
    from services.session.adapters.web_push import Vapid

_TTL_SECONDS = 7 * 86_400
_LONGEST_RETRY_SECONDS = 86_400
_IDLE_SECONDS = 20.0
"""A connection to a push service stays open for this time without a request. The handshake of a new connection would be
most of the work of a notification. Push services keep connections open for longer."""
_GONE, _THROTTLED, _REDIRECTS, _SERVER_ERROR = (404, 410), 429, range(300, 400), 500
_UNAUTHORIZED = (401, 403)
_SERVICES = ("fcm.googleapis.com", "push.services.mozilla.com", "push.apple.com", "notify.windows.com")


def service_of(origin: str, own: Sequence[str] = ()) -> str:
    """The label for metrics. Users choose the origins, so only the services of browsers, and the hosts `own` of the
    operator, have their own labels."""
    host = origin.removeprefix("https://").partition(":")[0]
    if host in own:
        return host
    return next((one for one in _SERVICES if f".{host}".endswith(f".{one}")), "other")


class HttpPushSender:
    """Implements the port PushSender. A notification is encrypted for its device (RFC 8291) and signed with the
    installation's identity (RFC 8292)."""

    def __init__(self, settings: Settings, metrics: SessionMetrics, context: ssl.SSLContext | None = None) -> None:
        self._settings, push = settings, settings.push
        rules = AddressRules(push.permitted_networks)
        self._http = OutgoingHttp(rules, push.timeout_seconds, PUSHES_AT_ONCE, context, idle_seconds=_IDLE_SECONDS)
        self._metrics = metrics

    @cached_property
    def _keys(self) -> "Mapping[str, Vapid]":
        """The installation's identities by their public keys."""
        from services.session.adapters.web_push import Vapid  # imported here, because cryptography takes 9 MiB

        push, edge = self._settings.push, self._settings.edge
        contact = push.contact or (edge.public_url if edge.has_https else "")
        keys = (push.key.get_secret_value(), push.previous_key.get_secret_value())
        return {one.public: one for one in (Vapid(key, contact) for key in keys if key)}

    def close(self) -> None:
        self._http.close()

    async def send(self, device: PushDevice, message: PushMessage) -> None:
        """Raises PushFailed."""
        service = service_of(device.origin, self._settings.push.own_services)
        try:
            await self._send(device, message)
        except PushFailed as failed:
            self._metrics.pushes.labels(failed.result, service).inc()
            raise
        self._metrics.pushes.labels("delivered", service).inc()

    async def _send(self, device: PushDevice, message: PushMessage) -> None:
        vapid = self._keys.get(device.vapid_key)
        if vapid is None:
            raise PushFailed(PushResult.REJECTED, "the subscription is bound to a key that this server does not have")
        headers = {
            "Content-Type": "application/octet-stream",
            "Content-Encoding": "aes128gcm",
            "TTL": str(_TTL_SECONDS),
            "Urgency": "high" if message.urgent else "normal",
            "Topic": vapid.topic(device, message.tag),
            "Authorization": vapid.authorization(device.origin, int(time.time())),
        }
        try:
            response = await self._http.request("POST", device.endpoint, headers, vapid.encrypt(device, message.text))
        except OutgoingFailed as error:
            raise PushFailed(PushResult.FAILED, str(error)) from error
        if response.status in _UNAUTHORIZED:
            vapid.forget(device.origin)
        _check(response.status, {name.decode(): value.decode("latin-1") for name, value in response.headers})


def _check(status: int, headers: Mapping[str, str]) -> None:
    """Raises PushFailed unless the service has accepted the notification."""
    if 200 <= status < 300:
        return
    text = f"status {status}"
    if status in _GONE:
        raise PushFailed(PushResult.GONE, text)
    if status == _THROTTLED or status >= _SERVER_ERROR:
        result = PushResult.THROTTLED if status == _THROTTLED else PushResult.FAILED
        raise PushFailed(result, text, _retry_seconds(headers.get("retry-after", "")))
    raise PushFailed(PushResult.FAILED if status in _REDIRECTS else PushResult.REJECTED, text)


def _retry_seconds(value: str) -> float:
    """The value of a header in seconds. A date counts as 0."""
    return min(float(value), _LONGEST_RETRY_SECONDS) if value.isascii() and value.isdecimal() else 0.0


_WEBHOOK_GONE = 410


class HttpWebhookPoster:
    """Implements the port WebhookPoster. Of a response, only the status is used."""

    def __init__(self, settings: OutgoingWebhookSettings) -> None:
        rules, at_once = AddressRules(settings.permitted_networks), places(settings.concurrent)
        self._http = OutgoingHttp(rules, settings.timeout_seconds, at_once)

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
            raise PostFailed(f"status {response.status}", is_gone=response.status == _WEBHOOK_GONE)


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
