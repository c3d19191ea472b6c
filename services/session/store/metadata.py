"""Metadata of accounts and groups."""

import sqlalchemy as sa

from services.session import domain
from services.session.store.memberships import lock_group
from services.session.store.sql import IS_MEMBER, insert, lock_active, role_of
from services.session.tables import chat, member, metadata_value
from shared.contract.errors import ErrorCode
from shared.contract.ids import NO_ACCOUNT, AccountId, ChatId
from shared.contract.metadata import MOST_KEYS, NO_CHAT, ListMetadata, MetadataValue, SetMetadata
from shared.contract.model import ChatKind, JoinPolicy

_MOST_LISTED = 500
_VALUE = metadata_value.c.account, metadata_value.c.chat, metadata_value.c.key, metadata_value.c.value


def list_values(connection: sa.Connection, request: ListMetadata) -> list[MetadataValue]:
    """Raises RequestError."""
    if request.chat:
        is_member = _check_readable(connection, request.chat, request.actor)
        owner = _of(NO_ACCOUNT, request.chat)
    else:
        is_member, owner = False, _of(request.account, NO_CHAT)
    found = [_select(owner, request.keys)]
    if is_member and request.members:
        members = sa.select(member.c.account).where(member.c.chat == request.chat, IS_MEMBER)
        found.append(
            _select(sa.and_(metadata_value.c.account.in_(members), metadata_value.c.chat == NO_CHAT), request.keys)
        )
    return [
        MetadataValue(AccountId(row.account), ChatId(row.chat), row.key, row.value)
        for one in found
        for row in connection.execute(one)
    ]


def _select(owner: sa.ColumnElement[bool], keys: tuple[str, ...]) -> sa.Select[int, int, str, str]:
    rows = sa.select(*_VALUE).where(owner)
    rows = rows.where(metadata_value.c.key.in_(keys)) if keys else rows
    return rows.order_by(metadata_value.c.account, metadata_value.c.key).limit(_MOST_LISTED)


def _of(account: AccountId, number: ChatId) -> sa.ColumnElement[bool]:
    return sa.and_(metadata_value.c.account == account, metadata_value.c.chat == number)


def _check_readable(connection: sa.Connection, number: ChatId, actor: AccountId) -> bool:
    """Checks that the actor may read the group's metadata: the actor is a member, or the group can be found and joined.
    Returns whether the actor is a member. Raises RequestError."""
    if role_of(connection, number, actor) is not None:
        return True
    row = connection.execute(
        sa.select(chat.c.id).where(
            chat.c.id == number, chat.c.kind == ChatKind.GROUP, chat.c.join_policy == JoinPolicy.OPEN,
            chat.c.join_key == "", ~chat.c.modes.contains("s"),
        )
    ).first()  # fmt: skip
    if row is None:
        raise domain.hidden_error(ErrorCode.FORBIDDEN)
    return False


def set_value(connection: sa.Connection, request: SetMetadata) -> list[MetadataValue]:
    """Sets a value. Returns the values that have changed. Raises RequestError."""
    if request.chat:
        group = lock_group(connection, request.chat)
        domain.check_can_manage(role_of(connection, group.id, request.actor))
        account = NO_ACCOUNT
    else:
        domain.check_own(request.actor, request.account)
        account = request.account
        if not lock_active(connection, [account]):
            raise domain.account_not_found(account)
    owner = _of(account, request.chat)
    present = {row.key: row.value for row in connection.execute(_select(owner, ()))}
    if not request.value:
        gone = [request.key] if request.key else list(present)
        connection.execute(sa.delete(metadata_value).where(owner, metadata_value.c.key.in_(gone)))
        return [MetadataValue(account, request.chat, key, "") for key in gone if key in present]
    if request.key not in present:
        domain.check_count(len(present), MOST_KEYS, "at most {} keys", "key")
    if present.get(request.key) == request.value:
        return []
    values = {"account": account, "chat": request.chat, "key": request.key, "value": request.value}
    insertion = insert(connection, metadata_value).values(values)
    key = [metadata_value.c.account, metadata_value.c.chat, metadata_value.c.key]
    connection.execute(insertion.on_conflict_do_update(index_elements=key, set_={"value": request.value}))
    return [MetadataValue(account, request.chat, request.key, request.value)]
