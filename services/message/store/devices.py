"""Stores the devices of accounts that get their own missed messages; see OpenDevice."""

from collections.abc import Collection

import sqlalchemy as sa

from services.message.domain import reader
from services.message.tables import cursors, devices
from shared.contract.ids import AccountId, DeviceId
from shared.contract.message import MAX_DEVICES, OpenDevice
from shared.sql import insert

_DAY_MS = 24 * 60 * 60 * 1000
_BEGIN = sa.text("""
    INSERT INTO cursors (account_id, chat_id, read_index, above)
    SELECT CAST(:reader AS bigint), chat_id, read_index, above FROM cursors WHERE account_id = :account
    ON CONFLICT DO NOTHING""")
_DELETE = sa.delete(cursors).where(
    cursors.c.account_id == sa.bindparam("reader"), cursors.c.chat_id == sa.bindparam("chat")
)


def open_device(connection: sa.Connection, request: OpenDevice, now: int) -> DeviceId:
    is_meant = sa.and_(devices.c.account_id == request.account, devices.c.name == request.name)
    row = connection.execute(sa.select(devices.c.id, devices.c.used).where(is_meant)).one_or_none()
    if row is None:
        return _add(connection, request, now)
    if row.used < now - _DAY_MS:
        connection.execute(sa.update(devices).where(devices.c.id == row.id).values(used=now))
    return DeviceId(row.id)


def _add(connection: sa.Connection, request: OpenDevice, now: int) -> DeviceId:
    account = request.account
    new = insert(connection, devices).values(account_id=account, name=request.name, used=now)
    added = new.on_conflict_do_update(index_elements=["account_id", "name"], set_={"used": now})
    device = DeviceId(connection.execute(added.returning(devices.c.id)).scalar_one())
    connection.execute(_BEGIN, {"reader": reader(account, device), "account": account})
    others = sa.select(devices.c.id).where(devices.c.account_id == account, devices.c.id != device)
    by_age = others.order_by(devices.c.used, devices.c.id)
    _remove(connection, connection.scalars(by_age).all()[: 1 - MAX_DEVICES])
    return device


def list_devices(connection: sa.Connection, account: AccountId) -> list[str]:
    return [*connection.scalars(sa.select(devices.c.name).where(devices.c.account_id == account).order_by("name"))]


def present(connection: sa.Connection, wanted: Collection[DeviceId]) -> frozenset[int]:
    """Those of these devices that are not removed."""
    if not wanted:
        return frozenset()
    return frozenset(connection.scalars(sa.select(devices.c.id).where(devices.c.id.in_(wanted))))


def remove_all(connection: sa.Connection, account: AccountId) -> None:
    _remove(connection, connection.scalars(sa.select(devices.c.id).where(devices.c.account_id == account)).all())


def _remove(connection: sa.Connection, removed: Collection[int]) -> None:
    if removed:
        delete_cursors(connection, [-one for one in removed])
        connection.execute(sa.delete(devices).where(devices.c.id.in_(removed)))


def delete_cursors(connection: sa.Connection, readers: Collection[int]) -> None:
    """Delete the read states one by one, in the order in which `mark_read` locks them. Otherwise, PostgreSQL would lock
    them in any order, and there could be a deadlock."""
    key = cursors.c.account_id, cursors.c.chat_id
    rows = connection.execute(sa.select(*key).where(cursors.c.account_id.in_(readers)).order_by(*key)).all()
    if rows:
        connection.execute(_DELETE, [{"reader": number, "chat": chat} for number, chat in rows])
