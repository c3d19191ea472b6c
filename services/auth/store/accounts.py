"""Stored accounts and secrets. Every function is one step of a transaction."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from services.auth.domain import Account, VerificationSubject
from services.auth.identifiers import email_key, uuid_spellings
from services.auth.store import bot_tokens, recoveries, usernames, verifications
from services.auth.store.naming import name_accounts
from services.auth.store.outbox import add_event
from services.auth.store.revocations import last_number, lock_accounts, revoke
from services.auth.tables import accounts, bots, secrets
from shared.contract.auth import IdentifierKind, Register, Revocation
from shared.contract.events import AccountDeleted, AccountRegistered
from shared.contract.ids import SYSTEM_UUID, AccountId
from shared.contract.model import Scheme
from shared.contract.session import EnsureProfile
from shared.contract.subjects import ACCOUNT_DELETED, ACCOUNT_REGISTERED
from shared.irc_names import is_nick
from shared.names import fold, name_key, name_look

# The functions below store guests. A guest is an account without a secret. It is deleted when its connection ends.

_ABANDONED = 1_000
_KEPT = 5_000
"""The most guests in one statement."""


def rename_guest(connection: sa.Connection, account: AccountId, nick: str, nickname: str) -> bool:
    """Returns False if the account is no guest. Raises IdentifierTaken."""
    own = sa.and_(accounts.c.id == account, accounts.c.guest_seen.is_not(None))
    present = connection.execute(sa.select(accounts.c.username).where(own)).scalar_one_or_none()
    if present is None:
        return False
    if fold(present) != fold(nick) and usernames.is_taken(connection, nick, but=account):
        raise IdentifierTaken("username")
    named = {"username": nick, "username_key": name_key(nick), "username_look": name_look(nick), "nickname": nickname}
    try:
        with connection.begin_nested():
            connection.execute(accounts.update().where(own).values(named))
    except IntegrityError as error:
        raise IdentifierTaken("username") from error
    return True


def lock_guest(connection: sa.Connection, account: AccountId) -> bool:
    """Returns whether the account is a guest's. The row stays locked, so the answer holds until the end of this
    transaction."""
    own = sa.select(accounts.c.id).where(accounts.c.id == account, accounts.c.guest_seen.is_not(None))
    return connection.execute(own.with_for_update()).first() is not None


def keep_guests(connection: sa.Connection, guests: Sequence[AccountId], now: int) -> None:
    for start in range(0, len(guests), _KEPT):
        named = sa.and_(accounts.c.id.in_(guests[start : start + _KEPT]), accounts.c.guest_seen.is_not(None))
        connection.execute(accounts.update().where(named).values(guest_seen=now))


def list_abandoned_guests(connection: sa.Connection, before: int) -> list[AccountId]:
    """The guests that no edge has reported since `before` (Unix milliseconds)."""
    found = sa.select(accounts.c.id).where(accounts.c.guest_seen < before).order_by(accounts.c.guest_seen)
    return [AccountId(number) for number in connection.scalars(found.limit(_ABANDONED))]


@dataclass(frozen=True, slots=True)
class NewAccount:
    """A registration whose secrets have been hashed. If `subject` is given, the registration consumes that subject's
    ticket."""

    request: Register
    uuid: str
    created: int
    lobby: bool
    verifiers: Mapping[Scheme, str]
    answer: str | None
    subject: VerificationSubject | None
    guest: str = ""


class IdentifierTaken(Exception):
    """Another account has the same e-mail address or uuid, or a username that looks alike."""

    def __init__(self, field: str) -> None:
        super().__init__(field)
        self.field = field


class NoGuest(Exception):
    """The account that registers is no guest: the guest has left, or is registered already."""


class NotVerified(Exception):
    """The verification of this registration was consumed or has expired."""


@dataclass(frozen=True, slots=True)
class AccountSnapshot:
    """An account as one transaction has read it. `revision`: the highest revocation number in the same transaction."""

    account: Account | None
    revision: int


def find_conflict(connection: sa.Connection, request: Register) -> str | None:
    """The field of this registration whose value another account has; None if no value is taken."""
    if request.uuid.lower() == SYSTEM_UUID:
        return "uuid"
    wanted = (
        ("email", accounts.c.email_key, [email_key(request.email)]),
        ("username", accounts.c.username, [request.username]),
        ("uuid", accounts.c.uuid, uuid_spellings(request.uuid)),
    )
    for field, column, spellings in wanted:
        others = sa.select(accounts.c.id).where(column.in_(spellings), accounts.c.id != request.guest)
        if getattr(request, field) and connection.execute(others).first():
            return field
    taken = bool(request.username) and usernames.is_taken(connection, request.username, but=request.guest)
    return "username" if taken else None


def register(connection: sa.Connection, new: NewAccount) -> AccountSnapshot:
    """Raises IdentifierTaken, NoGuest, NotVerified."""
    if new.subject is not None:
        new.request.email = _verified_address(connection, new.subject, new)
    if new.request.username and (field := find_conflict(connection, new.request)):
        raise IdentifierTaken(field)
    try:
        with connection.begin_nested():
            account = connection.execute(_stored(new).returning(accounts.c.id)).scalar_one_or_none()
    except IntegrityError as error:
        field = find_conflict(connection, new.request)
        if field is None:
            raise
        raise IdentifierTaken(field) from error
    if account is None:
        raise NoGuest
    if new.verifiers:
        _insert_verifiers(connection, account, new.verifiers)
    registered = find(connection, IdentifierKind.ID, str(account))
    assert registered.account is not None
    add_event(connection, ACCOUNT_REGISTERED, AccountRegistered(registered.account.profile))
    return registered


def _stored(new: NewAccount) -> sa.Insert | sa.Update:
    """The statement that stores the account. A guest that registers keeps its number and its uuid."""
    row = _row(new)
    if not new.request.guest:
        return accounts.insert().values(row)
    kept = {name: value for name, value in row.items() if name not in ("uuid", "created")}
    own = sa.and_(accounts.c.id == new.request.guest, accounts.c.guest_seen.is_not(None))
    return accounts.update().where(own).values(kept)


def _verified_address(connection: sa.Connection, subject: VerificationSubject, new: NewAccount) -> str:
    """Returns the address in the spelling to which the mail was sent, because another spelling may be another person's
    address. Raises NotVerified."""
    email = verifications.consume(connection, subject, new.request.ticket, new.created)
    if email is None:
        raise NotVerified
    return email


def _row(new: NewAccount) -> dict[str, Any]:
    request = new.request
    return {
        "uuid": new.uuid,
        "email": request.email or None,
        "email_key": email_key(request.email) or None,
        "email_verified": new.subject is not None,
        "username": request.username or None,
        "username_key": name_key(request.username) or None,
        "username_look": name_look(request.username) or None,
        "created": new.created,
        "question_id": request.question_id,
        "answer": new.answer,
        "nickname": request.nickname,
        "icon_id": request.icon_id,
        "signature": request.signature,
        "vip": request.vip,
        "lobby": new.lobby,
        "guest": new.guest,
        "guest_seen": new.created if new.guest else None,
    }


def find(connection: sa.Connection, kind: IdentifierKind, identifier: str) -> AccountSnapshot:
    """Returns the account with this identifier."""
    return find_all(connection, kind, identifier)[0]


def find_all(connection: sa.Connection, kind: IdentifierKind, identifier: str) -> list[AccountSnapshot]:
    """Returns the accounts with this identifier, at most two: digits may be the username of one account, which comes
    first, and the number of another. If there is no account, returns one snapshot without an account. The lookup
    executes the same number of statements whether the account exists or not."""
    named = name_accounts(connection, kind, identifier)
    best = (
        sa.select(accounts, named.rank.label("rank"))
        .where(accounts.c.uuid.is_not(None), named.condition)
        .order_by(named.rank)
        .limit(2)
        .subquery()
    )
    joined = sa.select(best, secrets.c.scheme, secrets.c.verifier).outerjoin(secrets, secrets.c.account == best.c.id)
    rows, revision = connection.execute(joined.order_by(best.c.rank)).all(), last_number(connection)
    found = [AccountSnapshot(_account(list(of_one)), revision) for _, of_one in groupby(rows, key=lambda row: row.id)]
    return found or [AccountSnapshot(None, revision)]


def find_numbered(connection: sa.Connection, number: AccountId) -> Account | None:
    return find(connection, IdentifierKind.ID, str(number)).account


def look_up(connection: sa.Connection, identifier: str) -> list[AccountId]:
    """The accounts with this OC number, username or e-mail address, ascending."""
    condition = name_accounts(connection, IdentifierKind.ANY, identifier).condition
    named = sa.select(accounts.c.id).where(accounts.c.uuid.is_not(None), condition)
    return [AccountId(number) for number in connection.execute(named.order_by(accounts.c.id)).scalars()]


def _account(rows: Sequence[sa.Row[Any]]) -> Account:
    """Builds an account from one row per secret, at least one row."""
    row = rows[0]
    profile = EnsureProfile(
        account=AccountId(row.id),
        uuid=row.uuid,
        nickname=row.nickname,
        icon_id=row.icon_id,
        signature=row.signature,
        vip=row.vip,
        created=row.created,
        lobby=row.lobby,
        nick=row.username if is_nick(row.username or "") else "",
        guest=row.guest,
    )
    return Account(
        profile=profile,
        email=row.email or "",
        username=row.username or "",
        verifiers={Scheme(row.scheme): row.verifier for row in rows if row.scheme},
        question_id=row.question_id,
        answer=row.answer,
        disabled=row.disabled,
        email_verified=row.email_verified,
        verification_offered=row.verification_offered,
    )


def holds_verifier(connection: sa.Connection, account: AccountId, scheme: Scheme, verifier: str) -> bool:
    """Whether the account still has this verifier and is not disabled."""
    held = sa.select(secrets.c.account).where(*_is_verifier_of(account, scheme, verifier))
    return connection.execute(held).first() is not None


def lock_verifier(connection: sa.Connection, account: AccountId, held: tuple[Scheme, str]) -> bool:
    """Like `holds_verifier`, but the account's row is locked, as for every change of its secrets. So the result holds
    until the end of this transaction."""
    lock_accounts(connection, [account])
    return holds_verifier(connection, account, *held)


def replace_verifier(connection: sa.Connection, account: AccountId, scheme: Scheme, old: str, new: str) -> bool:
    """Returns False if the account does not have the old verifier any more, or is disabled."""
    renewed = secrets.update().where(*_is_verifier_of(account, scheme, old)).values(verifier=new)
    return connection.execute(renewed).rowcount == 1


def _is_verifier_of(account: AccountId, scheme: Scheme, verifier: str) -> tuple[sa.ColumnElement[bool], ...]:
    enabled = sa.exists().where(accounts.c.id == account, ~accounts.c.disabled)
    return secrets.c.account == account, secrets.c.scheme == scheme, secrets.c.verifier == verifier, enabled


def _insert_verifiers(connection: sa.Connection, account: int, verifiers: Mapping[Scheme, str]) -> None:
    connection.execute(
        secrets.insert(),
        [{"account": account, "scheme": scheme, "verifier": text} for scheme, text in verifiers.items()],
    )


def recover(
    connection: sa.Connection, account: AccountId, answer: str, verifiers: Mapping[Scheme, str], seconds: int
) -> Revocation | None:
    """Replaces all secrets of an account, and voids its tokens issued before `seconds` (Unix). Returns None if the
    answer has changed, or the account is disabled."""
    allowed = sa.and_(accounts.c.answer == answer, ~accounts.c.disabled)
    return _replace_secrets(connection, account, allowed, verifiers, seconds)


def recover_by_ticket(
    connection: sa.Connection, account: AccountId, digest: str, verifiers: Mapping[Scheme, str], seconds: int, now: int
) -> Revocation | None:
    """Like `reset_secrets`, but by a mailed ticket, which also verifies the address. Returns None if the ticket is not
    valid any more, or if the account has another address now or is disabled."""
    connection.execute(sa.select(accounts.c.id).where(accounts.c.id == account).with_for_update())
    if (key := recoveries.spend(connection, digest, now)) is None:
        return None
    allowed = sa.and_(accounts.c.email_key == key, ~accounts.c.disabled)
    revocation = _replace_secrets(connection, account, allowed, verifiers, seconds)
    if revocation is not None:
        set_security(connection, account, 0, None)
        confirm_email(connection, account)
    return revocation


def reset_secrets(
    connection: sa.Connection, account: AccountId, verifiers: Mapping[Scheme, str], seconds: int
) -> Revocation | None:
    """Like `recover`, but without an answer. The reset also removes the security question, whose answer another person
    may have set. Returns None if the account does not exist."""
    set_security(connection, account, 0, None)
    return _replace_secrets(connection, account, accounts.c.uuid.is_not(None), verifiers, seconds)


def change_secrets(
    connection: sa.Connection,
    account: AccountId,
    held: tuple[Scheme, str],
    verifiers: Mapping[Scheme, str],
    seconds: int,
) -> Revocation | None:
    """Like `recover`, but for the account with the verifier `held`. Returns None if the account no longer has this
    verifier, or is disabled."""
    if not lock_verifier(connection, account, held):
        return None
    return _replace_secrets(connection, account, sa.true(), verifiers, seconds)


def _replace_secrets(
    connection: sa.Connection,
    account: AccountId,
    allowed: sa.ColumnElement[bool],
    verifiers: Mapping[Scheme, str],
    seconds: int,
) -> Revocation | None:
    """Replaces the secrets, and voids the tickets for a new password. Locks the account's row, so that two replacements
    run one after the other."""
    existing = sa.select(accounts.c.id).where(accounts.c.id == account, allowed).with_for_update()
    if connection.execute(existing).first() is None:
        return None
    connection.execute(secrets.delete().where(secrets.c.account == account))
    _insert_verifiers(connection, account, verifiers)
    recoveries.delete_of_account(connection, account)
    return revoke(connection, account, "", seconds)


def confirm_email(connection: sa.Connection, account: AccountId) -> None:
    """Note that the user has received a mail at the account's address, so the address is verified."""
    has_address = sa.and_(accounts.c.id == account, accounts.c.email_key.is_not(None))
    connection.execute(accounts.update().where(has_address).values(email_verified=True))


def disable(connection: sa.Connection, account: AccountId, seconds: int) -> Revocation | None:
    """Disables the account's secrets, and voids the tokens of the account and its bots that were issued before
    `seconds` (Unix). Returns None if the account does not exist."""
    if not _set_disabled(connection, account, True):
        return None
    for one in (account, *_lock_bots(connection, account)):
        bot_tokens.revoke_all(connection, one)
    return revoke(connection, account, "", seconds)


def enable(connection: sa.Connection, account: AccountId) -> bool:
    """Returns False if the account does not exist."""
    return _set_disabled(connection, account, False)


def _set_disabled(connection: sa.Connection, account: AccountId, disabled: bool) -> bool:
    existing = sa.and_(accounts.c.id == account, accounts.c.uuid.is_not(None))
    return connection.execute(accounts.update().where(existing).values(disabled=disabled)).rowcount == 1


def active_among(connection: sa.Connection, wanted: Sequence[AccountId]) -> set[AccountId]:
    """Returns the active accounts. An account is inactive if it is disabled or erased. A bot is also inactive if its
    owner is."""
    owner = accounts.alias("owner")
    owned = bots.join(owner, owner.c.id == bots.c.owner)
    is_held = (
        sa.exists().select_from(owned).where(bots.c.account == accounts.c.id, owner.c.disabled | owner.c.uuid.is_(None))
    )
    found = sa.select(accounts.c.id).where(
        accounts.c.id.in_(wanted), accounts.c.uuid.is_not(None), ~accounts.c.disabled
    )
    return {AccountId(number) for number in connection.scalars(found.where(~is_held))}


def verified_addresses(connection: sa.Connection, wanted: Collection[AccountId]) -> dict[AccountId, str]:
    """The verified e-mail addresses of the wanted accounts. Accounts without a verified address, and disabled and
    deleted accounts, are left out."""
    active = accounts.c.uuid.is_not(None), ~accounts.c.disabled, accounts.c.email_verified
    found = sa.select(accounts.c.id, accounts.c.email).where(accounts.c.id.in_(wanted), *active)
    return {AccountId(number): email for number, email in connection.execute(found) if email}


def set_security(connection: sa.Connection, account: AccountId, question_id: int, answer: str | None) -> bool:
    """Returns False if the account does not exist."""
    existing = sa.and_(accounts.c.id == account, accounts.c.uuid.is_not(None))
    change = accounts.update().where(existing).values(question_id=question_id, answer=answer)
    return connection.execute(change).rowcount == 1


def erase(connection: sa.Connection, account: AccountId, seconds: int) -> Revocation | None:
    """Erases all data of an account except the id, erases the account's bots, and voids the account's tokens issued
    before `seconds` (Unix). Returns None if the account was erased before."""
    existing = sa.and_(accounts.c.id == account, accounts.c.uuid.is_not(None))
    if connection.execute(accounts.update().where(existing).values(_TOMBSTONE)).rowcount == 0:
        return None
    owned = _lock_bots(connection, account)
    connection.execute(secrets.delete().where(secrets.c.account == account))
    verifications.delete_of_account(connection, account)
    recoveries.delete_of_account(connection, account)
    add_event(connection, ACCOUNT_DELETED, AccountDeleted(account))
    for bot in owned:
        erase(connection, bot, seconds)
    connection.execute(bots.delete().where(bots.c.account == account))
    bot_tokens.revoke_all(connection, account)
    return revoke(connection, account, "", seconds)


def _lock_bots(connection: sa.Connection, owner: AccountId) -> list[AccountId]:
    """The owner's bots. Locks the rows of the bots. The caller has locked the owner's row, so the owner gets no further
    bot."""
    owned = [AccountId(bot) for bot in connection.scalars(sa.select(bots.c.account).where(bots.c.owner == owner))]
    lock_accounts(connection, owned)
    return owned


def list_deleted(connection: sa.Connection, after: AccountId, limit: int) -> list[AccountId]:
    """The ids of erased accounts above `after`, in order."""
    erased = sa.select(accounts.c.id).where(accounts.c.uuid.is_(None), accounts.c.id > after)
    return [AccountId(number) for number in connection.scalars(erased.order_by(accounts.c.id).limit(limit))]


_TOMBSTONE: dict[str, Any] = {
    "uuid": None,
    "email": None,
    "email_key": None,
    "email_verified": False,
    "verification_offered": False,
    "username": None,
    "username_key": None,
    "username_look": None,
    "username_twin": 0,
    "created": 0,
    "question_id": 0,
    "answer": None,
    "nickname": "",
    "icon_id": 0,
    "signature": "",
    "vip": 0,
    "lobby": False,
    "disabled": False,
    "guest": "",
    "guest_seen": None,
}
