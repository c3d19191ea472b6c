"""A token that auth would sign is accepted, and no other (RFC 8725)."""

import base64
import hashlib
import hmac
import json
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ed448, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from shared.contract.auth import Keys, PublicKey, Revocation
from shared.contract.bots import TokenScope
from shared.contract.errors import ErrorCode
from shared.contract.ids import AccountId
from shared.tokens import LEEWAY_SECONDS, BadToken, Claims, UnknownKey, Verifier

NOW = 1_800_000_000
KEY = Ed25519PrivateKey.generate()
OTHER_KEY = Ed25519PrivateKey.generate()
HEADER = {"kid": "k1", "typ": "at+jwt"}
CLAIMS = {"iss": "us", "aud": "chat", "sub": "7", "sid": "s", "jti": "j", "iat": NOW - 10, "exp": NOW + 100, "rev": 0}


def pem(key: Any) -> str:
    text: bytes = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return text.decode()


VERIFIER = Verifier(Keys("us", "chat", [PublicKey("k1", pem(KEY)), PublicKey("k2", pem(OTHER_KEY))]))


def token(key: Any = KEY, algorithm: str | None = "EdDSA", header: dict[str, Any] | None = None, **claims: Any) -> str:
    body = {name: value for name, value in {**CLAIMS, **claims}.items() if value is not None}
    return jwt.encode(body, key, algorithm, headers=HEADER if header is None else header)


def handmade(header: dict[str, Any], claims: dict[str, Any], signature: bytes = b"") -> str:
    parts = [json.dumps(header).encode(), json.dumps(claims).encode(), signature]
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)


def rejected(text: str, now: float = NOW) -> BadToken:
    with pytest.raises(BadToken) as caught:
        VERIFIER.verify(text, now)
    assert caught.value.failure.code == ErrorCode.UNAUTHENTICATED
    return caught.value


def test_a_valid_token_names_its_account() -> None:
    assert VERIFIER.verify(token(), NOW) == Claims(AccountId(7), "s", NOW - 10, NOW + 100, "j")
    assert VERIFIER.verify(token(OTHER_KEY, header={**HEADER, "kid": "k2"}), NOW).account == 7


BOT_HEADER = {"kid": "k1", "typ": "bot+jwt"}


def test_a_token_of_a_bot_permits_its_scopes_alone() -> None:
    for words, scopes in (
        ("send read", {TokenScope.SEND, TokenScope.READ}), ("manage", {TokenScope.MANAGE}), (None, set()), ("", set()),
        ("SEND sendread everything", set()), ("send,read", set()), ("send fly", {TokenScope.SEND}),
    ):  # fmt: skip
        assert VERIFIER.verify(token(header=BOT_HEADER, scope=words), NOW).scopes == frozenset(scopes)


def test_no_token_of_a_bot_becomes_a_user_s() -> None:
    """The signature includes the type. A user's token has no scopes, even if it contains some."""
    _, claims, signature = token(header=BOT_HEADER, scope="send").split(".")
    users = base64.urlsafe_b64encode(json.dumps({"alg": "EdDSA", **HEADER}).encode()).rstrip(b"=").decode()
    rejected(f"{users}.{claims}.{signature}")
    rejected(token(header=BOT_HEADER, scope=["send"]))
    rejected(token(header={**BOT_HEADER, "typ": ["bot+jwt"]}))
    assert VERIFIER.verify(token(scope="send"), NOW).scopes is None


def test_an_unsigned_token() -> None:
    rejected(token(None, None))
    rejected(handmade({"alg": "none", **HEADER}, CLAIMS))
    rejected(handmade({"alg": "EdDSA", **HEADER}, CLAIMS))


def test_the_public_key_is_no_shared_secret() -> None:
    unsigned = handmade({"alg": "HS256", **HEADER}, CLAIMS).rsplit(".", 1)[0]
    mac = hmac.new(pem(KEY).encode(), unsigned.encode(), hashlib.sha256).digest()
    rejected(f"{unsigned}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}")


def test_another_key_or_algorithm() -> None:
    rejected(token(OTHER_KEY))
    rejected(token(rsa.generate_private_key(65537, 2048), "RS256"))
    rejected(token(ed448.Ed448PrivateKey.generate()))


def test_claims_that_are_missing_foreign_or_malformed() -> None:
    wrong: list[dict[str, Any]] = [
        {"iss": "them"}, {"aud": "mail"}, {"aud": ["mail"]}, {"iss": None}, {"aud": None}, {"sub": None},
        {"sid": None}, {"jti": None}, {"iat": None}, {"exp": None}, {"sub": "0"}, {"sub": "-7"}, {"sub": "07"},
        {"sub": "seven"}, {"sub": "9" * 20}, {"sub": "7\n"}, {"sid": ""}, {"sid": "x" * 65}, {"sid": 5}, {"jti": 5},
        {"exp": str(NOW + 100)}, {"exp": NOW + 100.5}, {"iat": True}, {"iat": -1}, {"exp": 2**60},
    ]  # fmt: skip
    for claims in wrong:
        rejected(token(**claims))


def test_its_time_must_have_come_and_not_be_over() -> None:
    for claims, good in (
        ({"exp": NOW - LEEWAY_SECONDS // 2}, True),
        ({"exp": NOW - LEEWAY_SECONDS}, False),
        ({"iat": NOW + LEEWAY_SECONDS}, True),
        ({"iat": NOW + LEEWAY_SECONDS + 1}, False),
        ({"nbf": NOW + LEEWAY_SECONDS + 1}, False),
        ({"nbf": NOW}, True),
    ):
        whole: dict[str, Any] = {name: int(value) for name, value in claims.items()}
        text = token(**whole)
        if good:
            VERIFIER.verify(text, NOW)
        else:
            rejected(text)


def test_missing_and_additional_headers() -> None:
    wrong: list[dict[str, Any]] = [
        {"kid": "k1"}, {"kid": "k1", "typ": "JWT"}, {"kid": "k1", "typ": "rt+jwt"}, {"typ": "at+jwt"},
        {**HEADER, "jku": "https://evil.example/keys"}, {**HEADER, "x5u": "https://evil.example/cert"},
        {**HEADER, "jwk": {}}, {**HEADER, "crit": ["b64"], "b64": True}, {**HEADER, "crit": ["exp"]},
    ]  # fmt: skip
    for header in wrong:
        rejected(token(header=header))


def test_a_revocation_of_all_tokens_voids_those_before_it() -> None:
    """The number of the revocation decides, whatever the clocks say.

    If a backup was restored, an earlier token may have a number that was assigned again.
    """
    for revision, issued, number, seconds, void in (
        (6, NOW, 7, NOW, True),
        (7, NOW, 7, NOW + 10, False),
        (8, NOW, 7, NOW + 10, False),
        (8, NOW - 60, 7, NOW + 10, True),
    ):
        claims = VERIFIER.verify(token(rev=revision, iat=issued, exp=NOW + 100), NOW)
        assert claims.revision == revision
        assert claims.is_voided_by(Revocation(number, claims.account, "", seconds)) is void


def test_an_unknown_key_can_be_requested() -> None:
    for kid in ("k3", "../k1", "k1.pem", "", "/etc/passwd"):
        assert isinstance(rejected(token(header={**HEADER, "kid": kid})), UnknownKey)


def test_a_wrong_signature_is_no_unknown_key() -> None:
    assert not isinstance(rejected(token(OTHER_KEY)), UnknownKey)


def test_an_oversized_token() -> None:
    VERIFIER.verify(token(extra="x" * 2000), NOW)
    rejected(token(extra="x" * 4096))


def test_one_changed_character() -> None:
    good = token()
    for position in range(0, len(good), 7):
        changed = "A" if good[position] != "A" else "B"
        rejected(good[:position] + changed + good[position + 1 :])


def test_deep_nesting() -> None:
    depth = 600
    nested = base64.urlsafe_b64encode(b"[" * depth + b"]" * depth).rstrip(b"=").decode()
    rejected(f"{nested}.e30.e30")


@given(st.one_of(st.text(), st.from_regex(r"\A[\w-]*\.[\w-]*\.[\w-]*\Z")))
def test_any_text_is_rejected(text: str) -> None:
    rejected(text)


@given(
    st.dictionaries(st.sampled_from(["alg", "kid", "typ", "crit", "x"]), st.one_of(st.none(), st.text(), st.integers()))
)
def test_any_header_is_rejected(header: dict[str, Any]) -> None:
    rejected(handmade(header, CLAIMS, b"x" * 64))


def test_only_ed25519_keys_are_taken() -> None:
    with pytest.raises(ValueError, match="k9"):
        Verifier(Keys("us", "chat", [PublicKey("k9", pem(ed448.Ed448PrivateKey.generate()))]))


def test_the_reason_is_not_in_the_reply() -> None:
    assert {str(rejected(token(exp=NOW - 1000))), str(rejected(token(OTHER_KEY)))} == {
        "unauthenticated: the token is not valid"
    }
