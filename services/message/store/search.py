"""Reads the search index: the newest messages of some chats that have some terms.

Each chat is searched by itself, from its newest entries on, and chats by their last activity: the work depends on
neither the other chats of the database nor the length of a chat.
"""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import islice, takewhile
from typing import NamedTuple

import msgspec
import sqlalchemy as sa

from services.message.store.search_chats import MAX_TERMS
from services.message.store.set_statements import SetStatement, single_column
from shared.contract.ids import ChatId

_FIRST_CHATS, _GROWTH = 16, 4
"""Of a statement. Each later one has four times as many: it finds little that is newer than what is found already."""
SCANNED_ENTRIES = 4_096
"""Entries of the rarest term that a search looks at, in all chats; in each at least as many as a page has messages."""
_SAMPLED_ENTRIES = 16
"""Of a term, in each of the most active chats: they tell how frequent it is."""

# Both: the entries with the first term, of which the newest `scanned` are looked at; those of them that are visible and
# have the other terms; and the time of the last one that was looked at, if there may be more. Times grow with the
# indexes of a chat. So only the key of the entries is read, and on PostgreSQL its index alone, not the table.
_ENTRIES = """
    SELECT time FROM search_entries
    WHERE chat_id = {chat} AND term = {term} AND time > CAST(:after AS bigint) AND time < {before}
    ORDER BY time DESC"""
_IS_VISIBLE = """
    ({first} <= 1 OR {time} >= (
        SELECT messages.time FROM messages WHERE messages.chat_id = {chat} AND messages."index" = {first}))"""
_HITS = """
    SELECT newest.time AS time FROM ({entries} LIMIT :scanned) AS newest
    WHERE {is_visible}{others} ORDER BY newest.time DESC LIMIT :limit"""
# OFFSET keeps PostgreSQL from a join, for which it would read all entries that the chat has with the other term.
_OTHER = """ AND EXISTS (
    SELECT 1 FROM search_entries WHERE chat_id = {chat} AND term = {term} AND search_entries.time = newest.time
    LIMIT 1 OFFSET 0)"""
_BOUND = "SELECT last.time FROM ({entries} LIMIT 1 OFFSET :skipped) AS last WHERE {is_visible}"
_NO_BOUND = "NULL"
"""Of a single term: a page that is not full has all entries that are visible."""
_SQLITE = """
    SELECT span.value ->> 0, (SELECT json_group_array(time) FROM ({hits})), ({bound}) FROM json_each(:rows) AS span"""
_POSTGRESQL = """
    SELECT span.chat, ARRAY({hits}), ({bound})
    FROM unnest(CAST(:a AS bigint[]), CAST(:b AS bigint[]), CAST(:c AS bigint[])) AS span (chat, first, before)"""
_COLUMNS = {
    "sqlite": {"chat": "span.value ->> 0", "first": "span.value ->> 1", "before": "span.value ->> 2"},
    "postgresql": {"chat": "span.chat", "first": "span.first", "before": "span.before"},
}
_NEWEST = """(
    SELECT {value} FROM (
        SELECT time FROM search_entries WHERE chat_id = {chat} AND term = :term ORDER BY time DESC LIMIT :limit
    ) AS newest)"""
_FREQUENCY = "SELECT sum({count}), coalesce(sum({oldest}), 0) FROM {chats}"


def _frequency(chat: str, chats: str) -> str:
    count, oldest = (_NEWEST.format(value=value, chat=chat) for value in ("count(*)", "min(time)"))
    return _FREQUENCY.format(count=count, oldest=oldest, chats=chats)


_FREQUENCIES = SetStatement(
    sqlite=_frequency("one.value ->> 0", "json_each(:rows) AS one"),
    postgresql=_frequency("one.chat", "unnest(CAST(:a AS bigint[])) AS one (chat)"),
)
_PLACES = SetStatement(
    sqlite="""
        SELECT time, chat_id, "index" FROM json_each(:rows) AS one CROSS JOIN search_entries
        ON chat_id = one.value ->> 0 AND term = :term AND time = one.value ->> 1""",
    postgresql="""
        SELECT found.* FROM unnest(CAST(:a AS bigint[]), CAST(:b AS bigint[])) AS one (chat, sent)
        CROSS JOIN LATERAL (
            SELECT time, chat_id, index FROM search_entries
            WHERE chat_id = one.chat AND term = :term AND time = one.sent LIMIT 1) AS found""",
)
_decode_times = msgspec.json.Decoder(list[int]).decode


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


class _Hit(NamedTuple):
    """A message of a chat. The newest are the greatest."""

    time: int
    chat: ChatId


def find_places(connection: sa.Connection, chats: Iterator[SearchedChat], number: int, wanted: Wanted) -> FoundPlaces:
    """The newest of the wanted messages in `number` chats, the last active chat first."""
    batch, size = list(islice(chats, _FIRST_CHATS)), _FIRST_CHATS
    terms = _rarest_first(connection, batch, wanted.terms[:MAX_TERMS])
    search = _Search(connection, wanted._replace(terms=terms), max(wanted.limit, SCANNED_ENTRIES // max(number, 1)))
    while batch:
        search.look_at(batch)
        size *= _GROWTH
        batch = list(islice(takewhile(search.needs, chats), size))
    return search.found()


class _Search:
    """Fills a page. What was not sent after `_after` is not on it."""

    def __init__(self, connection: sa.Connection, wanted: Wanted, scanned: int) -> None:
        self._connection = connection
        self._terms, self._after, self._limit = wanted
        self._statement = _statement(len(wanted.terms))
        self._parameters: dict[str, int | str] = {f"term{at}": term for at, term in enumerate(wanted.terms)}
        self._parameters |= {"scanned": scanned, "skipped": scanned - 1, "limit": wanted.limit}
        self._hits: list[_Hit] = []
        self._bound = 0

    def needs(self, chat: SearchedChat) -> bool:
        """Whether this chat could have something for the page; if not, no later one could."""
        return chat.active > self._after

    def look_at(self, chats: Sequence[SearchedChat]) -> None:
        rows = [one[:3] for one in chats]
        for chat, found, last in self._statement.fetch(self._connection, rows, after=self._after, **self._parameters):
            times = _decode_times(found) if isinstance(found, str) else found
            self._hits += [_Hit(time, chat) for time in times]
            if len(times) < self._limit:
                self._bound = max(self._bound, last or 0)
        self._hits = sorted(self._hits, reverse=True)[: self._limit]
        self._after = max(self._after, self._bound - 1)
        if len(self._hits) == self._limit:
            self._after = max(self._after, self._hits[-1].time - 1)

    def found(self) -> FoundPlaces:
        rows = [(hit.chat, hit.time) for hit in self._hits if hit.time >= self._bound]
        found = _PLACES.fetch(self._connection, rows, term=self._terms[0]) if rows else ()
        return FoundPlaces(sorted((FoundPlace(*row) for row in found), reverse=True), self._bound)


def _rarest_first(connection: sa.Connection, chats: Sequence[SearchedChat], terms: Sequence[str]) -> Sequence[str]:
    """As far as some entries of these chats tell: the newest ones of a rare term are few, and old."""
    if len(terms) < 2 or not chats:
        return terms
    rows, limit = single_column(one.chat for one in chats), _SAMPLED_ENTRIES
    found = {term: tuple(_FREQUENCIES.fetch(connection, rows, term=term, limit=limit)[0]) for term in terms}
    return sorted(terms, key=lambda term: found[term])


@lru_cache(MAX_TERMS)
def _statement(terms: int) -> SetStatement:
    return SetStatement(sqlite=_text("sqlite", _SQLITE, terms), postgresql=_text("postgresql", _POSTGRESQL, terms))


def _text(database: str, outer: str, terms: int) -> str:
    columns = _COLUMNS[database]
    entries = _ENTRIES.format(term=":term0", **columns)
    others = "".join(_OTHER.format(term=f":term{at}", **columns) for at in range(1, terms))
    is_hit, is_bound = (_IS_VISIBLE.format(time=time, **columns) for time in ("newest.time", "last.time"))
    hits = _HITS.format(entries=entries, is_visible=is_hit, others=others)
    bound = _BOUND.format(entries=entries, is_visible=is_bound) if terms > 1 else _NO_BOUND
    return outer.format(hits=hits, bound=bound)
