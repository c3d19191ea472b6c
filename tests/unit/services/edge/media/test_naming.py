import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.edge.media.naming import _cleaned, safe_name


@pytest.mark.parametrize(
    ("given", "safe"),
    [
        ("holiday.png", "holiday.png"),
        ("  多语言 name.tar.gz ", "多语言 name.tar.gz"),
        ("a|b;c\"d'e%f.txt", "a|b;c\"d'e%f.txt"),
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\ann\\me.jpg", "me.jpg"),
        ("/", ""),
        ("..", ""),
        (".", ""),
        ("trailing. .", "trailing"),
        (".bashrc", ".bashrc"),
        ("two\r\nlines\x00\x1b[31m\u2028.txt", "twolines[31m.txt"),
        ("gnp.\u202eexe", "gnp.exe"),
        ("Re\u0301sume\u0301.pdf", "Résumé.pdf"),
        ("نامه\u200cای.pdf", "نامه\u200cای.pdf"),
        ("क्\u200dष.txt", "क्\u200dष.txt"),
        ("👩\u200d🚀 1\ufe0f\u20e3.png", "👩\u200d🚀 1\ufe0f\u20e3.png"),
        ("in\u200bvoice\u200d.pdf\u200c", "invoice.pdf"),
        ("🫨.png", "🫨.png"),
        ("\ud800x", "x"),
        ("", ""),
    ],
)
def test_names(given: str, safe: str) -> None:
    assert safe_name(given) == safe


def test_a_long_name_keeps_its_extension() -> None:
    assert safe_name("名" * 200 + ".jpeg") == "名" * 83 + ".jpeg"
    assert safe_name("x" * 300) == "x" * 255
    assert safe_name("x." + "y" * 300) == "x." + "y" * 253


@pytest.mark.parametrize("unit", ["\u0301\u0316", "क्\u200dष", "\u200d", "\ufe0f", "1\ufe0f\u20e3", "\ufdfa", "/", "."])
def test_most_of_a_very_long_name_is_left_out(unit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The time to clean a name grows with the square of its length."""
    cleaned: list[str] = []

    def clean(name: str) -> str:
        cleaned.append(name)
        return _cleaned(name)

    monkeypatch.setattr("services.edge.media.naming._cleaned", clean)
    safe_name("a" + unit * (60_000 // len(unit)) + ".png")
    assert 0 < sum(map(len, cleaned)) <= 2_000


def test_a_very_long_name_keeps_its_beginning_and_its_extension() -> None:
    assert safe_name("名" * 60_000 + ".jpeg") == "名" * 83 + ".jpeg"


@given(st.text())
def test_any_name_is_safe(name: str) -> None:
    safe = safe_name(name)
    assert len(safe.encode()) <= 255
    assert not set(safe) & set("/\\\r\n\0")
    assert unicodedata.is_normalized("NFC", safe)
    assert not {unicodedata.category(character) for character in safe} & {"Cc", "Cs"}
    assert not set(safe) & set("\u200b\u202e\u2066\ufeff")
    assert safe not in (".", "..")
    assert safe_name(safe) == safe
