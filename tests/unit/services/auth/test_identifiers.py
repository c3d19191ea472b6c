"""Tests which identifiers are valid, and which of them are equal."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.auth.identifiers import (
    email_key,
    is_valid_email,
    is_valid_username,
    parse_oc_number,
    plain_email,
    plain_username,
)


def test_spellings_of_one_address() -> None:
    for spellings in (
        [
            "ann@example.org",
            " Ann@Example.ORG ",
            "ａｎｎ＠ｅｘａｍｐｌｅ．ｏｒｇ",
            "ann@example。org",
            "ann@example.org.",
        ],
        ["ann@bücher.example", "ann@BÜCHER.example", "ann@bu\u0308cher.example", "ann@xn--bcher-kva.example"],
        ["josé@example.org", "jose\u0301@example.org", "JOSÉ@example.org"],
    ):
        assert len({email_key(spelling) for spelling in spellings}) == 1
        assert all(is_valid_email(plain_email(spelling)) for spelling in spellings[:-1])


@pytest.mark.parametrize("email", ["anna@example.org", "ann@bucher.example", "rnary@example.org", "ann"])
def test_other_addresses_have_other_keys(email: str) -> None:
    assert email_key(email) not in {
        email_key(one) for one in ("ann@example.org", "ann@bücher.example", "mary@example.org")
    }


@pytest.mark.parametrize(
    "email",
    ["аnn@example.org", "ann@exаmple.org", "αnn@example.org", "аса@example.org", "ıbo@example.org", "ann@москвa.рф"],
)
def test_an_address_that_looks_like_another_is_rejected(email: str) -> None:
    assert not is_valid_email(plain_email(email))


@pytest.mark.parametrize(
    "email", ["a@=?utf-8?q?b.example=2Cc=40d.example?=", "=?utf-8?b?YQ0KQg==?=@x", "a@＝？x？q？b？＝"]
)
def test_an_address_that_mail_programs_decode_is_rejected(email: str) -> None:
    assert not is_valid_email(plain_email(email))


@pytest.mark.parametrize(
    "email",
    ["мария@пример.рф", "анна@срс.рус", "用户ann@例え.jp", "jürgen@example.org", "a.b+c@example.co.uk", "x@xn--p1ai"],
)
def test_addresses_of_other_scripts_are_valid(email: str) -> None:
    assert is_valid_email(plain_email(email))


def test_plain_usernames_and_numbers() -> None:
    assert plain_username("  Zoe\u0308 ") == "Zoë"
    assert not is_valid_username("１２３４５６７８９０")
    assert [parse_oc_number(text) for text in (" 0000000007\n", "７", "seven", "")] == [7, 7, 0, 0]


def test_long_identifiers_are_rejected_unread(monkeypatch: pytest.MonkeyPatch) -> None:
    """The time of most rules grows with the square of the length."""
    for module in ("services.auth.identifiers", "shared.names"):
        monkeypatch.setattr(f"{module}.unicodedata", None)
    assert not is_valid_username("👩" + "\u200d" * 60_000)
    assert not is_valid_email("a@" + "xn--a." * 60_000 + "x")
    for marks in ("a" + "\u0301\u0316" * 15_000, "a@b" + "\u0301\u0316" * 15_000):
        assert not is_valid_email(plain_email(marks))
        assert not is_valid_username(plain_username(marks))


@given(st.text(max_size=30), st.text(max_size=30))
def test_any_text_has_one_key(local: str, domain: str) -> None:
    email = f"{local}@{domain}"
    assert email_key(email_key(email)) == email_key(email)
    assert is_valid_email(plain_email(email)) in (True, False)
