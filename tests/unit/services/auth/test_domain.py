"""The pure rules of accounts."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.auth import domain, verifiers
from services.auth.domain import Account
from services.auth.identifiers import parse_oc_number
from shared.contract.auth import IdentifierKind, Login, Origin
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.ids import AccountId, NodeId
from shared.contract.model import Scheme, Secret
from shared.contract.session import EnsureProfile
from tests.unit.services.auth.cluster import plain, registration

MD5 = "5ebe2294ecd0e0f08eab7690d2a6ee69"
SHA256 = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b"


@pytest.mark.parametrize(
    ("field", "more"),
    [
        ("email", {"email": "no-address"}),
        ("email", {"email": "a@b\r\nBcc: c@d"}),
        ("email", {"email": "a@b, c@d"}),
        ("email", {"email": "a@b@c"}),
        ("email", {"email": "a\u2028b@c"}),
        ("email", {"email": "a" * 252 + "@b.c"}),
        ("username", {"username": "1234567890"}),
        ("username", {"username": "a@b"}),
        ("username", {"username": "a\u2028b"}),
        ("username", {"username": "a\0"}),
        ("username", {"username": "x" * 65}),
        ("username", {"username": "a\u200bb"}),
        ("username", {"username": "a\u202eb"}),
        ("username", {"username": "a\ufe0f"}),
        ("username", {"username": "\u3164"}),
        ("username", {"username": "a\u00a0b"}),
        ("username", {"username": "a＠b"}),
        ("username", {"username": "１２３４５６７８９０"}),
        ("uuid", {"uuid": "not-a-uuid"}),
        ("uuid", {"uuid": "{00000000-0000-4000-8000-00000000}"}),
        ("uuid", {"uuid": "----00000000000040008000000000000001"}),
        ("uuid", {"secret": Secret(Scheme.SERVICE, "without a uuid")}),
        ("nickname", {"nickname": ""}),
        ("nickname", {"nickname": "x" * 65}),
        ("nickname", {"nickname": "a\0b"}),
        ("nickname", {"nickname": "a\nb"}),
        ("nickname", {"nickname": "\u202ebob"}),
        ("nickname", {"nickname": "a\u200bb"}),
        ("nickname", {"nickname": "\u2800"}),
        ("signature", {"signature": "x" * 1025}),
        ("answer", {"answer": "\0"}),
        ("device", {"device": "x" * 65}),
        ("device", {"device": "a\nb"}),
        ("device", {"device": "a\u202eb"}),
        ("vip", {"vip": -1}),
        ("icon_id", {"icon_id": 2**63}),
        ("secret", {"secret": plain("")}),
        ("secret", {"secret": plain("字" * 342)}),
        ("secret", {"secret": Secret(Scheme.SHA256, MD5)}),
        ("secret", {"secret": Secret(Scheme.MD5, "g" * 32)}),
        ("node", {"origin": Origin(NodeId("a.b"))}),
        ("node", {"origin": Origin(NodeId(">"))}),
        ("address", {"origin": Origin(address="x" * 129)}),
        ("ticket", {"ticket": "x" * 129}),
    ],
)
def test_an_unacceptable_registration_names_the_field(field: str, more: dict[str, Any]) -> None:
    with pytest.raises(RequestError) as caught:
        domain.check_registration(registration(**{"email": "ann@example.org", **more}), 64)
    assert (caught.value.failure.code, caught.value.failure.field) == (ErrorCode.INVALID, field)
    assert caught.value.failure.text.startswith(f"{field} must "), "it says which rule"


@pytest.mark.parametrize(
    "more",
    [
        {"email": "a+b.c@example"},
        {"email": "名@例え.jp"},
        {"username": "12345"},
        {"username": "用户"},
        {"username": "👩\u200d🚀"},
        {"username": "नक्\u200dष"},
        {"nickname": "❤\ufe0f\u200d🔥 Ann"},
        {"uuid": "00000000-0000-4000-8000-000000000001", "secret": Secret(Scheme.SERVICE, "1")},
        {"nickname": "名" * 64},
        {"secret": plain("x" * 1024)},
        {"secret": Secret(Scheme.MD5, MD5.upper())},
        {},
    ],
)
def test_an_acceptable_registration_passes(more: dict[str, Any]) -> None:
    domain.check_registration(registration(**more), 64)


@given(st.text(), st.text(), st.sampled_from(Scheme), st.text())
def test_any_login_is_valid_or_rejected_as_invalid(identifier: str, value: str, scheme: Scheme, ticket: str) -> None:
    login = Login(kind=IdentifierKind.ANY, identifier=identifier, secret=Secret(scheme, value), ticket=ticket)
    try:
        domain.check_login(login)
    except RequestError as error:
        assert error.failure.code == ErrorCode.INVALID  # noqa: PT017
    verifiers.verifier_texts(login.secret)
    assert 0 <= parse_oc_number(identifier) < 2**63


@pytest.mark.parametrize(
    ("identifier", "number"),
    [("7", 7), ("0000000007", 7), ("", 0), ("-7", 0), ("7.0", 0), ("٧", 0), (" 7", 7), (str(2**63), 0), ("1" * 99, 0)],
)
def test_an_oc_number_may_be_padded(identifier: str, number: int) -> None:
    assert parse_oc_number(identifier) == number


def test_a_plain_password_has_every_verifier_a_hash_only_its_own() -> None:
    assert verifiers.verifier_texts(plain("secret")) == {Scheme.PLAIN: "secret", Scheme.MD5: MD5, Scheme.SHA256: SHA256}
    assert verifiers.verifier_texts(Secret(Scheme.MD5, MD5.upper())) == {Scheme.MD5: MD5}
    assert verifiers.verifier_texts(Secret(Scheme.SERVICE, "Ab")) == {Scheme.SERVICE: "Ab"}


def test_one_verifier_is_chosen() -> None:
    for secret, held, opened in (
        (plain("secret"), [Scheme.PLAIN, Scheme.MD5, Scheme.SHA256], (Scheme.PLAIN, "secret")),
        (plain("secret"), [Scheme.SHA256], (Scheme.SHA256, SHA256)),
        (plain("secret"), [Scheme.MD5], (Scheme.MD5, MD5)),
        (plain("secret"), [Scheme.SERVICE], (Scheme.PLAIN, "secret")),
        (Secret(Scheme.MD5, MD5), [Scheme.SHA256], (Scheme.MD5, MD5)),
        (Secret(Scheme.SERVICE, "secret"), [Scheme.PLAIN], (Scheme.SERVICE, "secret")),
    ):
        assert verifiers.texts_to_verify(secret, held) == [opened]


def test_delays_start_late_grow_and_are_bounded() -> None:
    delays = [domain.delay_seconds(failures) for failures in range(1000)]
    assert delays[9] == 0 < delays[10] < delays[11]
    assert delays == sorted(delays)
    assert delays[-1] == domain.MAX_DELAY_SECONDS


def test_failures_are_noticed_by_identifier_and_counted_by_account() -> None:
    account = Account(EnsureProfile(account=AccountId(7), uuid="u", nickname="n"), "a@b", {}, username="ann")
    by_mail, by_number = domain.login_subject("A@b", account), domain.login_subject("0000000007", account)
    assert by_mail.accounts == by_number.accounts == ("7",)
    assert by_mail.identifier != by_number.identifier
    assert {by_mail.identifier, by_number.identifier} < set(domain.identifier_keys(account))
    unknown = domain.login_subject("a@B", None)
    assert (unknown.identifier, *unknown.accounts) == (by_mail.identifier,) * 2
    assert unknown != domain.login_subject("a@c", None)


def test_nothing_secret_is_in_a_repr() -> None:
    account = Account(EnsureProfile(account=AccountId(7), uuid="u", nickname="n"), "a@b", {Scheme.PLAIN: "$argon2id$"})
    assert "argon2" not in repr(account)
    assert "a@b" not in repr(account)
    assert "hidden" not in repr(registration(password="hidden", answer="hidden", ticket="hidden"))
