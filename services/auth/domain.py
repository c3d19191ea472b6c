"""The rules of accounts, as pure functions: valid registrations, the verifier that a secret matches, and delays after
failed logins."""

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
    USERNAME_CHARACTERS,
    email_key,
    is_valid_email,
    is_valid_username,
    parse_oc_number,
    plain_email,
    plain_username,
)
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
from shared.contract.errors import ErrorCode, Reason, RequestError
from shared.contract.ids import NO_ACCOUNT, AccountId
from shared.contract.model import Scheme, Secret
from shared.contract.recovery import Recover, SetSecurity
from shared.contract.session import EnsureProfile
from shared.names import imitates, is_valid_name, plain_name

SECRET_BYTES = 1024
TEXT_CHARACTERS = 1024
"""The most characters of a signature or an answer."""
OPAQUE_CHARACTERS = 128
"""The most characters of a client's address, a ticket, a code or a login id."""
BOT_TOKEN_NAME_CHARACTERS = 64
DEVICE_CHARACTERS = 64

FREE_FAILURES = 10
MAX_DELAY_SECONDS = 1.0
"""The longest delay of a login. This delay and the longest wait for a hash are together shorter than the time limit
that edges set for requests."""
_FIRST_DELAY_SECONDS = 0.1

_NODE = re.compile(r"[A-Za-z0-9_-]{0,128}")
_REFRESH_TOKEN = re.compile(r"(?P<family>[0-9a-f]{32})\.(?P<part>[0-9a-f]{64})")
_MAX_INT64 = 2**63 - 1
_MAX_DAYS = 36_500

_USERNAME_RULE = f"must have at most {USERNAME_CHARACTERS} visible characters, no @, and not be ten digits"
_OPAQUE_RULE = f"must have at most {OPAQUE_CHARACTERS} printable characters"


class VerificationPurpose(StrEnum):
    """The request that a verification ticket permits. Each ticket is valid for one purpose."""

    REGISTER = "register"
    LOGIN = "login"
    ADDRESS = "address"
    """An account verifies its e-mail address while it is logged in. No login waits for this verification."""


@dataclass(frozen=True, slots=True)
class Account:
    """An account that is not deleted. `profile` has the first values of the profile that the session service stores.
    `answer` is the hash of the answer to the security question."""

    profile: EnsureProfile
    email: str = field(repr=False)
    verifiers: Mapping[Scheme, str] = field(repr=False)
    question_id: int = 0
    answer: str | None = field(default=None, repr=False)
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
    """`family` is the same for all refresh tokens of a login; each token has its own `part`. Only hashes are stored."""

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
        """The next refresh token. The same salt gives the same token. So a repeated request gets the same reply."""
        return RefreshToken(self.family, hmac.digest(salt.encode(), self.part.encode(), "sha256").hex())


def digest(text: str) -> str:
    """The stored form of a random secret. A random secret cannot be guessed, so it needs neither a salt nor a slow
    hash."""
    return hashlib.sha256(text.encode()).hexdigest()


def parse_refresh_token(text: str) -> RefreshToken | None:
    """The parsed token; None if the text does not have the form of a refresh token."""
    found = _REFRESH_TOKEN.fullmatch(text)
    return None if found is None else RefreshToken(found["family"], found["part"])


@dataclass(frozen=True, slots=True)
class VerificationSubject:
    """The e-mail address of a registration (`account` is 0), or the account of a login."""

    purpose: VerificationPurpose
    email: str = field(repr=False)
    account: AccountId


# Checks


def check_registration(request: Register, nickname_characters: int) -> None:
    """Checks a registration, and brings identifiers and names to the form that is stored. Raises RequestError
    (`invalid`) with the field."""
    request.email, request.username = plain_email(request.email), plain_username(request.username)
    request.nickname, request.device = plain_name(request.nickname), plain_name(request.device)
    _check(not request.email or is_valid_email(request.email), "email", "must be an address with letters of one script")
    _check(not request.username or is_valid_username(request.username), "username", _USERNAME_RULE)
    if request.uuid:
        _check(_is_uuid(request.uuid), "uuid", "must have the form of a UUID")
    _check_name(request.nickname, "nickname", nickname_characters)
    check_text(request.signature, "signature")
    _check_answer(request.question_id, request.answer)
    for name, value in (("icon_id", request.icon_id), ("vip", request.vip)):
        check_number(value, name)
    _check(request.secret.scheme is not Scheme.SERVICE or bool(request.uuid), "uuid", "must not be empty")
    check_secret(request.secret)
    _check_retry(request)


def check_bot(request: CreateBot, nickname_characters: int) -> None:
    """Checks the request, and brings the name to its stored form. Raises RequestError (`invalid`) with the field."""
    request.nickname = plain_name(request.nickname)
    _check_name(request.nickname, "nickname", nickname_characters)
    check_origin(request.origin)


def check_no_imitation(nickname: str, reserved: str) -> None:
    """Raises RequestError (`invalid`) if the nickname resembles `reserved`, the nickname of the system account, which
    sends the operator's announcements."""
    if imitates(nickname, reserved):
        text = "this nickname resembles the name of the account that sends announcements"
        raise RequestError(ErrorCode.INVALID, text, "nickname", reason=Reason.TAKEN)


def check_bot_token(request: CreateBotToken) -> None:
    """Checks the request, and brings the name to its stored form. Raises RequestError (`invalid`) with the field."""
    request.name = plain_name(request.name)
    check_number(request.bot, "account")
    _check_name(request.name, "name", BOT_TOKEN_NAME_CHARACTERS)
    known = bool(request.scopes) and set(request.scopes) <= set(TokenScope)
    _check(known, "scopes", f"must be one or more of these scopes: {', '.join(TokenScope)}")
    _check(0 <= request.days <= _MAX_DAYS, "days", f"must be between 0 and {_MAX_DAYS}")


def check_login(request: Login) -> None:
    """Raises RequestError (`invalid`) for a malformed request. The result does not depend on whether the account
    exists."""
    request.device = plain_name(request.device)
    check_identifier(request.identifier)
    check_secret(request.secret)
    _check_retry(request)


def check_recovery(request: Recover) -> None:
    """Raises RequestError (`invalid`) for a malformed request. The result does not depend on whether the account
    exists."""
    check_identifier(request.username, "username")
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
    check_text(answer, "answer")


def _check_retry(request: Register | Login) -> None:
    check_origin(request.origin)
    if request.device:
        _check_name(request.device, "device", DEVICE_CHARACTERS)
    if request.ticket:
        check_opaque(request.ticket, "ticket")


def check_origin(origin: Origin) -> None:
    """Checks the form of the request's origin. The node's name becomes part of a NATS subject, so it must have no other
    characters."""
    _check(bool(_NODE.fullmatch(origin.node)), "node", "must have only letters, digits, - and _")
    _check(len(origin.address) <= OPAQUE_CHARACTERS and origin.address.isprintable(), "address", _OPAQUE_RULE)
    _check(len(origin.client) <= OPAQUE_CHARACTERS and origin.client.isprintable(), "client", _OPAQUE_RULE)
    check_number(origin.connection, "connection")


def check_actor(actor: AccountId) -> None:
    if not 0 < actor <= _MAX_INT64:
        raise RequestError(ErrorCode.UNAUTHENTICATED, "nobody is logged in")


def check_number(number: int, field_name: str) -> None:
    _check(0 <= number <= _MAX_INT64, field_name, "must be between 0 and 2^63 - 1")


def check_token_logins(request: RecordTokenLogins) -> None:
    _check(len(request.logins) <= MAX_TOKEN_LOGINS, "logins", f"must be at most {MAX_TOKEN_LOGINS}")
    for login in request.logins:
        _check(0 < login.account <= _MAX_INT64, "account", "must be between 1 and 2^63 - 1")
        _check(max(len(login.network), len(login.client)) <= OPAQUE_CHARACTERS, "network", _OPAQUE_RULE)
        _check(len(login.sid) <= OPAQUE_CHARACTERS, "sid", _OPAQUE_RULE)
        check_number(login.issued, "issued")


def failure_entries(failures: Counter[Act], most: int) -> list[Act]:
    """The entries for the audit trail: one for each of the `most` most frequent failures, and one for all other
    failures together."""
    listed = failures.most_common(most)
    entries = [msgspec.structs.replace(act, detail=_times(count)) for act, count in listed]
    if rest := failures.total() - sum(count for _, count in listed):
        entries.append(Act("other failures", NO_ACCOUNT, "user", detail=_times(rest)))
    return entries


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def check_opaque(name: str, field_name: str) -> None:
    """Check an opaque string that the auth service has issued: a ticket, a code, or a login id."""
    _check(bool(name), field_name, "must not be empty")
    _check(len(name) <= OPAQUE_CHARACTERS and name.isascii() and name.isprintable(), field_name, _OPAQUE_RULE)


def check_identifier(identifier: str, field_name: str = "identifier") -> None:
    rule = f"must have 1 to {EMAIL_CHARACTERS} characters, and no NUL"
    _check(0 < len(identifier) <= EMAIL_CHARACTERS and "\0" not in identifier, field_name, rule)


def check_secret(secret: Secret) -> None:
    _check(0 < len(secret.value.encode()) <= SECRET_BYTES, "secret", f"must have 1 to {SECRET_BYTES} bytes")
    _check(
        secret.scheme.fits(secret.value), "secret", f"must be the {secret.scheme} of a password, in hexadecimal digits"
    )


def check_new_secret(secret: Secret) -> None:
    """Check the new secret of a recovery. A secret of the service dialect is rejected."""
    _check(secret.scheme is not Scheme.SERVICE, "secret", "must be a password")
    check_secret(secret)


def _is_uuid(text: str) -> bool:
    try:
        return str(uuid.UUID(text)) == text.lower()
    except ValueError:
        return False


def _check_name(name: str, field_name: str, characters: int) -> None:
    _check(0 < len(name) <= characters, field_name, f"must have 1 to {characters} characters")
    _check(is_valid_name(name), field_name, "must have a visible character, and no control or hidden ones")


def check_text(text: str, field_name: str, characters: int = TEXT_CHARACTERS) -> None:
    rule = f"must have at most {characters} characters, and no NUL"
    _check(len(text) <= characters and "\0" not in text, field_name, rule)


def _check(is_valid: bool, field_name: str, rule: str) -> None:
    if not is_valid:
        raise RequestError(ErrorCode.INVALID, f"{field_name} {rule}", field_name)


# Recovery


def expected_answer(account: Account | None, request: Recover) -> str | None:
    """The hash against which the answer of this recovery is checked; None if the account cannot be recovered by an
    answer."""
    if account is None or account.question_id != request.question_id or not request.answer:
        return None
    return account.answer


def is_mail_recoverable(account: Account, *, any_address: bool) -> bool:
    return bool(account.email) and (any_address or account.email_verified) and not account.disabled


def may_be_offered_verification(account: Account) -> bool:
    """Whether a login may mail a link that verifies the account's address. Only a verified address can be used to
    recover the account by mail."""
    return bool(account.email) and not account.email_verified and not account.verification_offered


# Limits


class LoginSubject(NamedTuple):
    """The identifier of a login, and its accounts: digits may name two. If there is no account, `accounts` holds the
    identifier. So logins to existing and to missing accounts are limited alike."""

    identifier: str
    accounts: tuple[str, ...]


def login_subject(identifier: str, *accounts: Account | None) -> LoginSubject:
    key = identifier_key(identifier)
    return LoginSubject(key, tuple(key if one is None else str(one.id) for one in accounts))


def identifier_key(identifier: str) -> str:
    """The key under which failed logins are counted. Two identifiers of one account are counted separately, because a
    common counter would show that both belong to one account."""
    number = parse_oc_number(identifier)
    return hashlib.sha256((str(number) if number else email_key(identifier)).encode()).hexdigest()[:32]


def identifier_keys(account: Account) -> list[str]:
    """The keys of all identifiers of an account."""
    identifiers = account.username, account.email, str(account.id), account.profile.uuid
    return [identifier_key(identifier) for identifier in identifiers if identifier]


def delay_seconds(failures: int) -> float:
    """The delay of a login after this number of failures of its identifier, counted over all addresses."""
    if failures < FREE_FAILURES:
        return 0.0
    return float(min(MAX_DELAY_SECONDS, _FIRST_DELAY_SECONDS * 2 ** min(failures - FREE_FAILURES, 16)))
