"""Tests which characters names may have, and the keys by which names that look alike are equal."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.names import imitates, is_valid_name, keys_version, look_alike, name_key, without_joiners

SCOTLAND = "\U0001f3f4\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f"


def test_names_that_look_alike_have_one_key() -> None:
    for names in (
        ["Ann", "ann", "ANN", "Ａnn", "Аnn", "\u00adAnn", "An\u200bn", "𝐀nn", "Ann\u034f"],
        ["paypal", "раураl", "pаypаl", "paypa1", "pɑypaⅼ"],
        ["Straße", "STRASSE", "strasse"],
        ["modern", "rnodern"],
        ["ﬁsh", "fish"],
        ["Zoë", "zoe\u0308"],
        ["ab", "a\ufe0fb", "a\U000e0100b"],
    ):
        assert len({name_key(name) for name in names}) == 1, names


def test_names_that_look_alike_as_they_are_written() -> None:
    for names in ("Pavel PaveI", "Mary Мary", "Iceman lceman", "O0 OO", "ann Аnn", "ANN ann"):
        assert look_alike(*names.split()), names


def test_names_that_imitate_another() -> None:
    assert imitates("★", "★")
    for name in ("dragoman", "Dragoman ", "D r a g o m a n", "Ⓓragoman!", "Dragoman✓", "Drаgoman"):
        assert imitates(name, "Dragoman"), name
        assert not imitates(name, "Announcements")
        assert not imitates(name, "★")
    for name in ("Dragomanov", "Dragon man", "", "!"):
        assert not imitates(name, "Dragoman"), name


def test_other_names_do_not_look_alike() -> None:
    for one, other in (("Pavel", "Pavle"), ("ann", "anna"), ("Ivan", "ivar")):
        assert not look_alike(one, other), one
    for name in ("Anna", "An n", "Änn", "用户", "ann_", "Bnn", "アン"):
        assert name_key(name) != name_key("Ann"), name


@given(st.text(max_size=20))
def test_a_key_depends_neither_on_normalization_nor_on_case(name: str) -> None:
    key = name_key(name)
    for form in ("NFC", "NFD", "NFKC", "NFKD"):
        assert name_key(unicodedata.normalize(form, name)) == key
    assert name_key(name.casefold()) == key


@pytest.mark.skipif(unicodedata.unidata_version != "14.0.0", reason="the version is that of Python 3.11")
def test_a_change_of_the_data_of_keys_needs_a_new_migration() -> None:
    """If this test fails, the data for the keys have changed, and `dragoman migrate` will make all keys again.

    Then write the new version here. Replicas with different data must not run at the same time: say so in CHANGELOG.md.
    """
    if unicodedata.unidata_version == "14.0.0":
        assert keys_version() == 1002643910


def test_valid_names() -> None:
    for name in (
        "Ann", "Ann Lee", "用户", "Zoë", "شاهين", "O'Neil-42 (x)", "ⓐ", "\ue000",
        "👨\u200d👩\u200d👧", "❤\ufe0f\u200d🔥", "🏳\ufe0f\u200d🌈", "👩🏽\u200d🚀", "🙂\u200d↔\ufe0f", "1\ufe0f\u20e3",
        "🇨🇳", "☺\ufe0e", SCOTLAND, "نامه\u200cای", "क्\u200dष", "क्\u200cष", "葛\U000e0100飾", "ᠠ\u180b",
    ):  # fmt: skip
        assert is_valid_name(name), ascii(name)


def test_blank_names_and_control_bidirectional_and_invisible_characters_are_rejected() -> None:
    for name in (
        "a\0", "a\nb", "a\r", "\tb", "a\x7f", "a\x85", "a\u2028b", "\u202eabc", "a\u2066b\u2069", "a\u200eb",
        "a\u061cb",
        "a\u200bb", "a\u2060b", "\ufeffa", "a\u00adb", "\u3164", "a\u034fb", "a\u2063b", "\u115fa", "a\ufff9b",
        "a\u200db", "a\u200cb", "\u200d", "👩\u200d", "\u200d👩", "👩\u200d\u200d🚀", "|\u200d|", "ab\u200c",
        " ", "\u3000", "\u00a0\u00a0", "\u2800", " \u2800",
        "a\ufe0f", "\ufe0f", "☺\ufe0f\ufe0f", "1\ufe0f", "a\U000e0100", "👩\U000e0067\U000e007f", "a\U000e0061",
    ):  # fmt: skip
        assert not is_valid_name(name), ascii(name)


def test_joiners_are_removed_only_where_they_are_needed() -> None:
    assert without_joiners("👩\u200d🚀") == "👩🚀"
    assert without_joiners("a\u200db") == "a\u200db"


@given(st.text(max_size=20))
def test_any_text_is_judged(name: str) -> None:
    assert is_valid_name(name) in (True, False)
