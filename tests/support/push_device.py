"""A device that receives notifications from a push service, written from RFC 8291 and RFC 8292.

It has keys, and decrypts.
"""

import base64
import json
from typing import Any, NamedTuple

import jwt
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from tests.support.webhook_receiver import Received

_CURVE = ec.SECP256R1()


def text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def data(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _derived(material: bytes, salt: bytes, info: bytes, size: int) -> bytes:
    return HKDF(hashes.SHA256(), size, salt, info).derive(material)


class PushNotification(NamedTuple):
    """A decrypted notification. `claims` are the claims in the server's token."""

    content: dict[str, Any]
    claims: dict[str, Any]
    headers: dict[str, str]

    @property
    def shown(self) -> dict[str, Any]:
        notification: dict[str, Any] = self.content["notification"]
        return notification


class PushedDevice:
    def __init__(self, private: str = "", auth: str = "") -> None:
        number = int.from_bytes(data(private)) if private else 0
        self._key = ec.derive_private_key(number, _CURVE) if private else ec.generate_private_key(_CURVE)
        self._auth = data(auth) if auth else b"0123456789abcdef"

    @property
    def point(self) -> bytes:
        form = serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
        return self._key.public_key().public_bytes(*form)

    def members(self, endpoint: str) -> dict[str, str]:
        """Returns the members of the operation `subscribe`, as an app for UnifiedPush sends them."""
        keys = {"p256dh": text(self.point), "auth": text(self._auth)}
        return {"endpoint": endpoint, "kind": "unifiedpush", **keys}

    def decrypt(self, body: bytes) -> bytes:
        salt, size, length = body[:16], int.from_bytes(body[16:20]), body[20]
        theirs, sealed = body[21 : 21 + length], body[21 + length :]
        assert (length, size) == (65, 4096)
        assert len(body) <= 4096
        secret = self._key.exchange(ec.ECDH(), ec.EllipticCurvePublicKey.from_encoded_point(_CURVE, theirs))
        material = _derived(secret, self._auth, b"WebPush: info\0" + self.point + theirs, 32)
        key = _derived(material, salt, b"Content-Encoding: aes128gcm\0", 16)
        nonce = _derived(material, salt, b"Content-Encoding: nonce\0", 12)
        padded = AESGCM(key).decrypt(nonce, sealed, None).rstrip(b"\0")
        assert padded[-1:] == b"\2", "the last record"
        return padded[:-1]

    def read(self, received: Received, server_key: str) -> PushNotification:
        """Checks the token, as a push service does. Decrypts the text, as a device does."""
        kind, _, parameters = received.headers["authorization"].partition(" ")
        named = dict(one.strip().split("=", 1) for one in parameters.split(","))
        assert (kind, named["k"]) == ("vapid", server_key)
        public = ec.EllipticCurvePublicKey.from_encoded_point(_CURVE, data(named["k"]))
        host = f"https://{received.headers['host']}"
        claims = jwt.decode(named["t"], public, ["ES256"], audience=host)
        return PushNotification(json.loads(self.decrypt(received.body)), claims, received.headers)
