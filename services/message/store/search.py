"""Reads the search index: the newest messages of some chats that have some terms.

Each chat is searched by itself, from its newest entries on, and chats by their last activity: the work depends on
neither the other chats of the database nor the length of a chat.
"""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple

import msgspec
import sqlalchemy as sa

from services.message.store.set_statements import SetStatement, single_column
from shared.contract.ids import ChatId

MAX_TERMS = 8
"""Of a statement; the caller compares the others with the messages."""
_CHATS = 64
"""Of a statement."""
SCANNED_ENTRIES = 4_096
"""Entries of the rarest term that a search looks at, in all chats; in each at least as many as a page has messages."""
_COUNTED_CHATS, _COUNTED_ENTRIES = 16, 1_000

# Both: the entries with the first term, of which the newest `scanned` are looked at; those of them that are visible and
# have the other terms; and the time of the last one that was looked at, if there may be more.
_ENTRIES = """
    SELECT time, "index" AS place FROM search_entries
    WHERE chat_id = {chat} AND term = {term} AND time > CAST(:after AS bigint) AND time < {before}
    ORDER BY time DESC"""
_HITS = """
    SELECT newest.time AS time, newest.place AS place FROM ({entries} LIMIT :scanned) AS newest
    WHERE newest.place >= {first}{others} ORDER BY newest.time DESC LIMIT :limit"""
# OFFSET keeps PostgreSQL from a join, for which it would read all entries that the chat has with the other term.
_OTHER = """ AND EXISTS (
    SELECT 1 FROM search_entries WHERE chat_id = {chat} AND term = {term} AND search_entries.time = newest.time
    LIMIT 1 OFFSET 0)"""
_BOUND = "SELECT last.time FROM ({entries} LIMIT 1 OFFSET :skipped) AS last WHERE last.place >= {first}"
_SQLITE = """
    SELECT span.value ->> 0, (SELECT json_group_array(json_array(time, place)) FROM ({hits})), ({bound})
    FROM json_each(:rows) AS span"""
_POSTGRESQL = """
    SELECT span.chat, ARRAY(SELECT ARRAY[hits.time, hits.place] FROM ({hits}) AS hits), ({bound})
    FROM unnest(CAST(:a AS bigint[]), CAST(:b AS bigint[]), CAST(:c AS bigint[])) AS span (chat, first, before)"""
_COLUMNS = {
    "sqlite": {"chat": "span.value ->> 0", "first": "span.value ->> 1", "before": "span.value ->> 2"},
    "postgresql": {"chat": "span.chat", "first": "span.first", "before": "span.before"},
}
_COUNT = SetStatement(
    sqlite="""
        SELECT count(*) FROM (
            SELECT 1 FROM json_each(:rows) AS one CROSS JOIN search_entries
            ON chat_id = one.value ->> 0 AND term = :term LIMIT :limit)""",
    postgresql="""
        SELECT count(*) FROM (
            SELECT 1 FROM search_entries WHERE chat_id = ANY(CAST(:a AS bigint[])) AND term = :term LIMIT :limit
        ) AS counted""",
)
_INDEXED_TO = SetStatement(
    sqlite="""
        SELECT min(messages.time) FROM json_each(:rows) AS one CROSS JOIN heads ON heads.chat_id = one.value ->> 0
        LEFT JOIN search_heads ON search_heads.chat_id = heads.chat_id
        JOIN messages ON messages.chat_id = heads.chat_id
            AND messages."index" = coalesce(search_heads.last_index, 0) + 1
        WHERE heads.last_index > coalesce(search_heads.last_index, 0)""",
    postgresql="""
        SELECT min(messages.time) FROM heads LEFT JOIN search_heads ON search_heads.chat_id = heads.chat_id
        JOIN messages ON messages.chat_id = heads.chat_id
            AND messages.index = coalesce(search_heads.last_index, 0) + 1
        WHERE heads.chat_id = ANY(CAST(:a AS bigint[]))
            AND heads.last_index > coalesce(search_heads.last_index, 0)""",
)
_decode_places = msgspec.json.Decoder(list[tuple[int, int]]).decode


class SearchedChat(NamedTuple):
    """`first`: the first index that is searched. `before`: messages are sent before this time (Unix ms). `active`: the
    chat's last message that is searched is not sent after this time."""

    chat: ChatId
    first: int
    before: int
    active: int


class FoundPlace(NamedTuple):
    """Of a message with this index (`place`). The newest are the greatest."""

    time: int
    chat: ChatId
    place: int


class FoundPlaces(NamedTuple):
    """The newest first. `bound`: before this time not everything was looked at; 0: everything was."""

    places: list[FoundPlace]
    bound: int


def find_places(
    connection: sa.Connection, chats: Iterable[SearchedChat], terms: Sequence[str], after: int, count: int
) -> FoundPlaces:
    """The newest `count` messages with all these terms (the first MAX_TERMS of them) that were sent after `after`."""
    ordered = sorted(chats, key=lambda one: one.active, reverse=True)
    scanned = max(count, SCANNED_ENTRIES // max(len(ordered), 1))
    terms = _rarest_first(connection, ordered, terms[:MAX_TERMS])
    others: dict[str, object] = {f"term{at}": term for at, term in enumerate(terms)}
    others |= {"after": after, "scanned": scanned, "skipped": scanned - 1, "limit": count}
    places: list[FoundPlace] = []
    bound = 0
    for start in range(0, len(ordered), _CHATS):
        batch = ordered[start : start + _CHATS]
        if batch[0].active < max(bound, places[-1].time if len(places) == count else 0):
            break
        for chat, found, last in _statement(len(terms)).fetch(connection, [one[:3] for one in batch], **others):
            hits = _decode_places(found) if isinstance(found, str) else found
            places += [FoundPlace(time, ChatId(chat), place) for time, place in hits]
            bound = max(bound, last or 0) if len(hits) < count else bound
        places = sorted(places, reverse=True)[:count]
    return FoundPlaces([place for place in places if place.time >= bound], bound)


def _rarest_first(connection: sa.Connection, chats: Sequence[SearchedChat], terms: Sequence[str]) -> Sequence[str]:
    """As far as some entries of the most active chats tell."""
    if len(terms) < 2 or not chats:
        return terms
    rows = single_column(one.chat for one in chats[:_COUNTED_CHATS])
    counts = {term: _COUNT.fetch(connection, rows, term=term, limit=_COUNTED_ENTRIES)[0][0] for term in terms}
    return sorted(terms, key=lambda term: counts[term])


def first_missing(connection: sa.Connection, chats: Iterable[ChatId]) -> int | None:
    """The time of the oldest message of these chats that the index lacks."""
    rows = single_column(chats)
    found: int | None = _INDEXED_TO.fetch(connection, rows)[0][0] if rows else None
    return found


@lru_cache(MAX_TERMS)
def _statement(terms: int) -> SetStatement:
    return SetStatement(sqlite=_text("sqlite", _SQLITE, terms), postgresql=_text("postgresql", _POSTGRESQL, terms))


def _text(database: str, outer: str, terms: int) -> str:
    columns = _COLUMNS[database]
    entries = _ENTRIES.format(term=":term0", **columns)
    others = "".join(_OTHER.format(term=f":term{at}", **columns) for at in range(1, terms))
    return outer.format(
        hits=_HITS.format(entries=entries, others=others, **columns), bound=_BOUND.format(entries=entries, **columns)
    )
