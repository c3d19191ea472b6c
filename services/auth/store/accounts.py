"""Stored accounts, secrets, revocations. Every function is one step of a transaction."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, assert_never

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from services.auth import domain
from services.auth.domain import Account, VerificationSubject
from services.auth.store import verifications
from services.auth.store.outbox import add_event
from services.auth.tables import accounts, revocations, secrets, state
from shared.contract.auth import IdentifierKind, Register, Revocation, Revocations
from shared.contract.events import AccountDeleted, AccountRegistered
from shared.contract.ids import SYSTEM_UUID, AccountId
from shared.contract.model import Scheme
from shared.contract.session import EnsureProfile
from shared.contract.subjects import ACCOUNT_DELETED, ACCOUNT_REGISTERED

REVOCATIONS_PER_PAGE = 1000
"""Revocations in one answer to a watch: some 70 KiB."""


@dataclass(frozen=True, slots=True)
class NewAccount:
    """A registration whose secrets are hashed; with `holder`, its verification is used up with it."""

    request: Register
    uuid: str
    created: int
    lobby: bool
    verifiers: Mapping[Scheme, str]
    answer: str | None
    holder: VerificationSubject | None


class IdentifierTaken(Exception):
    """Another account has this e-mail, username or uuid."""

    def __init__(self, field: str) -> None:
        super().__init__(field)
        self.field = field


class NotVerified(Exception):
    """The verification that this registration stood on is used up or expired."""


@dataclass(frozen=True, slots=True)
class AccountSnapshot:
    """`revision`: the highest revocation number in the same snapshot."""

    account: Account | None
    revision: int


# Accounts


def find_conflict(connection: sa.Connection, request: Register) -> str | None:
    """The field of this registration that another account has."""
    if request.uuid.lower() == SYSTEM_UUID:
        return "uuid"
    wanted = (
        ("email", accounts.c.email_key, domain.email_key(request.email)),
        ("username", accounts.c.username, request.username),
        ("uuid", accounts.c.uuid, request.uuid),
    )
    for field, column, value in wanted:
        if value and connection.execute(sa.select(accounts.c.id).where(column == value)).first():
            return field
    return None


def register(connection: sa.Connection, new: NewAccount) -> AccountSnapshot:
    """Raises Taken, NotVerified."""
    if new.holder is not None and not verifications.consume(connection, new.holder, new.request.ticket, new.created):
        raise NotVerified
    try:
        with connection.begin_nested():
            account = connection.execute(accounts.insert().values(_row(new)).returning(accounts.c.id)).scalar_one()
    except IntegrityError as error:
        field = find_conflict(connection, new.request)
        if field is None:
            raise
        raise IdentifierTaken(field) from error
    _insert_verifiers(connection, account, new.verifiers)
    registered = find(connection, IdentifierKind.ID, str(account))
    assert registered.account is not None
    add_event(connection, ACCOUNT_REGISTERED, AccountRegistered(registered.account.profile))
    return registered


def _row(new: NewAccount) -> dict[str, Any]:
    request = new.request
    return {
        "uuid": new.uuid,
        "email": request.email or None,
        "email_key": domain.email_key(request.email) or None,
        "username": request.username or None,
        "created": new.created,
        "question_id": request.question_id,
        "answer": new.answer,
        "nickname": request.nickname,
        "icon_id": request.icon_id,
        "signature": request.signature,
        "vip": request.vip,
        "lobby": new.lobby,
    }


def find(connection: sa.Connection, kind: IdentifierKind, identifier: str) -> AccountSnapshot:
    """The account an identifier names, in as many statements whether there is one or not."""
    best = (
        sa.select(accounts)
        .where(accounts.c.uuid.is_not(None), _identified_by(kind, identifier))
        .order_by(
            sa.case(
                (accounts.c.username == identifier, 0),
                (accounts.c.email_key == domain.email_key(identifier), 1),
                else_=2,
            )
        )
        .limit(1)
        .subquery()
    )
    voided = sa.select(sa.func.max(revocations.c.seconds)).where(
        revocations.c.account == best.c.id, revocations.c.sid == ""
    )
    held = sa.select(best, secrets.c.scheme, secrets.c.verifier, voided.scalar_subquery().label("tokens_from"))
    held = held.outerjoin(secrets, secrets.c.account == best.c.id)
    return AccountSnapshot(_account(connection.execute(held).all()), _state(connection, "revocations"))


def _identified_by(kind: IdentifierKind, identifier: str) -> sa.ColumnElement[bool]:
    by_username = accounts.c.username == identifier
    by_email = accounts.c.email_key == domain.email_key(identifier)
    by_number = accounts.c.id == domain.parse_oc_number(identifier)
    match kind:
        case IdentifierKind.USERNAME:
            return by_username
        case IdentifierKind.EMAIL:
            return by_email
        case IdentifierKind.ID:
            return by_number
        case IdentifierKind.UUID:
            return accounts.c.uuid == identifier
        case IdentifierKind.ANY:
            return by_username | by_email | by_number
        case _:
            assert_never(kind)


def _account(rows: Sequence[sa.Row[Any]]) -> Account | None:
    """From one row per secret."""
    if not rows:
        return None
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
    )
    return Account(
        profile=profile,
        email=row.email or "",
        username=row.username or "",
        verifiers={Scheme(row.scheme): row.verifier for row in rows if row.scheme},
        question_id=row.question_id,
        answer=row.answer,
        tokens_from=row.tokens_from or 0,
        disabled=row.disabled,
    )


def holds_verifier(connection: sa.Connection, account: AccountId, scheme: Scheme, verifier: str) -> bool:
    """Whether the account still holds the verifier that a secret has just opened, and is not disabled."""
    return connection.execute(sa.select(secrets.c.account).where(*_owns(account, scheme, verifier))).first() is not None


def replace_verifier(connection: sa.Connection, account: AccountId, scheme: Scheme, old: str, new: str) -> bool:
    """Renew a verifier; False: the account does not hold the old one any more, or is disabled."""
    renewed = secrets.update().where(*_owns(account, scheme, old)).values(verifier=new)
    return connection.execute(renewed).rowcount == 1


def _owns(account: AccountId, scheme: Scheme, verifier: str) -> tuple[sa.ColumnElement[bool], ...]:
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
    """Replace all secrets of an account, and void its tokens issued before `seconds`. None: it does not hold the
    answer any more, or is disabled."""
    allowed = sa.and_(accounts.c.answer == answer, ~accounts.c.disabled)
    return _replace_secrets(connection, account, allowed, verifiers, seconds)


def reset_secrets(
    connection: sa.Connection, account: AccountId, verifiers: Mapping[Scheme, str], seconds: int
) -> Revocation | None:
    """As the operator wants it. None: there is no such account (any more)."""
    return _replace_secrets(connection, account, accounts.c.uuid.is_not(None), verifiers, seconds)


def _replace_secrets(
    connection: sa.Connection,
    account: AccountId,
    allowed: sa.ColumnElement[bool],
    verifiers: Mapping[Scheme, str],
    seconds: int,
) -> Revocation | None:
    """Two at the same time come one after the other: the account's row is locked."""
    living = sa.select(accounts.c.id).where(accounts.c.id == account, allowed).with_for_update()
    if connection.execute(living).first() is None:
        return None
    connection.execute(secrets.delete().where(secrets.c.account == account))
    _insert_verifiers(connection, account, verifiers)
    return revoke(connection, account, "", seconds)


def disable(connection: sa.Connection, account: AccountId, seconds: int) -> Revocation | None:
    """Void the account's tokens issued before `seconds`; its secrets open nothing any more. None: there is no such
    account."""
    return revoke(connection, account, "", seconds) if _set_disabled(connection, account, True) else None


def enable(connection: sa.Connection, account: AccountId) -> bool:
    """False: there is no such account."""
    return _set_disabled(connection, account, False)


def _set_disabled(connection: sa.Connection, account: AccountId, disabled: bool) -> bool:
    living = sa.and_(accounts.c.id == account, accounts.c.uuid.is_not(None))
    return connection.execute(accounts.update().where(living).values(disabled=disabled)).rowcount == 1


def set_security(connection: sa.Connection, account: AccountId, question_id: int, answer: str | None) -> bool:
    """False: there is no such account (any more)."""
    living = sa.and_(accounts.c.id == account, accounts.c.uuid.is_not(None))
    change = accounts.update().where(living).values(question_id=question_id, answer=answer)
    return connection.execute(change).rowcount == 1


def erase(connection: sa.Connection, account: AccountId, seconds: int) -> Revocation | None:
    """Leave nothing of an account but its id; void its tokens issued before `seconds`. None: it was so before."""
    living = sa.and_(accounts.c.id == account, accounts.c.uuid.is_not(None))
    if connection.execute(accounts.update().where(living).values(_TOMBSTONE)).rowcount == 0:
        return None
    connection.execute(secrets.delete().where(secrets.c.account == account))
    verifications.delete_of_account(connection, account)
    add_event(connection, ACCOUNT_DELETED, AccountDeleted(account))
    return revoke(connection, account, "", seconds)


_TOMBSTONE: dict[str, Any] = {
    "uuid": None,
    "email": None,
    "email_key": None,
    "username": None,
    "created": 0,
    "question_id": 0,
    "answer": None,
    "nickname": "",
    "icon_id": 0,
    "signature": "",
    "vip": 0,
    "lobby": False,
    "disabled": False,
}


# Revocations and maintenance


def revoke(connection: sa.Connection, account: AccountId, sid: str, seconds: int) -> Revocation:
    """Void the tokens of one login session or, without `sid`, the account's issued before `seconds` (Unix)."""
    count = state.update().where(state.c.name == "revocations").values(value=state.c.value + 1).returning(state.c.value)
    revocation = Revocation(connection.execute(count).scalar_one(), account, sid, seconds)
    connection.execute(revocations.insert().values(number=revocation.number, account=account, sid=sid, seconds=seconds))
    return revocation


def is_revoked(connection: sa.Connection, account: AccountId, sid: str) -> bool:
    found = sa.select(revocations.c.number).where(revocations.c.account == account, revocations.c.sid == sid)
    return connection.execute(found.limit(1)).first() is not None


def list_revocations(connection: sa.Connection, since: int) -> Revocations:
    """Revocations after a number, in order, a page."""
    facts = {row.name: row.value for row in connection.execute(sa.select(state))}
    last, page = facts["revocations"], list[Revocation]()
    if last > since:
        later = (
            revocations.select()
            .where(revocations.c.number > since)
            .order_by(revocations.c.number)
            .limit(REVOCATIONS_PER_PAGE)
        )
        page = [Revocation(row.number, row.account, row.sid, row.seconds) for row in connection.execute(later)]
    more = bool(page) and len(page) == REVOCATIONS_PER_PAGE and page[-1].number < last
    return Revocations(last, page, bool(facts["maintenance"]), more)


def set_maintenance(connection: sa.Connection, on: bool) -> None:
    connection.execute(state.update().where(state.c.name == "maintenance").values(value=int(on)))


def purge_revocations(connection: sa.Connection, before_seconds: int) -> None:
    """Forget what no living token can be touched by any more."""
    connection.execute(revocations.delete().where(revocations.c.seconds < before_seconds))


def _state(connection: sa.Connection, name: str) -> int:
    value: int = connection.execute(sa.select(state.c.value).where(state.c.name == name)).scalar_one()
    return value
