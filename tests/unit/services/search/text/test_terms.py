"""Tests the terms of texts: properties of all texts, and the cost of dangerous ones."""

import time
import unicodedata
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.search.text.terms import MAX_TERM, IndexTerms, index_terms, terms

CHARACTERS = (
    "aZIıİi\u0307é\u0301ßΣςёйІїʼ’'-.,_19٣ه\u0640\u064b\u200c\u05e9\u05c1\u05f4"
    "कि\u093c\u094d\u200dน้ำ\u0e4d\u0e48ស្រ\u200b今ｶﾞパー한\u1112\u1161 \n👍🏽❤\ufe0f👨🇩🇪⃣#™½"
)
TEXTS = st.text(max_size=60) | st.text(CHARACTERS, max_size=60)
PLAIN = st.text("aZ09 _'\nßéİıøΣЁйїカなー한今天们、。，！？：；（）《》「」“”‘’—\u3000", max_size=40)


@given(TEXTS)
def test_terms_lie_in_the_text_in_its_order(text: str) -> None:
    """One character may contain the end of a word, and further words: ﷺ is four words."""
    found = terms(text)
    assert all(one.length > 0 and 0 <= one.start <= len(text) - one.length for one in found)
    for before, after in pairwise(found):
        assert before.start <= after.start
        assert before.start + before.length <= after.start + after.length


@given(TEXTS)
def test_terms_have_one_form(text: str) -> None:
    for one in terms(text):
        for form in (one.exact, one.folded):
            assert 0 < len(form) <= MAX_TERM
            assert not any(character.isspace() for character in form)
            assert form == form.casefold()
    forms = [(one.exact, one.folded) for one in terms(text)]
    assert [(one.exact, one.folded) for one in terms(unicodedata.normalize("NFC", text))] == forms
    assert [(one.exact, one.folded) for one in terms(unicodedata.normalize("NFD", text))] == forms


@given(PLAIN)
def test_plain_texts_have_the_same_terms_as_part_of_others(text: str) -> None:
    assert terms(f"{text} \u0e01") == terms(text) + terms(f"{' ' * len(text)} \u0e01")


@given(st.text("aZ019 -'`_,.\"\n/", max_size=40))
def test_ascii_texts_have_the_same_terms_as_part_of_others(text: str) -> None:
    found = index_terms(text)
    assert index_terms(f"{text} é") == IndexTerms([*found.folded, "e"], found.loose | {"é"})


@given(TEXTS)
def test_what_is_indexed_can_be_joined_by_blanks(text: str) -> None:
    found = index_terms(text)
    assert " ".join(found.folded).split() == found.folded
    assert all(one.split() == [one] for one in found.loose)


@pytest.mark.parametrize(
    "text",
    [
        "a" + "\u0301" * 100_000,
        "\u0301" * 100_000,
        "a" + "\u0301" * 50_000 + "\u0316" * 50_000,
        "\ufdfa" * 5_400,
        "x" * 16_000,
        "-a" * 8_000,
        "1,000" * 3_200,
        "\u30ab\u3099" * 8_000,
        "\u1100" * 16_000,
        "\U0001f468\u200d" * 8_000,
        "\u179f\u17d2" * 8_000,
        "\u0e01\u0e4d" * 8_000,
        "a\u200d" * 8_000,
    ],
    ids=ascii,
)
def test_hostile_texts_cost_little(text: str) -> None:
    """They cost no more than other texts of their length. A step of quadratic cost would take minutes."""
    start = time.process_time()
    found = index_terms(text)
    assert time.process_time() - start < 5
    assert len(found.folded) <= len(text)
