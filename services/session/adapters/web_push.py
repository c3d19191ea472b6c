"""Encrypts notifications for devices (RFC 8291), and signs requests with the installation's identity (RFC 8292)."""

import hashlib
import hmac
import os
from collections import OrderedDict

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from services.session.store.subscriptions import PushDevice
from shared.base64url import decode, encode
from shared.vapid import private_key, public_key, public_point, public_text

MAX_PLAINTEXT = 3_993
"""The most bytes of text. A push service must accept 4,096 bytes. Of these, 86 are the header, 16 the tag and 1 the
delimiter."""
_RECORD_BYTES = 4_096
_SALT_BYTES, _KEY_BYTES, _NONCE_BYTES = 16, 16, 12
_TOKEN_SECONDS = 12 * 3_600
_RENEWED_BEFORE = 3_600
_TOKENS = 1_000
"""The number of tokens that are kept. These are the tokens of the origins used last. The number is limited, because
users choose the origins."""


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
    """The text, its delimiter, and zeros that hide the text's length. Goguma accepts only bodies that have the length
    of their record. Raises ValueError if the text is too long."""
    if len(text) > MAX_PLAINTEXT:
        raise ValueError(f"a notification has at most {MAX_PLAINTEXT} bytes")
    return (text + b"\2").ljust(MAX_PLAINTEXT + 1, b"\0")


class Vapid:
    """Encrypts notifications, and makes tokens for push services. Each token is valid for one service. `contact`: the
    operator's contact; empty if there is none."""

    def __init__(self, private: str, contact: str) -> None:
        self.public = public_text(private)
        self._key = private_key(private)
        self._contact = contact
        self._topic_key = hashlib.sha256(b"topic" + decode(private)).digest()
        self._tokens: OrderedDict[str, tuple[str, int]] = OrderedDict()

    def encrypt(self, device: PushDevice, text: bytes) -> bytes:
        """The body of a request, which only the device can read."""
        key, salt = ec.generate_private_key(ec.SECP256R1()), os.urandom(_SALT_BYTES)
        return encrypt(pad(text), decode(device.p256dh), decode(device.auth), key, salt)

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
