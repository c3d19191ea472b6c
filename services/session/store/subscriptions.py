"""Subscriptions: the devices that push services notify."""

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

import sqlalchemy as sa

from services.session.store.sql import check_room, lock_active, require_active
from services.session.tables.push import push_removed, push_subscription
from shared.contract.errors import ErrorCode, Reason, RequestError
from shared.contract.ids import AccountId
from shared.contract.push import IRC, MAIL, Subscribe, SubscriptionView
from shared.sql import insert

_ROW, _REMOVED = push_subscription.c, push_removed.c
MAIL_ORIGIN = "mailto:"
_VIEW = (_ROW.id, _ROW.sid, _ROW.origin, _ROW.kind, _ROW.language, _ROW.created, _ROW.last_ok, _ROW.last_error)


class PushDevice(NamedTuple):
    """The fields of a subscription that are needed to send. `attempts`: the number of attempts that have failed since
    `failing_since`. `last_ok`: the time of the last delivery (Unix ms)."""

    id: int
    account: AccountId
    sid: str
    endpoint: str
    origin: str
    p256dh: str
    auth: str
    vapid_key: str
    language: str
    attempts: int
    failing_since: int
    last_ok: int = 0
    kind: str = ""

    @property
    def is_mail(self) -> bool:
        return self.origin == MAIL_ORIGIN

    def __repr__(self) -> str:
        return f"PushDevice({self.id}, ***)"


DEVICE = tuple(_ROW[field] for field in PushDevice._fields)


class RemovedDevice(NamedTuple):
    """A device to remove, named by its number or its endpoint. `sid`: the login that removes the device."""

    account: AccountId
    number: int
    sid: str
    endpoint: str = ""


class NewDevice(NamedTuple):
    """A device that subscribes. `origin`: the origin of its endpoint."""

    request: Subscribe
    origin: str
    vapid_key: str


def common_origins(connection: sa.Connection, most: int) -> Sequence[str]:
    """The `most` push services with the most devices."""
    found = sa.select(_ROW.origin).where(_ROW.kind != MAIL).group_by(_ROW.origin).order_by(sa.func.count().desc())
    return connection.scalars(found.limit(most)).all()


def subscribe(connection: sa.Connection, new: NewDevice, most: int, now: int) -> int:
    """Stores a subscription and returns its number. If another account had the endpoint, it belongs to the new account
    from now on. The browser then has another user, who must not see the previous user's notifications. Raises
    RequestError."""
    request = new.request
    require_active(connection, [request.actor], "account")
    digest = _digest(request.endpoint)
    known = sa.select(_ROW.id, _ROW.account).where(_ROW.digest == digest)
    row = connection.execute(known.with_for_update()).one_or_none()
    is_new = row is None or row.account != request.actor
    _check_removed(connection, request, digest, is_new=is_new)
    if is_new:
        rule = "an account has at most {} subscriptions: unsubscribe one of its other devices first"
        check_room(connection, _ROW.account == request.actor, most, rule, "endpoint")
    values = {
        "account": request.actor, "sid": request.sid, "endpoint": request.endpoint, "origin": new.origin,
        "p256dh": request.p256dh, "auth": request.auth, "vapid_key": new.vapid_key, "kind": request.kind,
        "language": request.language, "attempts": 0, "failing_since": 0, "due": 0,
    }  # fmt: skip
    if row is not None and row.account != request.actor:
        connection.execute(sa.delete(push_subscription).where(_ROW.id == row.id))
    first = {"digest": digest, "created": now, "last_ok": 0, "last_error": "", "lease": "", "leased_until": 0}
    new_row = insert(connection, push_subscription).values(**values, **first)
    made = new_row.on_conflict_do_update(index_elements=["digest"], set_=values).returning(_ROW.id)
    number: int = connection.execute(made).scalar_one()
    return number


def _digest(endpoint: str) -> str:
    return hashlib.sha256(endpoint.encode()).hexdigest()


def _check_removed(connection: sa.Connection, request: Subscribe, digest: str, *, is_new: bool) -> None:
    """Raises RequestError if the user has removed the device, and the device subscribes again by itself. The device may
    have another endpoint or another login by now."""
    is_same = sa.or_(_REMOVED.digest == digest, sa.and_(_REMOVED.sid == request.sid, _REMOVED.sid != ""))
    removed = sa.and_(_REMOVED.account == request.actor, is_same)
    if not request.again:
        connection.execute(sa.delete(push_removed).where(removed))
    elif is_new and connection.execute(sa.select(_REMOVED.time).where(removed)).first():
        text = "you have removed this device: it is notified again once you ask for that on it"
        raise RequestError(ErrorCode.FORBIDDEN, text, "endpoint", 0, Reason.GONE)


def list_own(connection: sa.Connection, account: AccountId) -> list[SubscriptionView]:
    rows = connection.execute(sa.select(*_VIEW).where(_ROW.account == account).order_by(_ROW.id))
    return [SubscriptionView(*row) for row in rows]


def find_own(connection: sa.Connection, account: AccountId, number: int) -> PushDevice:
    """Raises RequestError."""
    row = connection.execute(sa.select(*DEVICE).where(_ROW.id == number, _ROW.account == account)).one_or_none()
    if row is None:
        raise RequestError(ErrorCode.NOT_FOUND, "there is no such subscription", "subscription")
    return PushDevice(**row._mapping)


def delete_own(connection: sa.Connection, removed: RemovedDevice, most: int, now: int) -> None:
    """Delete a subscription. If another login removes the device, the removal is remembered. The last `most` removals
    of an account are remembered. The account cannot subscribe meanwhile, because its profile is locked."""
    lock_active(connection, [removed.account])
    wanted = _ROW.digest == _digest(removed.endpoint) if removed.endpoint else _ROW.id == removed.number
    own = sa.and_(wanted, _ROW.account == removed.account)
    device = sa.select(_ROW.digest, _ROW.sid, _ROW.kind).where(own, _ROW.sid != removed.sid)
    found = connection.execute(device).one_or_none()
    connection.execute(sa.delete(push_subscription).where(own))
    if found is None or removed.endpoint:
        return
    login = {"time": now, "sid": "" if found.kind == IRC else found.sid}  # a user of IRC cannot bring a login back
    new = insert(connection, push_removed).values(account=removed.account, digest=found.digest, **login)
    connection.execute(new.on_conflict_do_update(index_elements=["account", "digest"], set_=login))
    mine = _REMOVED.account == removed.account
    last = sa.select(_REMOVED.digest).where(mine).order_by(_REMOVED.time.desc()).limit(most)
    connection.execute(sa.delete(push_removed).where(mine, _REMOVED.digest.not_in(last)))


def delete_of_account(connection: sa.Connection, account: AccountId) -> None:
    lock_devices(connection, _ROW.account == account)
    for table in (push_subscription, push_removed):
        connection.execute(sa.delete(table).where(table.c.account == account))


def lock_devices(connection: sa.Connection, wanted: sa.ColumnElement[bool]) -> None:
    """Lock devices in the order of their numbers. Transactions that change several devices or their notifications do
    this first, so that there are no deadlocks."""
    connection.execute(sa.select(_ROW.id).where(wanted).order_by(_ROW.id).with_for_update())


def note_accepted(connection: sa.Connection, devices: Sequence[int], now: int) -> None:
    accepted = {"last_ok": now, "last_error": "", "attempts": 0, "failing_since": 0}
    connection.execute(sa.update(push_subscription).where(_ROW.id.in_(devices)).values(**accepted))


def note_idle(connection: sa.Connection, devices: Sequence[int]) -> None:
    """Note that no notification waits for these devices. Earlier failures no longer count."""
    connection.execute(sa.update(push_subscription).where(_ROW.id.in_(devices)).values(attempts=0, failing_since=0))


def note_failed(connection: sa.Connection, device: PushDevice, error: str, since: int, due: int) -> None:
    """Note a failed attempt. The next attempt is at `due`. The attempts have failed since `since` (Unix ms)."""
    failed = {"last_error": error, "attempts": device.attempts + 1, "failing_since": since, "due": due}
    connection.execute(sa.update(push_subscription).where(_ROW.id == device.id).values(**failed))
