"""Tokens: JWTs that only the auth service can issue and that every service can verify (RFC 7519, 8725). Their form and
type are those of RFC 9068."""

import binascii
import re
from collections.abc import Iterable
from typing import Annotated

import jwt
import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from jwt.types import Options

from shared.contract.auth import Keys, PublicKey, Revocation
from shared.contract.bots import TokenScope
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.ids import AccountId

ALGORITHM = "EdDSA"
TYPE = "at+jwt"
"""The JWT type of tokens. Other JWTs that are signed by the same keys have another type, and are not accepted as
tokens."""
BOT_TYPE = "bot+jwt"
"""The JWT type of a bot's token, which permits only its scopes. A version that does not know scopes rejects this
type."""
LEEWAY_SECONDS = 30.0
"""The tolerated difference between the clocks of two machines."""
LONG_BEFORE_SECONDS = 60
"""Clocks differ by less than this. So a token that is older than a revocation by this time was certainly issued before
it."""

WRONG_FORM = "this is no token"
"""The error's text in native if a text does not have the form of a token."""

_MAX_BYTES = 4096
_FORM = re.compile(r"[\w.-]+", re.ASCII)
_HEADER = frozenset({"alg", "typ", "kid"})
_REQUIRED = ("sub", "sid", "iat", "exp", "jti", "iss", "aud")
_Id = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
_Count = Annotated[int, msgspec.Meta(ge=0, lt=2**53)]


def has_token_form(text: str) -> bool:
    """Whether the text has only characters of a token. A pasted error reply, for example, has others."""
    return _FORM.fullmatch(text) is not None


class BadToken(RequestError):
    """The token is invalid; the reply does not say why."""

    def __init__(self, reason: str) -> None:
        super().__init__(ErrorCode.UNAUTHENTICATED, "the token is not valid", "token")
        self.reason = reason


class UnknownKey(BadToken):
    """The key that has signed the token is unknown. It may be a new key of the auth service."""


class Claims(msgspec.Struct, frozen=True):
    """The claims of a token. Times are Unix seconds. `scopes`: the scopes of a bot's token; None for a user's token,
    which permits everything. `revision`: the number of the last revocation before the token was issued."""

    account: AccountId
    sid: str
    issued: int
    expires: int
    jti: str
    scopes: frozenset[TokenScope] | None = None
    revision: int = 0

    def is_voided_by(self, revocation: Revocation) -> bool:
        """Whether a revocation of the token's account voids the token. A revocation of all tokens voids tokens with a
        lower revision. After the restore of a backup, numbers of revocations are assigned again. So a revocation also
        voids tokens that were issued long before it, whatever their revision is."""
        if revocation.sid:
            return revocation.sid == self.sid
        return self.revision < revocation.number or self.issued < revocation.time - LONG_BEFORE_SECONDS


class _Payload(msgspec.Struct):
    sub: Annotated[str, msgspec.Meta(pattern=r"^[1-9][0-9]{0,18}\Z")]
    sid: _Id
    jti: _Id
    iat: _Count
    exp: _Count
    rev: _Count
    nbf: _Count = 0
    scope: str = ""
    """The scopes of a bot's token, separated by blanks. Unknown scopes permit nothing (RFC 8693, 4.2)."""


class Verifier:
    """Verifies tokens with public keys, without a clock, input or output. It does not check revocations."""

    def __init__(self, keys: Keys) -> None:
        """Raises ValueError for a key that is no Ed25519 public key."""
        self._issuer = keys.issuer
        self._audience = keys.audience
        self._keys = dict(_load(keys.keys))

    @property
    def keys(self) -> frozenset[str]:
        """The names of the known keys."""
        return frozenset(self._keys)

    def verify(self, token: str, now: float, latest: float | None = None) -> Claims:
        """Verifies a token and returns its claims. `now`: Unix seconds. `latest`: Unix seconds by the clock that is
        most ahead. Raises BadToken, UnknownKey."""
        if len(token) > _MAX_BYTES or not token.isascii():
            raise BadToken("oversized or not ASCII")
        kind, key = self._key(token)
        payload = self._payload(token, key)
        if payload.exp + LEEWAY_SECONDS <= now:
            raise BadToken("expired")
        if max(payload.iat, payload.nbf) - LEEWAY_SECONDS > (now if latest is None else latest):
            raise BadToken("not valid yet")
        scopes = frozenset(TokenScope).intersection(payload.scope.split(" ")) if kind == BOT_TYPE else None
        return Claims(
            AccountId(int(payload.sub)), payload.sid, payload.iat, payload.exp, payload.jti, scopes, payload.rev
        )

    def _key(self, token: str) -> tuple[str, Ed25519PublicKey]:
        """The token's type and key."""
        try:
            header = jwt.get_unverified_header(token)
        except (jwt.InvalidTokenError, binascii.Error, RecursionError) as error:
            raise BadToken("unreadable") from error
        if set(header) != _HEADER or header["alg"] != ALGORITHM or header["typ"] not in (TYPE, BOT_TYPE):
            raise BadToken("header")
        key = self._keys.get(header["kid"])
        if key is None:
            raise UnknownKey("unknown key")
        return header["typ"], key

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
