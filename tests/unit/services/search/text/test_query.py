"""Tests the query language: examples, errors, and properties of all queries and texts."""

import unicodedata

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from services.search.text.matches import Clause, Field, Lookup, excerpt, forbidden, marks, required
from services.search.text.query import QueryError, SearchQuery, Words, parse
from services.search.text.terms import IndexTerms, index_terms, terms
from shared.contract.search import ContentKind
from tests.unit.services.search.text.test_terms import CHARACTERS, steps

WORDS = st.text("aé-'.\"我们ｶﾞกน้ำ1,", min_size=1, max_size=8)
TEXTS = st.text(max_size=60) | st.text(CHARACTERS, max_size=60) | st.lists(WORDS, max_size=8).map(" ".join)
QUERIES = st.lists(
    st.sampled_from(
        ["from:", "in:", "has:", "before:", "after:", "-", '"', "“", " ", "2026", "-11", "-28", "T10:30", "me", "link"]
    )
    | st.text(max_size=5)
    | WORDS,
    max_size=8,
).map("".join)


def shape(query: SearchQuery) -> list[list[str]]:
    return [[one.folded for one in words.terms] for words in query.words]


def test_words_phrases_exclusions_and_filters() -> None:
    query = parse('Café "Crème brûlée" -milk from:@ann in:"week end" has:link has:IMAGE before:2026-11-28 wi-fi')
    assert shape(query) == [["cafe"], ["creme", "brulee"], ["wi", "fi"]]
    assert [words.is_quoted for words in query.words] == [False, True, False]
    assert [words.is_prefix for words in query.words] == [False, False, True]
    assert query.words[2].joined == "wifi"
    assert [one.folded for one in query.excluded[0].terms] == ["milk"]
    assert query.sender is not None
    assert query.sender.name == "ann"
    assert query.chat is not None
    assert query.chat.name == "week end"
    assert query.has == {ContentKind.LINK, ContentKind.IMAGE}


def test_dates_and_times() -> None:
    for query, zone, before, after in (
        ("before:1970-01-02", 0, 86_400_000, None),
        ("after:1970-01-02", 0, None, 2 * 86_400_000 - 1),
        ("before:1970-01-02", 60, 82_800_000, None),
        ("before:1970-02", 0, 31 * 86_400_000, None),
        ("after:1970-01", 0, None, 31 * 86_400_000 - 1),
        ("after:1970", 0, None, 365 * 86_400_000 - 1),
        ("after:1970-01-01T10:30", 0, None, 37_800_000),
        ("after:1970-01-01t10:30+01:00", -300, None, 34_200_000),
        ("before:1970-01-01T00:00:01.5Z", -300, 1_500, None),
        ("before:1969", 0, -365 * 86_400_000, None),
    ):
        parsed = parse(query, zone)
        assert (parsed.before, parsed.after) == (before, after)


@pytest.mark.parametrize(
    ("query", "text", "place"),
    [
        ("soup has:pdf", "`has:` is followed by image, file, link", (9, 3)),
        ("from:", "`from:` is followed by an account's number or name, or `me`", (5, 0)),
        ('in:"" soup', "`in:` is followed by a chat's number or a name", (4, 0)),
        ("in:1 in:2", "a query may have `in:` only once", (8, 1)),
        ("-has:link", "`has:` cannot be excluded", (5, 4)),
        ("before:soon", "`before:` is followed by a date or a time such as 2026-11-28T18:30+01:00", (7, 4)),
        ("after:2026-13", "`after:` is followed by a date or a time such as 2026-11-28T18:30+01:00", (6, 7)),
        ("after:9999", "`after:` is followed by a date or a time such as 2026-11-28T18:30+01:00", (6, 4)),
    ],
)
def test_errors_name_what_is_wrong_and_where(query: str, text: str, place: tuple[int, int]) -> None:
    with pytest.raises(QueryError) as caught:
        parse(query)
    assert (caught.value.text, (caught.value.start, caught.value.length)) == (text, place)


def test_what_stands_together() -> None:
    for query, words in (
        ("", []),
        ('- -- "" \' …', []),
        ("https://example.org/a?b=1", [["https", "example", "org", "a", "b", "1"]]),
        ("10:30 re:x", [["10", "30"], ["re", "x"]]),
        ('"never closed', [["never", "closed"]]),
        ('"a "b c" d"', [["a"], ["b"], ["c"], ["d"]]),
        ("„Guten Tag“ «oui» “yes”", [["guten", "tag"], ["oui"], ["yes"]]),
        ('צה"ל', [["צה", "ל"]]),
        ("今天，公园", [["今", "天", "公", "园"]]),
    ):
        assert shape(parse(query)) == words


def test_marks() -> None:
    for query, text, found in (
        ("cafe park", "Im Park: ein Café", ["Park", "Café"]),
        ('"cafe"', "ein Café", None),
        ('"CAFÉ"', "ein cafe\u0301!", ["cafe\u0301"]),
        ("caf", "ein Café", ["Café"]),
        ("caf ", "ein Café", None),
        ("c", "ein Café", None),
        ("caf ein", "ein Café", None),
        ("at nine", "at eight, nine", ["at", "nine"]),
        ('"at nine"', "at eight, nine", None),
        ('"at nine"', "at,\n nine at nine", ["at,\n nine", "at nine"]),
        ("-cafe park", "Café am Park", None),
        ('-"am park" cafe', "Café im Park", ["Café"]),
        ("wifi", "Wi-Fi und wifi", ["Wi-Fi", "wifi"]),
        ("wi-fi", "wifi, wi fi, wi/fi", ["wifi", "wi fi", "wi/fi"]),
        ("公园", "今天我们去公园吧，公 园", ["公园"]),
        ("天今", "今天", None),
        ("吧", "去公园吧", ["吧"]),
        ('"去公园" love', "去公园 love", ["去公园", "love"]),
        ("has:link", "what ever", []),
    ):
        places = marks(text, parse(query))
        assert (None if places is None else [text[at : at + length] for at, length in places]) == found


@pytest.mark.parametrize(
    ("text", "query"),
    [
        ("a " * 8_000, '"' + "a " * 99 + 'b"'),
        ("a " * 8_000, "a " * 100),
        ("\ufdfa" * 16_000, "-a " * 66),
        ("今" * 16_000, "今" * 199 + "天"),
        ("a-" * 8_000, "a-" * 100),
    ],
    ids=lambda text: ascii(text[:9]),
)
def test_hostile_texts_and_queries_cost_little(text: str, query: str) -> None:
    """Each word has few places, and a phrase is not compared with the text term by term."""
    understood = parse(query)
    assert steps(lambda: marks(text, understood)) < 40 * len(text) + 20_000 * len(understood.words)


def test_an_excerpt_of_a_long_text_begins_before_the_first_mark() -> None:
    text = "x " * 500 + "今天我们去公园" + " y" * 500
    shown = excerpt(text, marks(text, parse("公园")) or [])
    ((at, length),) = shown.marks
    assert shown.text[at : at + length] == "公园"
    assert len(shown.text) <= 160


@given(QUERIES)
def test_a_query_is_understood_or_has_an_error_with_its_place(query: str) -> None:
    wrong = None
    try:
        parse(query)
    except QueryError as error:
        wrong = error
    assert wrong is None or 0 <= wrong.start <= wrong.start + wrong.length <= len(query)


@given(TEXTS, QUERIES)
def test_marks_lie_in_the_text(text: str, query: str) -> None:
    places = marks(text, parsed(query))
    end = -1
    for at, length in places or []:
        assert at > end
        assert length > 0
        end = at + length
        assert end <= len(text)
    shown = excerpt(text, places or [])
    assert all(at >= 0 and at + length <= len(shown.text) for at, length in shown.marks)


@given(TEXTS, st.data())
def test_a_text_is_found_by_its_own_words_in_any_form_and_case(text: str, data: st.DataObject) -> None:
    found = terms(text)
    assume(found)
    low = data.draw(st.integers(0, len(found) - 1))
    high = data.draw(st.integers(low, len(found) - 1))
    end = found[high].start + found[high].length
    assume(text[end : end + 1] != "ำ")  # half of this character belongs to the previous letter
    part = text[found[low].start : end]
    part = data.draw(st.sampled_from([part, part.upper(), unicodedata.normalize("NFD", part)]))
    assume(not any(mark in part for mark in '"“”„‟«»:：') and not part.startswith("-"))
    query = SearchQuery((Words(tuple(terms(part))),)) if any(map(str.isspace, part)) else parse(part)
    assert marks(text, query), (part, query)


@given(TEXTS, QUERIES | WORDS)
@example("i-", "i-")
def test_the_index_proposes_every_text_that_matches(text: str, query: str) -> None:
    understood = parsed(query)
    if marks(text, understood) is not None:
        held = index_terms(text)
        assert all(holds(held, clause) for clause in required(understood))
        assert not any(holds(held, clause) for clause in forbidden(understood))


def parsed(query: str) -> SearchQuery:
    try:
        return parse(query)
    except QueryError:
        return SearchQuery()


def holds(held: IndexTerms, clause: Clause) -> bool:
    return any(_holds(held, lookup) for lookup in clause)


def _holds(held: IndexTerms, lookup: Lookup) -> bool:
    *before, last = lookup.terms
    if lookup.field is Field.LOOSE:
        assert not before
        return any(_is(one, last, lookup.is_prefix) for one in held.loose)
    return any(
        held.folded[at - len(before) : at] == before
        for at, one in enumerate(held.folded)
        if at >= len(before) and _is(one, last, lookup.is_prefix)
    )


def _is(term: str, wanted: str, is_prefix: bool) -> bool:
    return term.startswith(wanted) if is_prefix else term == wanted
