"""Happenings of groups: joins, departures, changes of modes and topics. The caller has locked the group."""

from collections.abc import Sequence

import msgspec
import sqlalchemy as sa

from services.session.domain import ALWAYS, hidden_error, shows_history
from services.session.store.sql import IS_MEMBER
from services.session.tables import chat, happening, member
from shared.contract.errors import ErrorCode
from shared.contract.happenings import Happening, HappeningKind, ListHappenings
from shared.contract.ids import NO_ACCOUNT, AccountId, ChatId
from shared.contract.members import ModeChange
from shared.contract.model import JoinPolicy

_encode = msgspec.json.encode
_decode_changes: msgspec.json.Decoder[list[ModeChange]] = msgspec.json.Decoder(list[ModeChange])


def record(
    connection: sa.Connection,
    number: ChatId,
    now: int,
    kind: HappeningKind,
    by: AccountId,
    account: AccountId = NO_ACCOUNT,
    text: str = "",
) -> int:
    """Stores a happening. Returns its time, which no other happening of the group has."""
    last = sa.select(sa.func.max(happening.c.time)).where(happening.c.chat == number)
    time = max(now, (connection.execute(last).scalar_one() or 0) + 1)
    values = {"chat": number, "time": time, "kind": kind, "by": by, "account": account, "text": text}
    connection.execute(sa.insert(happening).values(values))
    return time


def record_modes(
    connection: sa.Connection, number: ChatId, now: int, by: AccountId, changes: Sequence[ModeChange]
) -> int:
    """Stores changed modes, with * in place of the key of the group, because only present members may know the key."""
    shown = [msgspec.structs.replace(one, text="*") if one.mode == "k" else one for one in changes]
    return record(connection, number, now, HappeningKind.MODES, by, text=_encode(shown).decode())


def list_happenings(connection: sa.Connection, request: ListHappenings, limit: int) -> list[Happening]:
    """The happenings of a group, ordered by time. Raises RequestError unless the actor is a member."""
    since = max(request.after, _visible_from(connection, request.chat, request.actor) - 1)
    within = happening.c.chat == request.chat, happening.c.time > since, happening.c.time < request.before
    order = happening.c.time.desc() if request.newest else happening.c.time
    rows = connection.execute(sa.select(happening).where(*within).order_by(order).limit(limit)).all()
    return sorted((_happening(row) for row in rows), key=lambda one: one.time)


def _visible_from(connection: sa.Connection, number: ChatId, actor: AccountId) -> int:
    """The time of the first happening that a member may see. If the group does not show its history to new members,
    this is the member's own join."""
    columns = member.c.first_index, member.c.unread_from, chat.c.join_policy, chat.c.history_for_new
    own = sa.select(*columns).join(chat, chat.c.id == member.c.chat)
    own = own.where(member.c.chat == number, member.c.account == actor, IS_MEMBER)
    row = connection.execute(own).one_or_none()
    if row is None:
        raise hidden_error(ErrorCode.FORBIDDEN)
    if row.unread_from is None:  # the join is not finished, so its happening has no time yet
        return ALWAYS
    is_first = row.unread_from <= 1  # there was no message, which would show whether the member sees earlier ones
    if row.first_index <= 1 and (not is_first or shows_history(JoinPolicy(row.join_policy), row.history_for_new)):
        return 0
    joins = sa.select(sa.func.max(happening.c.time)).where(
        happening.c.chat == number, happening.c.account == actor, happening.c.kind == HappeningKind.JOIN
    )
    return connection.execute(joins).scalar_one() or 0


def _happening(row: sa.Row[tuple[object, ...]]) -> Happening:
    kind = HappeningKind(row.kind)
    text, changes = (row.text, []) if kind is not HappeningKind.MODES else ("", _decode_changes.decode(row.text))
    return Happening(row.time, kind, AccountId(row.by), AccountId(row.account), text, changes)


def expire(connection: sa.Connection, before: int, most: int) -> None:
    """Deletes the oldest happenings before `before`. At most `most` are deleted, so that locks are held only
    briefly."""
    key = happening.c.chat, happening.c.time
    old = sa.select(*key).where(happening.c.time < before).order_by(happening.c.time).limit(most)
    connection.execute(sa.delete(happening).where(sa.tuple_(*key).in_(old)))
