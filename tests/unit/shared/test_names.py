"""Tests which characters names may have, and the keys by which names that look alike are equal."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.names import imitates, is_valid_name, keys_version, look_alike, name_key, without_joiners

SCOTLAND = "\U0001f3f4\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f"


@pytest.mark.parametrize(
    "names",
    [
        ["Ann", "ann", "ANN", "Ａnn", "Аnn", "\u00adAnn", "An\u200bn", "𝐀nn", "Ann\u034f"],
        ["paypal", "раураl", "pаypаl", "paypa1", "pɑypaⅼ"],
        ["Straße", "STRASSE", "strasse"],
        ["modern", "rnodern"],
        ["ﬁsh", "fish"],
        ["Zoë", "zoe\u0308"],
        ["ab", "a\ufe0fb", "a\U000e0100b"],
    ],
)
def test_names_that_look_alike_have_one_key(names: list[str]) -> None:
    assert len({name_key(name) for name in names}) == 1


@pytest.mark.parametrize(
    "names", [["Pavel", "PaveI"], ["Mary", "Мary"], ["Iceman", "lceman"], ["O0", "OO"], ["ann", "Аnn"], ["ANN", "ann"]]
)
def test_names_that_look_alike_as_they_are_written(names: list[str]) -> None:
    assert look_alike(*names)


@pytest.mark.parametrize("name", ["dragoman", "Dragoman ", "D r a g o m a n", "Ⓓragoman!", "Dragoman✓", "Drаgoman"])
def test_names_that_imitate_another(name: str) -> None:
    assert imitates(name, "Dragoman")
    assert not imitates(name, "Announcements")
    assert imitates("★", "★")
    assert not imitates(name, "★")


@pytest.mark.parametrize("name", ["Dragomanov", "Dragon man", "", "!"])
def test_names_that_imitate_no_other(name: str) -> None:
    assert not imitates(name, "Dragoman")


@pytest.mark.parametrize("names", [["Pavel", "Pavle"], ["ann", "anna"], ["Ivan", "ivar"]])
def test_other_names_do_not_look_alike(names: list[str]) -> None:
    assert not look_alike(*names)


@pytest.mark.parametrize("name", ["Anna", "An n", "Änn", "用户", "ann_", "Bnn", "アン"])
def test_other_names_have_other_keys(name: str) -> None:
    assert name_key(name) != name_key("Ann")


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


@pytest.mark.parametrize(
    "name",
    [
        "Ann", "Ann Lee", "用户", "Zoë", "شاهين", "O'Neil-42 (x)", "ⓐ", "\ue000",
        "👨\u200d👩\u200d👧", "❤\ufe0f\u200d🔥", "🏳\ufe0f\u200d🌈", "👩🏽\u200d🚀", "🙂\u200d↔\ufe0f", "1\ufe0f\u20e3",
        "🇨🇳", "☺\ufe0e", SCOTLAND, "نامه\u200cای", "क्\u200dष", "क्\u200cष", "葛\U000e0100飾", "ᠠ\u180b",
    ],
)  # fmt: skip
def test_valid_names(name: str) -> None:
    assert is_valid_name(name)


@pytest.mark.parametrize(
    "name",
    [
        "a\0", "a\nb", "a\r", "\tb", "a\x7f", "a\x85", "a\u2028b", "\u202eabc", "a\u2066b\u2069", "a\u200eb",
        "a\u061cb",
        "a\u200bb", "a\u2060b", "\ufeffa", "a\u00adb", "\u3164", "a\u034fb", "a\u2063b", "\u115fa", "a\ufff9b",
        "a\u200db", "a\u200cb", "\u200d", "👩\u200d", "\u200d👩", "👩\u200d\u200d🚀", "|\u200d|", "ab\u200c",
        " ", "\u3000", "\u00a0\u00a0", "\u2800", " \u2800",
        "a\ufe0f", "\ufe0f", "☺\ufe0f\ufe0f", "1\ufe0f", "a\U000e0100", "👩\U000e0067\U000e007f", "a\U000e0061",
    ],
)  # fmt: skip
def test_blank_names_and_control_bidirectional_and_invisible_characters_are_rejected(name: str) -> None:
    assert not is_valid_name(name)


def test_joiners_are_removed_only_where_they_are_needed() -> None:
    assert without_joiners("👩\u200d🚀") == "👩🚀"
    assert without_joiners("a\u200db") == "a\u200db"


@given(st.text(max_size=20))
def test_any_text_is_judged(name: str) -> None:
    assert is_valid_name(name) in (True, False)
