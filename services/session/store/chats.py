"""Chats and their members."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
import sqlalchemy as sa

from services.session.domain import (
    ALWAYS,
    LOBBY,
    LOBBY_NAME,
    MEMBER_LIST_FIELDS,
    ascii_lower,
    check_can_manage,
    check_chat_count,
    check_is_owner,
    check_member_count,
    default_name,
    hidden_error,
    pair_of,
    private_name,
)
from services.session.store import happenings, masks
from services.session.store.bans import banned_until, silences
from services.session.store.blocks import blocked_members, require_unblocked
from services.session.store.friends import friends_of
from services.session.store.memberships import count_groups, friends_among, lock_group
from services.session.store.pending_notifications import store_added
from services.session.store.sql import (
    CHAT,
    HAS_HANDLE,
    IS_MEMBER,
    LockedGroup,
    chat_of,
    handle_taken,
    later,
    lock_active,
    members_of,
    pair_key,
    parse_pair,
    require_active,
    require_readers,
    role_of,
    slices,
    taken_as,
    touch,
)
from services.session.tables import ascii_lower as folded
from services.session.tables import chat, mask, member, outgoing_webhook, profile
from shared.contract.errors import ErrorCode
from shared.contract.happenings import HappeningKind
from shared.contract.ids import NO_ACCOUNT, SYSTEM_ACCOUNT, AccountId, ChatId
from shared.contract.model import Chat, ChatKind, JoinPolicy, MemberPair, Role
from shared.contract.session import ChangeTimes, ChatEntry, ChatList, CreateChat, GetMembership, Member, Membership
from shared.setting_types import Language
from shared.settings.limits import GroupLimits
from shared.sql import insert

_INT64_MAX = 2**63 - 1
FINISHED = sa.select(member.c.chat, member.c.first_index, member.c.unread_from).where(
    IS_MEMBER, member.c.unread_from.is_not(None)
)
"""Selects memberships, without unfinished joins."""


def _page_of(members: sa.Select[Any], *order: sa.Column[int]) -> sa.Select[Any]:
    """Selects a page of these member rows with the `pair` of their chats. The subquery limits the rows before they are
    joined with the chats. Without it, the database could join all rows first."""
    page = members.add_columns(member.c.account).order_by(*order).limit(sa.bindparam("limit", type_=sa.Integer))
    found = page.subquery()
    listed = sa.select(found.c.chat, found.c.first_index, found.c.unread_from, chat.c.pair, found.c.account)
    return listed.join(chat, chat.c.id == found.c.chat).order_by(found.c.account, found.c.chat)


_PAGE = _page_of(
    FINISHED.where(member.c.account == sa.bindparam("account"), member.c.chat > sa.bindparam("after")), member.c.chat
)
_FIRST_PAGES = _page_of(
    FINISHED.where(member.c.account.in_(sa.bindparam("accounts", expanding=True))), member.c.account, member.c.chat
)


# Creating chats


class CreatedChat(NamedTuple):
    """A new group. `event_numbers`: the numbers of the notifications that are stored for the added members."""

    chat: Chat
    event_numbers: dict[AccountId, int]


def insert_lobby(connection: sa.Connection, now: int) -> None:
    """Create the lobby if it is missing. The lobby is open and has no owner."""
    values = _default_values(LOBBY_NAME, NO_ACCOUNT, now) | {"id": LOBBY, "join_policy": JoinPolicy.OPEN}
    connection.execute(insert(connection, chat).values(values).on_conflict_do_nothing())


def create_group(
    connection: sa.Connection,
    request: CreateChat,
    members: Sequence[AccountId],
    limits: GroupLimits,
    now: int,
    language: Language = "zh",
) -> CreatedChat:
    """Create a group of these members, the owner first; if a guest creates the group, the guest becomes an admin and
    the group has no owner. `language`: the language of the group's default name, if the group has no name. Raises
    RequestError when the handle is taken, or a member is unknown or deleted, or blocks the owner, or has too many
    groups."""
    nicknames = require_active(connection, members, "members")
    require_unblocked(connection, request.actor, members, "members")
    require_readers(connection, members, "members")
    _check_counts(connection, request.actor, members, limits)
    named = [nicknames[account] for account in members[:3]]
    made = None if request.name else default_name(named, limits.group_name_characters, language)
    values = _default_values(made or request.name, request.actor, now) | {
        "default_name": made,
        "join_policy": request.join_policy,
        "avatar": request.avatar,
        "avatar_hash": request.avatar_hash,
        "handle": request.handle,
    }
    first = Role.OWNER
    if is_guest(connection, request.actor):
        first = Role.ADMIN
        values |= {"owner": NO_ACCOUNT, "ownerless": True}
    with taken_as(connection, handle_taken()):
        group = _insert_chat(connection, values, [first] + [Role.MEMBER] * (len(members) - 1), members)
    touch(connection, members, now)
    return CreatedChat(group, store_added(connection, members[1:], group, now))


def _check_counts(
    connection: sa.Connection, actor: AccountId, members: Sequence[AccountId], limits: GroupLimits
) -> None:
    """Checks that each member may be in one more group. Accounts that are no friends can use up half of an account's
    groups, so that they cannot prevent the account from making or joining groups. Raises RequestError."""
    counts, friends = dict[AccountId, int](), set[AccountId]()
    for some in slices(members):
        counts |= count_groups(connection, some)
        friends.update(connection.execute(friends_among(actor, some)).scalars())
    check_chat_count(counts.get(actor, 0), limits)
    for account in members[1:]:
        check_member_count(counts.get(account, 0), limits, is_friend=account in friends)


def is_guest(connection: sa.Connection, account: AccountId) -> bool:
    guest = sa.select(profile.c.id).where(profile.c.id == account, profile.c.guest != "")
    return connection.execute(guest).first() is not None


def find_handle(connection: sa.Connection, handle: str) -> ChatId | None:
    named = sa.select(chat.c.id).where(folded(chat.c.handle) == ascii_lower(handle), HAS_HANDLE)
    number = connection.execute(named).scalar_one_or_none()
    return None if number is None else ChatId(number)


def find_private(connection: sa.Connection, pair: MemberPair) -> ChatId | None:
    """The private chat of two active accounts; None if there is none."""
    active = sa.select(sa.func.count()).where(profile.c.id.in_(pair), profile.c.deleted.is_(False))
    if connection.execute(active).scalar_one() < len({*pair}):
        return None
    number = connection.execute(sa.select(chat.c.id).where(chat.c.pair == pair_key(pair))).scalar_one_or_none()
    return None if number is None else ChatId(number)


def open_private(connection: sa.Connection, pair: MemberPair, actor: AccountId, now: int) -> tuple[ChatId, Chat | None]:
    """Opens the private chat of two accounts, or of an account with itself. Returns its id, and the chat if this call
    has created it. Raises RequestError when an account is unknown or deleted, or blocks the actor that creates the
    chat."""
    members = sorted({*pair})
    nicknames = require_active(connection, members, "account")
    if (number := find_private(connection, pair)) is not None:
        return number, None
    require_unblocked(connection, actor, members, "account")
    require_readers(connection, members, "account")
    values = _default_values(private_name(nicknames, pair), NO_ACCOUNT, now) | {
        "kind": ChatKind.PRIVATE, "join_policy": JoinPolicy.CLOSED, "pair": pair_key(pair),
    }  # fmt: skip
    created = _insert_chat(connection, values, [Role.MEMBER] * len(members), members)
    touch(connection, members, now)
    return created.id, created


def open_announcement_chats(
    connection: sa.Connection, accounts: Sequence[AccountId], now: int
) -> tuple[dict[AccountId, ChatId], dict[AccountId, Chat]]:
    """Opens the chats of these accounts with the system account. Unknown and deleted accounts are left out. Returns the
    chats' ids, and the chats that this call has created."""
    nicknames = lock_active(connection, [SYSTEM_ACCOUNT, *accounts])
    pairs = {pair_key(pair_of(SYSTEM_ACCOUNT, account)): account for account in accounts if account in nicknames}
    rows = connection.execute(sa.select(chat.c.pair, chat.c.id).where(chat.c.pair.in_(pairs)))
    existing = {pairs[row.pair]: ChatId(row.id) for row in rows}
    missing = {pair: account for pair, account in pairs.items() if account not in existing}
    created = _insert_announcement_chats(connection, missing, nicknames[SYSTEM_ACCOUNT], now) if missing else {}
    touch(connection, list(created), now)
    return existing | {account: one.id for account, one in created.items()}, created


def _insert_announcement_chats(
    connection: sa.Connection, accounts: Mapping[str, AccountId], name: str, now: int
) -> dict[AccountId, Chat]:
    """Insert one chat for each pair with the system account, all in two statements. The caller records the change in
    the profiles."""
    values = _default_values(name, SYSTEM_ACCOUNT, now) | {
        "kind": ChatKind.SERVICE, "join_policy": JoinPolicy.CLOSED, "size": 2, "seats": 2,
    }  # fmt: skip
    insertion = sa.insert(chat).returning(*CHAT, chat.c.pair)
    rows = connection.execute(insertion, [values | {"pair": pair} for pair in accounts])
    created = {accounts[row.pair]: chat_of(row._mapping) for row in rows}
    roles = (Role.OWNER, Role.MEMBER)
    members = [row for account, one in created.items() for row in _member_rows(one, roles, (SYSTEM_ACCOUNT, account))]
    connection.execute(sa.insert(member), members)
    return created


def _insert_chat(
    connection: sa.Connection, values: dict[str, object], roles: Sequence[Role], members: Sequence[AccountId]
) -> Chat:
    """Insert a chat whose members see it from its first message on. The caller records the change in the members'
    profiles."""
    counted = values | {"size": len(members), "seats": len(members)}
    created = chat_of(connection.execute(sa.insert(chat).values(counted).returning(*CHAT)).one()._mapping)
    connection.execute(sa.insert(member), _member_rows(created, roles, members))
    return created


def _member_rows(created: Chat, roles: Sequence[Role], members: Sequence[AccountId]) -> list[dict[str, int]]:
    return [
        {
            "chat": created.id, "account": account, "role": role, "seat": seat, "first_index": 1, "unread_from": 1,
            "version": created.version,
        }
        for seat, (account, role) in enumerate(zip(members, roles, strict=True))
    ]  # fmt: skip


def _default_values(name: str, owner: AccountId, now: int) -> dict[str, object]:
    return {
        "kind": ChatKind.GROUP, "name": name, "owner": owner, "avatar": "", "avatar_hash": "", "created": now,
        "updated": now, "version": 1, "size": 0, "seats": 0,
    }  # fmt: skip


# Changing chats


class ChangedChat(NamedTuple):
    """A changed group. `members`: all members; None if there are many."""

    chat: Chat
    members: list[AccountId] | None


def set_chat(
    connection: sa.Connection,
    number: ChatId,
    actor: AccountId,
    values: Mapping[str, object],
    now: int,
    broadcast_from: int,
) -> ChangedChat:
    """Change these columns of the group. The result does not list the members if there are `broadcast_from` or more. A
    change that the message service applies gets a new version. Raises RequestError."""
    group = _lock_changed(connection, number, actor, values)
    if "handle" in values and not group.ownerless:
        check_is_owner(role_of(connection, group.id, actor))
    more: dict[str, object] = {"version": chat.c.version + 1} if values.keys() & MEMBER_LIST_FIELDS else {}
    if "topic" in values and _is_new_topic(connection, group.id, values["topic"]):
        time = happenings.record(connection, group.id, now, HappeningKind.TOPIC, actor, text=str(values["topic"]))
        more |= {"topic_by": actor, "topic_time": time}
    changed = sa.update(chat).where(chat.c.id == group.id)
    changed = changed.values(**values, **more, updated=later(chat.c.updated, now))
    with taken_as(connection, handle_taken()):
        stored = chat_of(connection.execute(changed.returning(*CHAT)).one()._mapping)
    if group.size >= broadcast_from:
        return ChangedChat(stored, None)
    members = members_of(connection, group.id)
    lock_active(connection, members)
    touch(connection, members, now)
    return ChangedChat(stored, members)


def _is_new_topic(connection: sa.Connection, number: ChatId, topic: object) -> bool:
    """Whether the topic differs from the stored one. If a command is repeated, it does not."""
    return connection.scalar(sa.select(chat.c.topic).where(chat.c.id == number)) != topic


def _lock_changed(
    connection: sa.Connection, number: ChatId, actor: AccountId, values: Mapping[str, object]
) -> LockedGroup:
    """Lock a group that the actor may change. In a group without the mode `t`, every member may set the topic. Raises
    RequestError."""
    group, role = lock_group(connection, number), role_of(connection, number, actor)
    free = sa.select(chat.c.id).where(chat.c.id == number, ~chat.c.modes.contains("t"))
    if role is None or values.keys() != {"topic"} or connection.execute(free).first() is None:
        check_can_manage(role)
    return group


# Reading chats


def version_of(connection: sa.Connection, number: ChatId) -> int:
    return connection.execute(_select_version(number)).scalar_one()


def chats_of(connection: sa.Connection, account: AccountId, limit: int) -> list[ChatId]:
    """The account's newest chats, ascending."""
    own = finished_memberships(account).with_only_columns(member.c.chat)
    newest = connection.execute(own.order_by(member.c.chat.desc()).limit(limit)).scalars().all()
    return [ChatId(number) for number in reversed(newest)]


def left_chats(connection: sa.Connection, account: AccountId, limit: int) -> list[ChatId]:
    """The newest chats that the account was in, ascending."""
    left = sa.select(member.c.chat).where(member.c.account == account, member.c.role == Role.LEFT)
    newest = connection.execute(left.order_by(member.c.chat.desc()).limit(limit)).scalars().all()
    return [ChatId(number) for number in reversed(newest)]


def lists_of(
    connection: sa.Connection, account: AccountId, limit: int, *, left: bool
) -> tuple[list[ChatId], list[AccountId], list[ChatId] | None]:
    """The chats and friends of the account and, with `left`, the account's previous chats."""
    chats, friends = chats_of(connection, account, limit), friends_of(connection, account, limit)
    return chats, friends, left_chats(connection, account, limit) if left else None


def list_chats(connection: sa.Connection, account: AccountId, after: ChatId, limit: int) -> ChatList:
    """A page of the account's chats by id, after `after`."""
    rows = connection.execute(_PAGE, {"account": account, "after": after, "limit": limit + 1}).all()
    return ChatList(_entries(rows[:limit]), more=len(rows) > limit)


def list_chats_with_others(
    connection: sa.Connection, page: Callable[[sa.Connection], ChatList], others: Sequence[AccountId], limit: int
) -> ChatList:
    """A page of one account's chats. The result also has all chats of as many other accounts as fit within `limit`
    entries."""
    own = page(connection)
    return msgspec.structs.replace(own, also=_first_pages(connection, others, limit - len(own.entries)))


def _first_pages(connection: sa.Connection, accounts: Sequence[AccountId], limit: int) -> dict[AccountId, ChatList]:
    """All chats of the first accounts. As many accounts are included as have at most `limit` chats together."""
    rows = connection.execute(_FIRST_PAGES, {"accounts": accounts, "limit": limit + 1}).all()
    found: dict[AccountId, list[Sequence[Any]]] = {account: [] for account in accounts}
    for row in rows:
        found[row.account].append(row)
    incomplete = rows[limit].account if len(rows) > limit else _INT64_MAX
    return {account: ChatList(_entries(own)) for account, own in found.items() if account < incomplete}


def _entries(rows: Iterable[Sequence[Any]]) -> list[ChatEntry]:
    return [ChatEntry(ChatId(row[0]), row[1], row[2], parse_pair(row[3])) for row in rows]


def list_changes(connection: sa.Connection, request: GetMembership, limit: int, server: str = "") -> Membership:
    """A page of the members that changed after a version. `server`: the server's name on IRC, which masks can contain.
    Raises RequestError when there is no such chat."""
    only_sender = sa.case((chat.c.kind == ChatKind.SERVICE, chat.c.owner), else_=NO_ACCOUNT)
    has_webhook = sa.exists().where(outgoing_webhook.c.chat == chat.c.id)
    found = connection.execute(
        _select_version(request.chat).add_columns(
            chat.c.pair, only_sender, has_webhook, chat.c.edit_seconds, chat.c.recall_seconds, _strangers_post()
        )
    ).one_or_none()
    if found is None:
        raise hidden_error(ErrorCode.NOT_FOUND)
    after = max(tuple(request.after), (request.since, _INT64_MAX))
    rows = connection.execute(
        sa.select(member.c.account, member.c.role, member.c.first_index, member.c.version, member.c.unread_from)
        .where(member.c.chat == request.chat, sa.tuple_(member.c.version, member.c.account) > after)
        .order_by(member.c.version, member.c.account)
        .limit(limit + 1)
    ).all()
    members = [Member(AccountId(row[0]), Role(row[1]), row[2], row[3], row[4] or 0) for row in rows[:limit]]
    pair = parse_pair(found[1])
    more = len(rows) > limit
    if pair is None:
        # Only the last page lists the members that a mask silences.
        by_masks = {} if more else muted_by_masks(connection, request.chat, server)
        muted = silences(connection, request.chat) | by_masks
        for account, until in banned_until(connection, request.chat).items() if found[6] else ():
            muted[account] = max(until, muted.get(account, 0))
    else:
        muted = dict.fromkeys(blocked_members(connection, pair), ALWAYS)
    return Membership(
        request.chat,
        found[0],
        members,
        more=len(rows) > limit,
        pair=pair,
        speaker=found[2],
        muted=muted,
        outgoing_hooks=found[3],
        change_times=ChangeTimes(found[4], found[5]),
        speakers=speakers(connection, request.chat) if NO_ACCOUNT in muted else [],
        strangers_post=found[6],
    )


def _strangers_post() -> sa.ColumnElement[bool]:
    """The condition that accounts outside the group may post: the group has neither the mode `n` nor a mask that bans.
    The message service cannot tell which accounts a mask matches."""
    banning = sa.exists().where(mask.c.chat == chat.c.id, mask.c.kind == "b")
    return sa.and_(chat.c.kind == ChatKind.GROUP, ~chat.c.modes.contains("n"), ~banning)


def muted_by_masks(connection: sa.Connection, number: ChatId, server: str) -> dict[AccountId, int]:
    """The ordinary members that may not post because a mask matches them, each with the end of that."""
    if not masks.has_masks(connection, number):
        return {}
    ordinary = sa.select(member.c.account).where(member.c.chat == number, member.c.role == Role.MEMBER)
    ordinary = ordinary.where(member.c.speaker.is_(False))
    found = masks.matched(connection, number, [AccountId(one) for one in connection.scalars(ordinary)], server)
    return {account: ALWAYS for account, kinds in found.items() if kinds & {"b", masks.MUTES} and "e" not in kinds}


def speakers(connection: sa.Connection, number: ChatId) -> list[AccountId]:
    """The members that may post even if the group is silenced."""
    voiced = sa.select(member.c.account).where(member.c.chat == number, member.c.speaker, IS_MEMBER)
    return [AccountId(account) for account in connection.scalars(voiced)]


def _select_version(number: ChatId) -> sa.Select[int]:
    return sa.select(chat.c.version).where(chat.c.id == number)


def finished_memberships(account: AccountId) -> sa.Select[int, int, int]:
    """The account's memberships, without unfinished joins."""
    return FINISHED.where(member.c.account == account)
