"""Makes Tantivy's queries from the lookups of a search."""

import re
from collections.abc import Iterable, Sequence

from tantivy import Occur, Query, Schema

from services.search.text.lookups import Clause, Lookup

Occurrence = tuple[Occur, Query]

_SPECIAL = re.compile(r"[\\.+*?()|\[\]{}^$]")


def occurrences(schema: Schema, required: Iterable[Clause], forbidden: Iterable[Clause]) -> list[Occurrence]:
    """Builds the parts of a boolean query."""
    found = [(Occur.Must, _clause(schema, one)) for one in required]
    return found + [(Occur.MustNot, _clause(schema, one)) for one in forbidden]


def _clause(schema: Schema, clause: Clause) -> Query:
    if len(clause) == 1:
        return _lookup(schema, clause[0])
    return Query.boolean_query([(Occur.Should, _lookup(schema, one)) for one in clause])


def _lookup(schema: Schema, lookup: Lookup) -> Query:
    field, terms, is_prefix = lookup
    if not is_prefix:
        return _phrase(schema, field, terms)
    *before, last = terms
    beginning = _SPECIAL.sub(r"\\\g<0>", last) + ".*"
    if not before:
        return Query.regex_query(schema, field, beginning)
    words = [*(_SPECIAL.sub(r"\\\g<0>", one) for one in before), beginning]
    return Query.regex_phrase_query(schema, field, list(words))


def _phrase(schema: Schema, field: str, terms: Sequence[str]) -> Query:
    if len(terms) == 1:
        return Query.term_query(schema, field, terms[0], "basic")
    return Query.phrase_query(schema, field, list(terms))
