"""Masks of groups. A mask is `nick!user@host` with the wildcards * and ?, or `a:` and the name of an account. The
prefix `m:` marks a mask that only forbids to post."""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from services.session.domain import ascii_lower, check_count
from services.session.store.sql import slices
from services.session.tables import mask, profile
from shared.contract.ids import AccountId, ChatId
from shared.contract.members import Mask
from shared.irc_names import irc_names, mask_form

_MOST = 100
"""The most masks of each kind in one group."""
_NAMED = profile.c.id, profile.c.nickname, profile.c.nick, profile.c.guest
MUTES = "m"
"""The kind of a mask that only forbids to post."""


def matched(
    connection: sa.Connection, chat: ChatId, accounts: Sequence[AccountId], server: str
) -> dict[AccountId, frozenset[str]]:
    """The kinds of the group's masks that each of these accounts matches."""
    forms: dict[tuple[str, bool], list[str]] = defaultdict(list)
    for kind, text in connection.execute(_masks(chat)):
        muting, bare = text.startswith("m:"), text.removeprefix("m:")
        of_account = bare.startswith("a:")
        forms[MUTES if muting and kind == "b" else kind, of_account].append(bare[2:] if of_account else bare)
    if not forms:
        return {}
    patterns = {key: _pattern(texts) for key, texts in forms.items()}
    return {
        number: frozenset(
            kind
            for (kind, of_account), one in patterns.items()
            if (value := account if of_account else name) and one.fullmatch(value)
        )
        for some in slices(accounts)
        for number, (name, account) in _names(connection, some, server).items()
    }


def pattern(text: str) -> re.Pattern[str]:
    return _pattern([text])


def _pattern(texts: Iterable[str]) -> re.Pattern[str]:
    """The pattern of these masks, for names that `ascii_lower` has made lower-case."""
    return re.compile("|".join(mask_form(ascii_lower(text)) for text in texts), re.DOTALL)


def full_name(connection: sa.Connection, account: AccountId, server: str) -> str:
    row = connection.execute(sa.select(*_NAMED).where(profile.c.id == account)).one()
    return irc_names(*row, server).mask


def _names(
    connection: sa.Connection, accounts: Sequence[AccountId], server: str
) -> Mapping[AccountId, tuple[str, str]]:
    """For each account, its full name on IRC and its account name there. The account name of a guest is empty."""
    rows = connection.execute(sa.select(*_NAMED).where(profile.c.id.in_(accounts)))
    return {AccountId(row.id): (ascii_lower(irc_names(*row, server).mask), ascii_lower(_account(row))) for row in rows}


def _account(row: Any) -> str:
    return "" if row.guest else row.nick or str(row.id)


def _masks(chat: ChatId) -> sa.Select[str, str]:
    return sa.select(mask.c.kind, mask.c.mask).where(mask.c.chat == chat)


def list_masks(connection: sa.Connection, chat: ChatId, kind: str) -> list[Mask]:
    rows = sa.select(mask.c.mask, mask.c.by, mask.c.created).where(mask.c.chat == chat, mask.c.kind == kind)
    return [Mask(*row) for row in connection.execute(rows.order_by(mask.c.created, mask.c.mask))]


def add(connection: sa.Connection, chat: ChatId, kind: str, text: str, by: str, now: int) -> bool:
    """Add a mask. Returns whether the mask is new. Raises RequestError if the group has too many."""
    present = list_masks(connection, chat, kind)
    if _find(present, text) is not None:
        return False
    check_count(len(present), _MOST, "a group has at most {} such masks", "mask")
    values = {"chat": chat, "kind": kind, "mask": text, "by": by, "created": now}
    connection.execute(sa.insert(mask).values(values))
    return True


def remove(connection: sa.Connection, chat: ChatId, kind: str, text: str) -> bool:
    present = _find(list_masks(connection, chat, kind), text)
    gone = sa.delete(mask).where(mask.c.chat == chat, mask.c.kind == kind, mask.c.mask == present)
    return present is not None and connection.execute(gone).rowcount > 0


def _find(masks: Sequence[Mask], text: str) -> str | None:
    """The stored mask that equals this text except for the case of letters."""
    return next((one.mask for one in masks if ascii_lower(one.mask) == ascii_lower(text)), None)


def forget_maker(connection: sa.Connection, account: AccountId) -> None:
    """Keep the masks that a deleted account has set, but remove the account's name from them."""
    named = mask.c.by.contains(f"@{account}.", autoescape=True)
    connection.execute(sa.update(mask).where(named).values(by=""))


def has_masks(connection: sa.Connection, chat: ChatId) -> bool:
    return connection.execute(_masks(chat).where(mask.c.kind == "b").limit(1)).first() is not None
