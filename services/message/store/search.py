"""Reads the search index: the newest messages of some chats that have some terms.

Each chat is searched by itself, from its newest entries on, and chats by their last activity: the work depends on
neither the other chats of the database nor the length of a chat.
"""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import islice
from typing import NamedTuple

import msgspec
import sqlalchemy as sa

from services.message.store.search_chats import MAX_TERMS
from services.message.store.set_statements import SetStatement, single_column
from shared.contract.ids import ChatId

_FEWEST_CHATS, _MOST_CHATS = 64, 512
"""Of a statement. Later ones have more: they find little that is newer than what the first ones have found."""
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
_NO_BOUND = "NULL"
"""Of a single term: a page that is not full has all entries that are visible."""
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
_decode_places = msgspec.json.Decoder(list[tuple[int, int]]).decode


class SearchedChat(NamedTuple):
    """`first`: the first index that is searched. `before`: messages are sent before this time (Unix ms). `active`: the
    chat's last message that is searched is not sent after this time."""

    chat: ChatId
    first: int
    before: int
    active: int


class Wanted(NamedTuple):
    """The newest `limit` messages with all these terms (the first MAX_TERMS of them) that were sent after `after`."""

    terms: Sequence[str]
    after: int
    limit: int


class FoundPlace(NamedTuple):
    """Of a message with this index (`place`). The newest are the greatest."""

    time: int
    chat: ChatId
    place: int


class FoundPlaces(NamedTuple):
    """The newest first. `bound`: before this time not everything was looked at; 0: everything was."""

    places: list[FoundPlace]
    bound: int


def find_places(connection: sa.Connection, chats: Iterator[SearchedChat], number: int, wanted: Wanted) -> FoundPlaces:
    """The newest of the wanted messages in `number` chats, the last active chat first."""
    count, after = wanted.limit, wanted.after
    scanned = max(count, SCANNED_ENTRIES // max(number, 1))
    places: list[FoundPlace] = []
    bound, size = 0, _FEWEST_CHATS
    batch = list(islice(chats, size))
    terms = _rarest_first(connection, batch, wanted.terms[:MAX_TERMS])
    while batch:
        if batch[0].active <= after or batch[0].active < bound:
            break
        parameters: dict[str, object] = {f"term{at}": term for at, term in enumerate(terms)}
        parameters |= {"after": after, "scanned": scanned, "skipped": scanned - 1, "limit": count}
        for chat, found, last in _statement(len(terms)).fetch(connection, [one[:3] for one in batch], **parameters):
            hits = _decode_places(found) if isinstance(found, str) else found
            places += [FoundPlace(time, ChatId(chat), place) for time, place in hits]
            bound = max(bound, last or 0) if len(hits) < count else bound
        places = sorted(places, reverse=True)[:count]
        if len(places) == count:
            after = places[-1].time - 1
        size = min(2 * size, _MOST_CHATS)
        batch = list(islice(chats, size))
    return FoundPlaces([place for place in places if place.time >= bound], bound)


def _rarest_first(connection: sa.Connection, chats: Sequence[SearchedChat], terms: Sequence[str]) -> Sequence[str]:
    """As far as some entries of the most active chats tell."""
    if len(terms) < 2 or not chats:
        return terms
    rows = single_column(one.chat for one in chats[:_COUNTED_CHATS])
    counts = {term: _COUNT.fetch(connection, rows, term=term, limit=_COUNTED_ENTRIES)[0][0] for term in terms}
    return sorted(terms, key=lambda term: counts[term])


@lru_cache(MAX_TERMS)
def _statement(terms: int) -> SetStatement:
    return SetStatement(sqlite=_text("sqlite", _SQLITE, terms), postgresql=_text("postgresql", _POSTGRESQL, terms))


def _text(database: str, outer: str, terms: int) -> str:
    columns = _COLUMNS[database]
    entries = _ENTRIES.format(term=":term0", **columns)
    others = "".join(_OTHER.format(term=f":term{at}", **columns) for at in range(1, terms))
    hits = _HITS.format(entries=entries, others=others, **columns)
    bound = _BOUND.format(entries=entries, **columns) if terms > 1 else _NO_BOUND
    return outer.format(hits=hits, bound=bound)
