"""Where a query matches a text, and the part of the text that shows it. Pure."""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from services.search.text.query import SearchQuery, Words
from services.search.text.terms import Joined, Term, joined, terms

Mark = tuple[int, int]
"""Position and length, in code points."""

_EXCERPT = 160
_BEFORE_MARK = 40
_MOST_MARKS = 20


class Excerpt(NamedTuple):
    """Part of a text, and the marks that lie in it."""

    text: str
    marks: list[Mark]


def marks(text: str, query: SearchQuery) -> list[Mark] | None:
    """Ascending, without overlaps. None: the text does not match."""
    found = terms(text)
    words = joined(text, found)
    if any(True for one in query.excluded for _ in _places(one, found, words)):
        return None
    ranges: list[tuple[int, int]] = []
    for one in query.words:
        places = list(_places(one, found, words))
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


def _places(words: Words, found: Sequence[Term], one_words: Iterable[Joined]) -> Iterator[tuple[int, int]]:
    """First and last of the neighbouring terms that match."""
    length = len(words.terms)
    for first in range(len(found) - length + 1):
        if all(_matches(words, at, found[first + at]) for at in range(length)):
            yield first, first + length - 1
    if words.is_quoted:
        return
    whole = words.joined or (words.terms[0].folded if length == 1 else "")
    if not whole:
        return
    yield from ((one.first, one.last) for one in one_words if _is(one.folded, whole, words.is_prefix))
    if words.joined:
        yield from ((at, at) for at, one in enumerate(found) if _is(one.folded, whole, words.is_prefix))


def _matches(words: Words, at: int, term: Term) -> bool:
    wanted = words.terms[at]
    is_last = at == len(words.terms) - 1
    if not is_last and wanted.goes_on != term.goes_on:
        return False
    if words.is_quoted:
        return wanted.exact == term.exact
    return _is(term.folded, wanted.folded, words.is_prefix and is_last)


def _is(term: str, wanted: str, is_prefix: bool) -> bool:
    return term.startswith(wanted) if is_prefix else term == wanted


def _united(ranges: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Ascending ranges, those that overlap or touch as one."""
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
