"""The query language. A message must have all words of the query, in any order. Words that are not separated by a blank
must be neighbours in the message. The last word may be incomplete. In quotation marks, a phrase must match with its
accents. A minus excludes messages. `from:`, `in:`, `before:`, `after:` and `has:` are filters. docs/reference/search.md
explains the language to users.
"""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from typing import NamedTuple

from services.search.text.terms import Term, joined, terms
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.search import ContentKind

_QUOTES = '"\u201c\u201d\u201e\u201f\u00ab\u00bb'
_ITEM = re.compile(
    rf"(?P<minus>-?)(?:(?P<filter>from|in|before|after|has)[:\uff1a])?"
    rf"(?:[{_QUOTES}](?P<quoted>[^{_QUOTES}]*)[{_QUOTES}]?|(?P<plain>\S+)|(?P<nothing>(?<=[:\uff1a])))",
    re.IGNORECASE,
)
_SHORTEST_PREFIX = 2
_NUMBER = re.compile("[0-9]{1,16}")
_DAY = re.compile("([0-9]{4})(?:-([0-9]{2})(?:-([0-9]{2}))?)?", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NAMED = {"from": ("@", "an account's number or name, or `me`"), "in": ("#", "a chat's number or a name")}


class QueryError(Exception):
    """The query is wrong. `start`, `length`: the wrong part of the query, in code points."""

    def __init__(self, text: str, start: int, length: int) -> None:
        super().__init__(text)
        self.text, self.start, self.length = text, start, length

    def rejection(self, query: str) -> RequestError:
        """The error text, with the wrong part of the query and the number of its first character."""
        part = query[self.start : self.start + self.length]
        place = f"character {self.start + 1}" + (f", {part}" if part else "")
        return RequestError(ErrorCode.INVALID, f"{self.text} ({place})", "query")


class Words(NamedTuple):
    """Neighbouring terms. `joined`: the terms as one word, such as wifi for wi-fi, or empty. `is_prefix`: the last term
    is the beginning of a word. Only unquoted terms have these two."""

    terms: tuple[Term, ...]
    joined: str = ""
    is_prefix: bool = False
    is_quoted: bool = False


class Named(NamedTuple):
    """An account or a chat that a query names by number or name. `start`: the position in the query."""

    number: int
    name: str
    start: int
    length: int

    @property
    def is_me(self) -> bool:
        return self.name.casefold() == "me"


class SearchQuery(NamedTuple):
    """A parsed query. `before`, `after`: Unix milliseconds, exclusive. `has`: the kinds of content, all of which a
    message must have."""

    words: tuple[Words, ...] = ()
    excluded: tuple[Words, ...] = ()
    sender: Named | None = None
    chat: Named | None = None
    before: int | None = None
    after: int | None = None
    has: frozenset[ContentKind] = frozenset()


class _Part(NamedTuple):
    """A part of the query between two blanks. `start`: the position of `value` in the query."""

    is_excluded: bool
    filter: str
    value: str
    is_quoted: bool
    start: int

    def error(self, text: str) -> QueryError:
        return QueryError(text, self.start, len(self.value))


def parse(query: str, zone: int = 0) -> SearchQuery:
    """Parses a query. `zone`: the time zone of dates and times that name no zone, in minutes east of UTC. Raises
    QueryError."""
    items = list(_items(query))
    parsed = SearchQuery()
    for item in items:
        parsed = _narrowed(parsed, item, zone) if item.filter else parsed
    words = [_words(item, len(query)) for item in items if not item.filter and not item.is_excluded]
    excluded = [_words(item, None) for item in items if not item.filter and item.is_excluded]
    return parsed._replace(
        words=tuple(one for one in words if one.terms), excluded=tuple(one for one in excluded if one.terms)
    )


def _items(query: str) -> Iterator[_Part]:
    for found in _ITEM.finditer(query):
        kind = next(kind for kind in ("quoted", "plain", "nothing") if found[kind] is not None)
        if found[0]:
            is_excluded, name = bool(found["minus"]), (found["filter"] or "").lower()
            yield _Part(is_excluded, name, found[kind], kind == "quoted", found.start(kind))


def _words(item: _Part, end: int | None) -> Words:
    """The terms of a part. `end`: the end of the query, if a word that ends there may be incomplete; otherwise None."""
    found = terms(item.value)
    if item.is_quoted or not found:
        return Words(tuple(found), is_quoted=not item.is_excluded)
    whole = [one.folded for one in joined(item.value, found) if one.first == 0 and one.last == len(found) - 1]
    last = found[-1]
    is_last = item.start + last.start + last.length == end and not last.is_character
    return Words(tuple(found), "".join(whole), is_last and (len(found) > 1 or len(last.folded) >= _SHORTEST_PREFIX))


def _narrowed(query: SearchQuery, item: _Part, zone: int) -> SearchQuery:
    """Adds a filter to the query. Raises QueryError."""
    if item.is_excluded:
        raise item.error(f"`{item.filter}:` cannot be excluded")
    present = {"from": query.sender, "in": query.chat, "before": query.before, "after": query.after}
    if present.get(item.filter) is not None:
        raise item.error(f"a query may have `{item.filter}:` only once")
    match item.filter:
        case "from":
            return query._replace(sender=_named(item))
        case "in":
            return query._replace(chat=_named(item))
        case "before":
            return query._replace(before=_time(item, zone))
        case "after":
            return query._replace(after=_time(item, zone))
        case _:
            return query._replace(has=query.has | {_kind(item)})


def _kind(item: _Part) -> ContentKind:
    try:
        return ContentKind(item.value.lower())
    except ValueError:
        raise item.error(f"`has:` is followed by {', '.join(ContentKind)}") from None


def _named(item: _Part) -> Named:
    sign, expected = _NAMED[item.filter]
    name = item.value.strip().removeprefix(sign)
    if not name:
        raise item.error(f"`{item.filter}:` is followed by {expected}")
    is_number = _NUMBER.fullmatch(name) and not item.is_quoted
    return Named(int(name) if is_number else 0, "" if is_number else name, item.start, len(item.value))


def _time(item: _Part, zone: int) -> int:
    """The time of a filter. If a day, month or year is given, the time for `before` is its beginning, and the time for
    `after` is its end. A time of day is used exactly."""
    try:
        day = _DAY.fullmatch(item.value)
        if day is None:
            return _milliseconds(datetime.fromisoformat(item.value.upper()), zone)
        start, end = _period(*(int(part) if part else 0 for part in day.groups()))
        return _milliseconds(start, zone) if item.filter == "before" else _milliseconds(end, zone) - 1
    except (ValueError, OverflowError):
        raise item.error(f"`{item.filter}:` is followed by a date or a time such as 2026-11-28T18:30+01:00") from None


def _period(year: int, month: int, day: int) -> tuple[datetime, datetime]:
    """The beginning of a day, month (`day` is 0) or year (`month` is 0), and the beginning of the next one."""
    start = datetime(year, month or 1, day or 1)
    if day:
        return start, start + timedelta(days=1)
    if month:
        return start, (start + timedelta(days=31)).replace(day=1)
    return start, start.replace(year=year + 1)


def _milliseconds(time: datetime, zone: int) -> int:
    known = time if time.tzinfo else time.replace(tzinfo=timezone(timedelta(minutes=zone)))
    return (known - _EPOCH) // timedelta(milliseconds=1)
