import pytest

from services.edge.dialects import credentials
from services.edge.dialects.base import DecodeError
from shared.contract.errors import ErrorCode
from shared.contract.model import Scheme, Secret

HEX = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


@pytest.mark.parametrize("text", [HEX, HEX.upper(), HEX.title()])
def test_64_hex_digits_are_a_hash_in_either_case(text: str) -> None:
    assert credentials.password(text) == Secret(Scheme.SHA256, HEX)


@pytest.mark.parametrize("text", ["密码", HEX[:32], HEX[:-1], HEX + "0", HEX[:-1] + "g", HEX + "\n", " ", "x" * 1024])
def test_anything_else_is_plain(text: str) -> None:
    assert credentials.password(text) == Secret(Scheme.PLAIN, text)


@pytest.mark.parametrize(
    ("text", "scheme"), [(HEX[:32], Scheme.MD5), (HEX[:32].upper(), Scheme.MD5), (HEX, Scheme.PLAIN)]
)
def test_a_dialect_may_have_another_hash(text: str, scheme: Scheme) -> None:
    assert credentials.password(text, Scheme.MD5) == Secret(scheme, text.lower())


@pytest.mark.parametrize(("text", "code"), [("", ErrorCode.INVALID), ("密" * 342, ErrorCode.TOO_LARGE)])
def test_an_empty_and_a_huge_password_are_rejected(text: str, code: ErrorCode) -> None:
    with pytest.raises(DecodeError) as rejected:
        credentials.password(text)
    assert rejected.value.failure.code is code


@pytest.mark.parametrize("text", ["a@b", "Ann.Lee+tag@ourchat.com", "名@域名.中国", "a|b@c.d", "x" * 250 + "@b.c"])
def test_an_email_address_is_unchanged(text: str) -> None:
    assert credentials.email(text) == text


@pytest.mark.parametrize("text", [
    "", "a", "@", "a@", "@b", "a@b@c", "a b@c", "a@b\n", "a@b\r\nBcc: c@d", "a\0@b", "a@b\x7f", " a@b",
    "x" * 251 + "@b.c",
])  # fmt: skip
def test_an_invalid_email_address_is_rejected(text: str) -> None:
    with pytest.raises(DecodeError):
        credentials.email(text)
