"""What is found by which query: properties over all texts, and examples."""

import unicodedata

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from services.message.search_terms import MAX_TERM, query_terms, snippet, terms

CHINESE = st.text(st.characters(min_codepoint=0x4E00, max_codepoint=0x9FA5), min_size=1, max_size=40)
TEXTS = st.text(max_size=80)
PLAIN = st.text("aZ09 _'\n今天我们\u4e00\u9fff、。，！？：；（）《》「」“”‘’…—\u3000", max_size=40)
FOLDED = "\u00e9"


@pytest.mark.parametrize(
    ("text", "queries"),
    [
        ("今天我们去公园吧", ["今", "今天", "我们去", "公园吧", "吧"]),
        ("Meet me at Zürich HB, 10:30!", ["ZÜRICH hb", "10 30", "meet", "Me"]),
        ("Zu\u0308rich", ["zürich"]),
        ("نامه\u200cای.pdf", ["نامه\u200cای", "PDF"]),
        ("ＡＢＣ１２３", ["abc123"]),
        ("部署v2.3到生产", ["部署", "v2", "生产", "到", "3"]),
        ("ｶﾞｲﾄﾞを読む", ["ガイド", "読む"]),
        ("안녕하세요 여러분", ["안녕", "여러분", "요"]),
        ("Straße", ["STRASSE", "straße"]),
        ("हिन्दी में", ["हिन्दी"]),
        ("Привет, мир", ["МИР"]),
    ],
)
def test_examples(text: str, queries: list[str]) -> None:
    for query in queries:
        assert query_terms(query), query
        assert terms(text).issuperset(query_terms(query)), query


@pytest.mark.parametrize(("text", "query"), [("今天我们", "天今"), ("concert", "cert"), ("今天", "今日")])
def test_what_is_not_found(text: str, query: str) -> None:
    assert not terms(text).issuperset(query_terms(query))


@given(CHINESE, st.data())
def test_every_part_of_a_chinese_text_is_found(text: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(text) - 1))
    end = data.draw(st.integers(start + 1, len(text)))
    assert terms(text).issuperset(query_terms(text[start:end]))


@given(TEXTS)
def test_every_text_is_found_by_itself_in_any_form_and_case(text: str) -> None:
    known = terms(text)
    assert known.issuperset(query_terms(text))
    assert known.issuperset(query_terms(unicodedata.normalize("NFC", text)))
    assert all(0 < len(term) <= MAX_TERM for term in known)


@given(PLAIN)
def test_plain_texts_have_the_same_terms_as_part_of_others(text: str) -> None:
    assert terms(f"{text} {FOLDED}") == terms(text) | {FOLDED}


@given(TEXTS)
def test_terms_hold_nothing_that_a_statement_would_have_to_quote(text: str) -> None:
    for term in terms(text) | set(query_terms(text)):
        assert not set(term) & set("\"'\\ \ue000\x00")


@given(st.lists(TEXTS, min_size=2, max_size=2))
def test_a_snippet_marks_what_was_found(texts: list[str]) -> None:
    text = " ".join(texts)
    wanted = query_terms(texts[1])
    assume(wanted)
    part, marks = snippet(text, wanted)
    assert part in text
    assert all(start >= 0 and length > 0 and start + length <= len(part) for start, length in marks)
    if len(text) <= 160:
        assert marks
        first = marks[0][0]
        assert terms(part[first : first + marks[0][1]]) & set(wanted)


def test_a_snippet_of_a_long_text_begins_before_the_first_mark() -> None:
    text = "x " * 500 + "今天我们去公园" + " y" * 500
    part, marks = snippet(text, query_terms("公园"))
    (mark,) = marks
    assert part[mark[0] : mark[0] + mark[1]] == "公园"
    assert len(part) <= 160
