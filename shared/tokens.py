"""Tokens: JWTs that only auth can issue and everybody can verify (RFC 7519, 8725; form and type as in RFC 9068)."""

import binascii
from collections.abc import Iterable
from typing import Annotated

import jwt
import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from jwt.types import Options

from shared.contract.auth import Keys, PublicKey
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.ids import AccountId

ALGORITHM = "EdDSA"
TYPE = "at+jwt"
"""Says what the token is for: another kind of JWT by the same keys is no access token."""
LEEWAY_SECONDS = 30.0
"""How far the clocks of two machines may be apart."""

_MAX_BYTES = 4096
_HEADER = frozenset({"alg", "typ", "kid"})
_REQUIRED = ("sub", "sid", "iat", "exp", "jti", "iss", "aud")
_Id = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
_Time = Annotated[int, msgspec.Meta(ge=0, lt=2**53)]


class BadToken(RequestError):
    """The token is not good; the peer is not told why."""

    def __init__(self, reason: str) -> None:
        super().__init__(ErrorCode.UNAUTHENTICATED, "the token is not valid")
        self.reason = reason


class UnknownKey(BadToken):
    """Signed by a key that is not in the list: a new one, perhaps, that auth can be asked for."""


class Claims(msgspec.Struct, frozen=True):
    """What a token says. Times are Unix seconds; `issued` is what account-wide revocations are compared with."""

    account: AccountId
    sid: str
    issued: int
    expires: int
    jti: str


class _Payload(msgspec.Struct):
    sub: Annotated[str, msgspec.Meta(pattern=r"^[1-9][0-9]{0,18}\Z")]
    sid: _Id
    jti: _Id
    iat: _Time
    exp: _Time
    nbf: _Time = 0


class Verifier:
    """Checks tokens against public keys; pure: no clock, no input or output. A revoked token passes here."""

    def __init__(self, keys: Keys) -> None:
        """Raises ValueError for a key that is no Ed25519 public key."""
        self._issuer = keys.issuer
        self._audience = keys.audience
        self._keys = dict(_load(keys.keys))

    @property
    def keys(self) -> frozenset[str]:
        """The names of those it knows."""
        return frozenset(self._keys)

    def verify(self, token: str, now: float) -> Claims:
        """What the token says; `now` in Unix seconds. Raises BadToken; UnknownKey when its key is not known."""
        if len(token) > _MAX_BYTES or not token.isascii():
            raise BadToken("oversized or not ASCII")
        payload = self._payload(token, self._key(token))
        if payload.exp + LEEWAY_SECONDS <= now:
            raise BadToken("expired")
        if max(payload.iat, payload.nbf) - LEEWAY_SECONDS > now:
            raise BadToken("not valid yet")
        return Claims(AccountId(int(payload.sub)), payload.sid, payload.iat, payload.exp, payload.jti)

    def _key(self, token: str) -> Ed25519PublicKey:
        try:
            header = jwt.get_unverified_header(token)
        except (jwt.InvalidTokenError, binascii.Error, RecursionError) as error:
            raise BadToken("unreadable") from error
        if set(header) != _HEADER or header["alg"] != ALGORITHM or header["typ"] != TYPE:
            raise BadToken("header")
        key = self._keys.get(header["kid"])
        if key is None:
            raise UnknownKey("unknown key")
        return key

    def _payload(self, token: str, key: Ed25519PublicKey) -> _Payload:
        options: Options = {
            "require": list(_REQUIRED), "verify_exp": False, "verify_iat": False, "verify_nbf": False,
        }  # fmt: skip
        try:
            claims = jwt.decode(token, key, [ALGORITHM], audience=self._audience, issuer=self._issuer, options=options)
            return msgspec.convert(claims, _Payload)
        except (jwt.InvalidTokenError, msgspec.ValidationError, RecursionError) as error:
            raise BadToken(type(error).__name__) from error


def _load(keys: Iterable[PublicKey]) -> Iterable[tuple[str, Ed25519PublicKey]]:
    for key in keys:
        public = load_pem_public_key(key.pem.encode())
        if not isinstance(public, Ed25519PublicKey):
            raise ValueError(f"key {key.kid} is no Ed25519 key")
        yield key.kid, public
