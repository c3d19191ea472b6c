"""Sends notifications to push services. A notification is encrypted for its device (RFC 8291) and signed with the
installation's identity (RFC 8292). The guard that checks addresses named by users also checks these requests. Redirects
are not followed."""

import hashlib
import hmac
import os
import ssl
import time
from collections import OrderedDict
from collections.abc import Mapping

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from services.session.metrics import SessionMetrics
from services.session.service.ports import PUSHES_AT_ONCE, PushFailed, PushMessage, PushResult
from services.session.store.subscriptions import PushDevice
from shared.base64url import encode
from shared.outgoing_addresses import AddressRules
from shared.outgoing_http import OutgoingFailed, OutgoingHttp
from shared.settings import Settings
from shared.vapid import decode, private_key, public_key, public_point, public_text

MAX_PLAINTEXT = 3_993
"""The most bytes of text. A push service must accept 4,096 bytes. Of these, 86 are the header, 16 the tag and 1 the
delimiter."""
_PADDED_TO = 512
_RECORD_BYTES = 4_096
_SALT_BYTES, _KEY_BYTES, _NONCE_BYTES = 16, 16, 12
_TTL_SECONDS = 7 * 86_400
_TOKEN_SECONDS = 12 * 3_600
_RENEWED_BEFORE = 3_600
_TOKENS = 1_000
"""The number of tokens that are kept. These are the tokens of the origins used last. The number is limited, because
users choose the origins."""
_LONGEST_RETRY_SECONDS = 86_400
_IDLE_SECONDS = 20.0
"""How long a connection to a push service may be idle. Most of the work of a notification would be the handshake of a
new connection. Push services keep connections open for longer."""
_GONE, _THROTTLED, _REDIRECTS, _SERVER_ERROR = (404, 410), 429, range(300, 400), 500
_UNAUTHORIZED = (401, 403)
_SERVICES = ("fcm.googleapis.com", "push.services.mozilla.com", "push.apple.com", "notify.windows.com")


def service_of(origin: str) -> str:
    """The label for metrics. Users choose the origins, so only the services of browsers have their own labels."""
    host = origin.removeprefix("https://").partition(":")[0]
    return next((one for one in _SERVICES if f".{host}".endswith(f".{one}")), "other")


def encrypt(padded: bytes, point: bytes, auth: bytes, key: ec.EllipticCurvePrivateKey, salt: bytes) -> bytes:
    """The body of a request, one record of `aes128gcm`. `padded`: see `pad`. `point`, `auth`: the keys of the device.
    `key`, `salt`: made for this request only."""
    own = public_point(key.public_key())
    secret = key.exchange(ec.ECDH(), public_key(point))
    material = HKDF(SHA256(), 32, auth, b"WebPush: info\0" + point + own).derive(secret)
    content_key = HKDF(SHA256(), _KEY_BYTES, salt, b"Content-Encoding: aes128gcm\0").derive(material)
    nonce = HKDF(SHA256(), _NONCE_BYTES, salt, b"Content-Encoding: nonce\0").derive(material)
    sealed = AESGCM(content_key).encrypt(nonce, padded, None)
    return salt + _RECORD_BYTES.to_bytes(4) + len(own).to_bytes(1) + own + sealed


def pad(text: bytes) -> bytes:
    """The text, its delimiter, and zeros that hide the text's exact length. Raises ValueError if the text is too
    long."""
    if len(text) > MAX_PLAINTEXT:
        raise ValueError(f"a notification has at most {MAX_PLAINTEXT} bytes")
    size = min(MAX_PLAINTEXT + 1, -(-(len(text) + 1) // _PADDED_TO) * _PADDED_TO)
    return (text + b"\2").ljust(size, b"\0")


class Vapid:
    """Makes tokens for push services. Each token is valid for one service. `contact`: the operator's contact; empty if
    there is none."""

    def __init__(self, private: str, contact: str) -> None:
        self.public = public_text(private)
        self._key = private_key(private)
        self._contact = contact
        self._topic_key = hashlib.sha256(b"topic" + decode(private)).digest()
        self._tokens: OrderedDict[str, tuple[str, int]] = OrderedDict()

    def authorization(self, origin: str, now: int) -> str:
        """The header of a request to this origin. `now`: Unix seconds."""
        token, expires = self._tokens.get(origin, ("", 0))
        if not _RENEWED_BEFORE <= expires - now <= _TOKEN_SECONDS:  # the upper bound matters if the clock was set back
            expires = now + _TOKEN_SECONDS
            claims = {"aud": origin, "exp": expires} | ({"sub": self._contact} if self._contact else {})
            token = jwt.encode(claims, self._key, "ES256")
            self._tokens[origin] = token, expires
            if len(self._tokens) > _TOKENS:
                self._tokens.popitem(last=False)
        self._tokens.move_to_end(origin)
        return f"vapid t={token}, k={self.public}"

    def forget(self, origin: str) -> None:
        """Make a new token for the next request."""
        self._tokens.pop(origin, None)

    def topic(self, device: PushDevice, tag: str) -> str:
        """The topic of a notification. A notification replaces an earlier one with the same topic that waits at the
        push service. The topic does not show the chat's number to the push service."""
        return encode(hmac.digest(self._topic_key, f"{device.id}:{tag}".encode(), "sha256")[:24])


class HttpPushSender:
    """Implements the port PushSender."""

    def __init__(self, settings: Settings, metrics: SessionMetrics, context: ssl.SSLContext | None = None) -> None:
        push = settings.push
        rules = AddressRules(push.permitted_networks)
        self._http = OutgoingHttp(rules, push.timeout_seconds, PUSHES_AT_ONCE, context, idle_seconds=_IDLE_SECONDS)
        contact = push.contact or (settings.edge.public_url if settings.edge.has_https else "")
        keys = (push.key.get_secret_value(), push.previous_key.get_secret_value())
        self._keys = {one.public: one for one in (Vapid(key, contact) for key in keys if key)}
        self._metrics = metrics

    def close(self) -> None:
        self._http.close()

    async def send(self, device: PushDevice, message: PushMessage) -> None:
        """Raises PushFailed."""
        service = service_of(device.origin)
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
        key, salt = ec.generate_private_key(ec.SECP256R1()), os.urandom(_SALT_BYTES)
        body = encrypt(pad(message.text), decode(device.p256dh), decode(device.auth), key, salt)
        headers = {
            "Content-Type": "application/octet-stream",
            "Content-Encoding": "aes128gcm",
            "TTL": str(_TTL_SECONDS),
            "Urgency": "high" if message.urgent else "normal",
            "Topic": vapid.topic(device, message.tag),
            "Authorization": vapid.authorization(device.origin, int(time.time())),
        }
        try:
            response = await self._http.request("POST", device.endpoint, headers, body)
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
