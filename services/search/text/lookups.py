"""The lookups in the index for a query. They find every message that matches, and also some messages that do not match,
which `marks` rejects later."""

from enum import StrEnum
from typing import NamedTuple

from services.search.text.query import SearchQuery, Words
from services.search.text.terms import sequence


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
