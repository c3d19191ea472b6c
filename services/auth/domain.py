"""Pure rules of accounts: valid registrations, which verifier a secret matches, delays after failed logins."""

import hashlib
import hmac
import re
import uuid
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

import msgspec

from services.auth.identifiers import (
    EMAIL_CHARACTERS,
    email_key,
    is_valid_email,
    is_valid_username,
    parse_oc_number,
    plain_email,
    plain_username,
)
from services.auth.verifiers import has_form
from shared.contract.admin import Act
from shared.contract.auth import (
    MAX_TOKEN_LOGINS,
    ChangePassword,
    DeleteAccount,
    Login,
    Origin,
    RecordTokenLogins,
    Register,
)
from shared.contract.bots import CreateBot, CreateBotToken, TokenScope
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.ids import NO_ACCOUNT, AccountId
from shared.contract.model import Scheme, Secret
from shared.contract.recovery import Recover, SetSecurity
from shared.contract.session import EnsureProfile
from shared.names import imitates, is_valid_name, plain_name

SECRET_BYTES = 1024
TEXT_CHARACTERS = 1024
"""Of a signature or an answer."""
OPAQUE_CHARACTERS = 128
"""Of a client's address, a ticket, a code or a login session id."""
BOT_TOKEN_NAME_CHARACTERS = 64
DEVICE_CHARACTERS = 64

FREE_FAILURES = 10
MAX_DELAY_SECONDS = 1.0
"""Together with the longest wait for a hash, below the edge's request timeout."""
_FIRST_DELAY_SECONDS = 0.1

_VOID_AHEAD_SECONDS = 10
"""A revocation of all tokens voids those without a revision that were issued while it is committed, or by a replica
whose clock is ahead. Later tokens are dated after it; verifiers allow for more clock skew than this."""

_NODE = re.compile(r"[A-Za-z0-9_-]{0,128}")
_REFRESH_TOKEN = re.compile(r"(?P<family>[0-9a-f]{32})\.(?P<part>[0-9a-f]{64})")
_MAX_INT64 = 2**63 - 1
_MAX_DAYS = 36_500


class VerificationPurpose(StrEnum):
    """The only purpose that a ticket is valid for."""

    REGISTER = "register"
    LOGIN = "login"
    ADDRESS = "address"
    """Nothing waits for it: an account that has logged in may verify its address."""


@dataclass(frozen=True, slots=True)
class Account:
    """An account that is not deleted. `profile` seeds the profile in session. `answer` is the hash of the answer to the
    security question. Tokens issued before `tokens_from` (Unix seconds) are void."""

    profile: EnsureProfile
    email: str = field(repr=False)
    verifiers: Mapping[Scheme, str] = field(repr=False)
    question_id: int = 0
    answer: str | None = field(default=None, repr=False)
    tokens_from: int = 0
    username: str = field(default="", repr=False)
    disabled: bool = False
    email_verified: bool = False
    verification_offered: bool = False

    @property
    def id(self) -> AccountId:
        return self.profile.account


@dataclass(frozen=True, slots=True)
class IssuedToken:
    text: str = field(repr=False)
    sid: str
    expires: int
    """Unix seconds."""


@dataclass(frozen=True, slots=True)
class RefreshToken:
    """`family` is the same for all refresh tokens of a login, `part` is each one's own. Only hashes are stored."""

    family: str = field(repr=False)
    part: str = field(repr=False)

    @property
    def text(self) -> str:
        return f"{self.family}.{self.part}"

    @property
    def family_hash(self) -> str:
        return digest(self.family)

    @property
    def part_hash(self) -> str:
        return digest(self.part)

    def successor(self, salt: str) -> "RefreshToken":
        """The same one for the same salt, so that a repeated request gets the same reply."""
        return RefreshToken(self.family, hmac.digest(salt.encode(), self.part.encode(), "sha256").hex())


def digest(text: str) -> str:
    """What is stored of a secret that is random: no salt, and no slow hash."""
    return hashlib.sha256(text.encode()).hexdigest()


def parse_refresh_token(text: str) -> RefreshToken | None:
    """None: no refresh token has this form."""
    found = _REFRESH_TOKEN.fullmatch(text)
    return None if found is None else RefreshToken(found["family"], found["part"])


@dataclass(frozen=True, slots=True)
class VerificationSubject:
    """An e-mail address that registers (`account` 0), or an account that logs in."""

    purpose: VerificationPurpose
    email: str = field(repr=False)
    account: AccountId


# Checks


def check_registration(request: Register, nickname_characters: int) -> None:
    """Also brings identifiers and names to the form that is stored. Raises RequestError (`invalid`) with the field."""
    request.email, request.username = plain_email(request.email), plain_username(request.username)
    request.nickname, request.device = plain_name(request.nickname), plain_name(request.device)
    _check(not request.email or is_valid_email(request.email), "email")
    _check(not request.username or is_valid_username(request.username), "username")
    if request.uuid:
        _check(_is_uuid(request.uuid), "uuid")
    _check(0 < len(request.nickname) <= nickname_characters, "nickname")
    _check(is_valid_name(request.nickname), "nickname")
    _check(len(request.signature) <= TEXT_CHARACTERS and "\0" not in request.signature, "signature")
    _check_answer(request.question_id, request.answer)
    for name, value in (("icon_id", request.icon_id), ("vip", request.vip)):
        check_number(value, name)
    _check(request.secret.scheme is not Scheme.SERVICE or bool(request.uuid), "uuid")
    check_secret(request.secret)
    _check_retry(request)


def check_bot(request: CreateBot, nickname_characters: int) -> None:
    """Also brings the name to the form that is stored. Raises RequestError (`invalid`) with the field."""
    request.nickname = plain_name(request.nickname)
    _check(0 < len(request.nickname) <= nickname_characters, "nickname")
    _check(is_valid_name(request.nickname), "nickname")
    check_origin(request.origin)


def check_no_imitation(nickname: str, reserved: str) -> None:
    """`reserved`: the nickname of the system account, whose announcements are the operator's. Raises RequestError
    (`invalid`)."""
    if imitates(nickname, reserved):
        raise RequestError(ErrorCode.INVALID, "this nickname is like that of the operator's announcements", "nickname")


def check_bot_token(request: CreateBotToken) -> None:
    """Also brings the name to the form that is stored. Raises RequestError (`invalid`) with the field."""
    request.name = plain_name(request.name)
    check_number(request.bot, "account")
    _check(0 < len(request.name) <= BOT_TOKEN_NAME_CHARACTERS and is_valid_name(request.name), "name")
    _check(bool(request.scopes) and set(request.scopes) <= set(TokenScope), "scopes")
    _check(0 <= request.days <= _MAX_DAYS, "days")


def check_login(request: Login) -> None:
    """Raises RequestError (`invalid`) for a malformed request, whether the account exists or not."""
    request.device = plain_name(request.device)
    check_identifier(request.identifier)
    check_secret(request.secret)
    _check_retry(request)


def check_recovery(request: Recover) -> None:
    """Raises RequestError (`invalid`) for a malformed request, whether the account exists or not."""
    _check_identifier(request.username, "username")
    _check_answer(request.question_id, request.answer)
    check_new_secret(request.secret)
    check_origin(request.origin)


def check_password_change(request: ChangePassword) -> None:
    """Raises RequestError (`unauthenticated`, `invalid`)."""
    check_actor(request.actor)
    check_secret(request.old)
    check_secret(request.new)
    check_origin(request.origin)
    if request.caller_sid:
        check_opaque(request.caller_sid, "caller_sid")


def check_deletion(request: DeleteAccount) -> None:
    """Raises RequestError (`unauthenticated`, `invalid`)."""
    check_actor(request.actor)
    if request.secret is not None:
        check_secret(request.secret)
        check_origin(request.origin)


def check_security(request: SetSecurity) -> None:
    """Raises RequestError (`unauthenticated`, `invalid`)."""
    check_actor(request.actor)
    _check_answer(request.question_id, request.answer)


def _check_answer(question_id: int, answer: str) -> None:
    check_number(question_id, "question_id")
    _check(len(answer) <= TEXT_CHARACTERS and "\0" not in answer, "answer")


def _check_retry(request: Register | Login) -> None:
    check_origin(request.origin)
    _check(len(request.device) <= DEVICE_CHARACTERS and is_valid_name(request.device), "device")
    if request.ticket:
        check_opaque(request.ticket, "ticket")


def check_origin(origin: Origin) -> None:
    """The node is checked because it becomes part of a bus subject."""
    _check(bool(_NODE.fullmatch(origin.node)), "node")
    _check(len(origin.address) <= OPAQUE_CHARACTERS and origin.address.isprintable(), "address")
    _check(len(origin.client) <= OPAQUE_CHARACTERS and origin.client.isprintable(), "client")
    check_number(origin.connection, "connection")


def check_actor(actor: AccountId) -> None:
    if not 0 < actor <= _MAX_INT64:
        raise RequestError(ErrorCode.UNAUTHENTICATED, "nobody is logged in")


def check_number(number: int, field_name: str) -> None:
    _check(0 <= number <= _MAX_INT64, field_name)


def check_token_logins(request: RecordTokenLogins) -> None:
    _check(len(request.logins) <= MAX_TOKEN_LOGINS, "logins")
    for login in request.logins:
        _check(0 < login.account <= _MAX_INT64, "account")
        _check(len(login.network) <= OPAQUE_CHARACTERS and len(login.client) <= OPAQUE_CHARACTERS, "network")


def failure_entries(failures: Counter[Act], most: int) -> list[Act]:
    """Entries of the audit trail: the `most` frequent failures, and one for all others."""
    listed = failures.most_common(most)
    entries = [msgspec.structs.replace(act, detail=_times(count)) for act, count in listed]
    if rest := failures.total() - sum(count for _, count in listed):
        entries.append(Act("other failures", NO_ACCOUNT, "user", detail=_times(rest)))
    return entries


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def check_opaque(name: str, field_name: str) -> None:
    """An opaque string that auth has issued: a ticket, a code, a login session id."""
    _check(0 < len(name) <= OPAQUE_CHARACTERS and name.isascii() and name.isprintable(), field_name)


def check_identifier(identifier: str) -> None:
    _check_identifier(identifier, "identifier")


def _check_identifier(identifier: str, field_name: str) -> None:
    _check(0 < len(identifier) <= EMAIL_CHARACTERS and "\0" not in identifier, field_name)


def check_secret(secret: Secret) -> None:
    _check(0 < len(secret.value.encode()) <= SECRET_BYTES, "secret")
    _check(has_form(secret), "secret")


def check_new_secret(secret: Secret) -> None:
    """Of a recovery: a service client has none."""
    _check(secret.scheme is not Scheme.SERVICE, "secret")
    check_secret(secret)


def _is_uuid(text: str) -> bool:
    try:
        return str(uuid.UUID(text)) == text.lower()
    except ValueError:
        return False


def _check(is_valid: bool, field_name: str) -> None:
    if not is_valid:
        raise RequestError(ErrorCode.INVALID, f"{field_name} is not acceptable", field_name)


# Recovery


def expected_answer(account: Account | None, request: Recover) -> str | None:
    """The hash that the answer of this recovery is checked against; None: the account cannot be recovered this way."""
    if account is None or account.question_id != request.question_id or not request.answer:
        return None
    return account.answer


def is_mail_recoverable(account: Account, *, any_address: bool) -> bool:
    return bool(account.email) and (any_address or account.email_verified) and not account.disabled


def may_be_offered_verification(account: Account) -> bool:
    """Whether a login may mail a link that verifies the address, without which no mail recovers the account."""
    return bool(account.email) and not account.email_verified and not account.verification_offered


def void_before(now: float) -> int:
    """A revocation of all tokens at `now` voids those without a revision that were issued before then (Unix
    seconds)."""
    return int(now) + _VOID_AHEAD_SECONDS


# Limits


class LoginSubject(NamedTuple):
    """The identifier of a login, and its account; the identifier again if it has none, so that both behave alike."""

    identifier: str
    account: str


def login_subject(account: Account | None, identifier: str) -> LoginSubject:
    key = identifier_key(identifier)
    return LoginSubject(key, key if account is None else str(account.id))


def identifier_key(identifier: str) -> str:
    """Failed logins are counted by this. Two identifiers of one account are counted apart: a common counter would show
    that they belong together."""
    number = parse_oc_number(identifier)
    return hashlib.sha256((str(number) if number else email_key(identifier)).encode()).hexdigest()[:32]


def identifier_keys(account: Account) -> list[str]:
    """The keys of all identifiers of an account."""
    identifiers = account.username, account.email, str(account.id), account.profile.uuid
    return [identifier_key(identifier) for identifier in identifiers if identifier]


def delay_seconds(failures: int) -> float:
    """The delay of a login after this many failures of its identifier, over all addresses."""
    if failures < FREE_FAILURES:
        return 0.0
    return float(min(MAX_DELAY_SECONDS, _FIRST_DELAY_SECONDS * 2 ** min(failures - FREE_FAILURES, 16)))
