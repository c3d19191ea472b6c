"""The settings that an account has for itself. The account gets a row at the first change."""

import sqlalchemy as sa
from msgspec import UNSET, structs

from services.session.store.sql import require_active
from services.session.tables import own_settings
from shared.contract.errors import ErrorCode, Reason, RequestError
from shared.contract.ids import AccountId
from shared.contract.own_settings import OwnSettings, SetOwnSettings
from shared.sql import insert

_FIELDS = OwnSettings.__struct_fields__


def find(connection: sa.Connection, account: AccountId) -> OwnSettings:
    columns = sa.select(*(own_settings.c[field] for field in _FIELDS)).where(own_settings.c.account == account)
    row = connection.execute(columns).one_or_none()
    return OwnSettings() if row is None else OwnSettings(*row)


def change(connection: sa.Connection, request: SetOwnSettings) -> OwnSettings:
    """Changes the settings. The lock of the profile's row orders concurrent changes. Raises RequestError."""
    require_active(connection, [request.actor], "account")
    before = find(connection, request.actor)
    if request.if_rev not in (None, before.rev):
        raise RequestError(
            ErrorCode.CONFLICT, f"the settings are those of rev {before.rev}", "if_rev", 0, Reason.CHANGED
        )
    given = {field: getattr(request, field) for field in _FIELDS if field != "rev"}
    values = {field: value for field, value in given.items() if value is not UNSET}
    changed = structs.replace(before, **values, rev=before.rev + 1)
    new = insert(connection, own_settings).values(account=request.actor, **structs.asdict(changed))
    connection.execute(new.on_conflict_do_update(index_elements=["account"], set_={**values, "rev": changed.rev}))
    return changed
