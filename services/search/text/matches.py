"""The lookups in the index for a query, and the matches of a query in a text. The lookups find every message that
matches, and also some messages that do not match, which `marks` rejects later."""

import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum
from itertools import islice
from typing import NamedTuple

from services.search.text.query import SearchQuery, Words
from services.search.text.terms import Joined, Term, joined, sequence, terms


class Field(StrEnum):
    """The fields of `IndexTerms` in which terms are looked up."""

    FOLDED = "folded"
    LOOSE = "loose"


class Lookup(NamedTuple):
    """Neighbouring terms of a field. Only a lookup in the field FOLDED, which is a sequence, may have several terms.
    `is_prefix`: the last term is the beginning of a word."""

    field: Field
    terms: tuple[str, ...]
    is_prefix: bool = False


Clause = tuple[Lookup, ...]
"""Alternatives: a message must match at least one of these lookups."""


def required(query: SearchQuery) -> list[Clause]:
    """The clauses that a message must match so that the query finds it."""
    return list(dict.fromkeys(clause for words in query.words for clause in _clauses(words)))


def forbidden(query: SearchQuery) -> list[Clause]:
    """The clauses that a message must not match so that the query finds it."""
    found = [_clauses(words) for words in query.excluded]
    return [clauses[0] for clauses in found if len(clauses) == 1]


def _clauses(words: Words) -> list[Clause]:
    """The clauses for these words. The last character of a run is looked up separately, because the index has it in a
    pair if the run continues in the message."""
    phrase = sequence(list(words.terms))
    last = words.terms[-1]
    clauses: list[Clause] = []
    if last.is_character and len(phrase) > 1:
        phrase.pop()
        if not words.terms[-2].goes_on:
            clauses.append(_anywhere(last.folded))
    if len(phrase) == 1:
        first = _anywhere(phrase[0], words.is_prefix)
    else:
        first = (Lookup(Field.FOLDED, tuple(phrase), words.is_prefix),)
    if words.joined:
        first += _anywhere(words.joined, words.is_prefix)
    if words.is_quoted:
        clauses += [(Lookup(Field.LOOSE, (one.exact,)),) for one in words.terms if one.exact != one.folded]
    return [first, *clauses]


def _anywhere(term: str, is_prefix: bool = False) -> Clause:
    return Lookup(Field.FOLDED, (term,), is_prefix), Lookup(Field.LOOSE, (term,), is_prefix)


Mark = tuple[int, int]
"""The position and the length of a match, in code points."""

_EXCERPT = 160
_BEFORE_MARK = 40
_MOST_MARKS = 20
_MOST_PLACES = 1_000
_GOES_ON, _ENDS = "\x01", "\x02"
_ANY, _END = "[\x01\x02]", "(?=[\x01\x02])"


class Excerpt(NamedTuple):
    """A part of a text, with the marks in this part."""

    text: str
    marks: list[Mark]


def marks(text: str, query: SearchQuery) -> list[Mark] | None:
    """The matches, ascending and without overlaps; None if the text does not match."""
    found = terms(text)
    searched = _Searched(found, joined(text, found))
    if any(True for one in query.excluded for _ in searched.places(one)):
        return None
    ranges: list[tuple[int, int]] = []
    for one in query.words:
        places = list(islice(searched.places(one), _MOST_PLACES))
        if not places:
            return None
        ranges += [(found[first].start, found[last].start + found[last].length) for first, last in places]
    return [(low, high - low) for low, high in _united(sorted(ranges))]


def excerpt(text: str, found: Sequence[Mark]) -> Excerpt:
    """The part of the text around the first mark."""
    is_late = bool(found) and sum(found[0]) > _EXCERPT
    start = max(0, found[0][0] - _BEFORE_MARK) if is_late else 0
    shown = [(at - start, length) for at, length in found if at + length <= start + _EXCERPT]
    return Excerpt(text[start : start + _EXCERPT], shown[:_MOST_MARKS])


class _Searched:
    """A text as strings of terms, in which regular expressions search. Comparing the terms one by one could take a
    second for a long text and a long query. Each term follows a separator, which is `_GOES_ON` within a run."""

    def __init__(self, found: Sequence[Term], one_words: Sequence[Joined]) -> None:
        self._found = found
        self._one_words = one_words
        self._strings: dict[bool, tuple[str, list[int]]] = {}

    def places(self, words: Words) -> Iterator[tuple[int, int]]:
        """The positions of the first and the last term of each match."""
        yield from self._matches(_expression(words), words.is_quoted, len(words.terms))
        whole = words.joined or (words.terms[0].folded if len(words.terms) == 1 else "")
        if words.is_quoted or not whole:
            return
        for one in self._one_words:
            if one.folded.startswith(whole) if words.is_prefix else one.folded == whole:
                yield one.first, one.last
        if words.joined:
            end = "" if words.is_prefix else _END
            yield from self._matches(f"{_ANY}{re.escape(whole)}{end}", is_exact=False, length=1)

    def _matches(self, expression: str, is_exact: bool, length: int) -> Iterator[tuple[int, int]]:
        if is_exact not in self._strings:
            self._strings[is_exact] = _string(self._found, is_exact)
        string, offsets = self._strings[is_exact]
        for one in re.finditer(f"(?={expression})", string):
            first = bisect_left(offsets, one.start())
            yield first, first + length - 1


def _string(found: Sequence[Term], is_exact: bool) -> tuple[str, list[int]]:
    """The terms as one string, and the position of each term's separator."""
    parts, offsets, end, before = [], [], 0, _ENDS
    for one in found:
        parts.append(before + (one.exact if is_exact else one.folded))
        offsets.append(end)
        end += len(parts[-1])
        before = _GOES_ON if one.goes_on else _ENDS
    return "".join(parts) + _ENDS, offsets


def _expression(words: Words) -> str:
    """The regular expression of these words. The first term can continue a run. After a prefix, any characters can
    follow."""
    parts, before = [], _ANY
    for one in words.terms:
        parts.append(before + re.escape(one.exact if words.is_quoted else one.folded))
        before = _GOES_ON if one.goes_on else _ENDS
    return "".join(parts) + ("" if words.is_prefix else _END)


def _united(ranges: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Joins overlapping and touching ranges. The ranges are ascending."""
    last: tuple[int, int] | None = None
    for low, high in ranges:
        if last is not None and low <= last[1]:
            last = (last[0], max(last[1], high))
            continue
        if last is not None:
            yield last
        last = (low, high)
    if last is not None:
        yield last
