"""Answers nats-server's auth callout: each process of an edge gets the subjects of its own node.

When a user who is not in nats-server's configuration connects, nats-server requests what that user may publish and
subscribe. Requests and replies are JWTs with the algorithm `ed25519-nkey`. The keys in these JWTs are nkeys: the base32
form of a type byte, the key and a CRC-16. Only nats-server can publish requests, because it denies the subject of these
requests to every connection.
"""

import binascii
import hashlib
from base64 import b32encode
from hmac import compare_digest
from typing import Any

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from shared import base64url
from shared.bus.node_identity import owns, split_password
from shared.contract.ids import NodeId
from shared.contract.permissions import NODE_USER, node_publishes, node_subscribes
from shared.settings.accounts import CalloutSettings
from shared.telemetry import log

_log = log(__name__)
_HEADER = {"typ": "JWT", "alg": "ed25519-nkey"}
_ACCOUNT_TYPE = b"\0"
"""The type byte of an account's nkey, which begins with A."""
_NATS_ACCOUNT = "$G"
"""nats-server puts all users into this account if its configuration has no accounts."""
_REPLY = {"max": 1, "ttl": 60_000_000_000}
"""For each received request, the node may send one reply within this number of nanoseconds."""
_UNLIMITED = {"subs": -1, "data": -1, "payload": -1}
_SHOWN = 100
"""How many characters of a rejected name the log shows."""


class _Options(msgspec.Struct):
    user: str = ""
    password: str = msgspec.field(default="", name="pass")
    name: str = ""


class _Server(msgspec.Struct):
    id: str


class _Request(msgspec.Struct):
    server_id: _Server
    user_nkey: str
    connect_opts: _Options


class _Claims(msgspec.Struct):
    nats: _Request


class AuthCallout:
    """Grants subjects to an edge node that presents the password of all edges, and the secret whose fingerprint is in
    the node's name."""

    def __init__(self, settings: CalloutSettings) -> None:
        self._key = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(settings.key.get_secret_value()))
        self._issuer = public_nkey(settings.key.get_secret_value())
        self._shared_sha256 = settings.edge_password_sha256

    def reply(self, request: bytes) -> bytes:
        """The signed reply to one request. Raises ValueError for a malformed request."""
        wanted = msgspec.json.decode(base64url.decode(request.split(b".")[1].decode()), type=_Claims).nats
        if self._is_granted(wanted.connect_opts):
            result = {"jwt": self._user(wanted.user_nkey, NodeId(wanted.connect_opts.name))}
        else:
            _log.warning("connection to NATS rejected", name=wanted.connect_opts.name[:_SHOWN])
            result = {"error": "not granted"}
        response = {"type": "authorization_response", "version": 2, **result}
        return self._signed({"aud": wanted.server_id.id, "sub": wanted.user_nkey, "nats": response}).encode()

    def _is_granted(self, options: _Options) -> bool:
        shared, secret = split_password(options.password)
        digest = hashlib.sha256(shared.encode()).hexdigest()
        known = options.user == NODE_USER and compare_digest(digest, self._shared_sha256)
        return known and owns(options.name, secret)

    def _user(self, nkey: str, node: NodeId) -> str:
        grants = {"pub": {"allow": node_publishes()}, "sub": {"allow": node_subscribes(node)}, "resp": _REPLY}
        user = {"type": "user", "version": 2, **grants, **_UNLIMITED}
        return self._signed({"aud": _NATS_ACCOUNT, "name": NODE_USER, "sub": nkey, "nats": user})

    def _signed(self, claims: dict[str, Any]) -> str:
        text = f"{_encoded(_HEADER)}.{_encoded({'iss': self._issuer, **claims})}"
        return f"{text}.{base64url.encode(self._key.sign(text.encode()))}"


def public_nkey(key: str) -> str:
    """The public key of `callout.key` as nats-server's configuration names it (`issuer`). Raises ValueError."""
    private = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(key))
    body = _ACCOUNT_TYPE + private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    return b32encode(body + binascii.crc_hqx(body, 0).to_bytes(2, "little")).rstrip(b"=").decode()


def _encoded(value: dict[str, Any]) -> str:
    return base64url.encode(msgspec.json.encode(value))
