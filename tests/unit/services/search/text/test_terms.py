"""Tests the terms of texts: properties of all texts, and the cost of dangerous ones."""

import sys
import unicodedata
from collections.abc import Callable
from itertools import pairwise
from types import FrameType
from typing import Any, Literal

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


def steps(work: Callable[[], object]) -> int:
    """The lines of the search's code that this work runs."""
    count = 0

    def line(_: FrameType, event: str, __: object) -> Any:
        nonlocal count
        count += event == "line"
        return line

    def call(frame: FrameType, _: str, __: object) -> Any:
        return line if "/services/search/text/" in frame.f_code.co_filename else None

    before = sys.gettrace()
    sys.settrace(call)
    try:
        work()
    finally:
        sys.settrace(before)
    return count


@pytest.mark.parametrize(
    "text",
    [
        "a" + "\u0301" * 8_000,
        "\u0301" * 8_000,
        "a" + "\u0301" * 4_000 + "\u0316" * 4_000,
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
    ids=lambda text: ascii(text[:9]),
)
def test_hostile_texts_cost_little(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The steps grow with the length only. To order marks has quadratic cost, so few are ordered at once."""
    most, normalize = 0, unicodedata.normalize

    def noted(form: Literal["NFC", "NFD", "NFKC", "NFKD"], part: str) -> str:
        nonlocal most
        most = max(most, sum(map(bool, map(unicodedata.combining, part))))
        return normalize(form, part)

    monkeypatch.setattr(unicodedata, "normalize", noted)
    assert steps(lambda: index_terms(text)) < 40 * len(text)
    assert most <= 2 * MAX_TERM
    assert len(index_terms(text).folded) <= len(text)
