"""Identifiers of accounts: which texts are valid, and which are the same one."""

import re
import unicodedata

_EMAIL = re.compile(r"[^\s@<>()\[\],;:\\\"]+@[^\s@<>()\[\],;:\\\"]+")
_MAX_INT64 = 2**63 - 1


def is_email(email: str) -> bool:
    return email.isprintable() and bool(_EMAIL.fullmatch(email))


def email_key(email: str) -> str:
    """Addresses with the same key are the same address: case is ignored."""
    return unicodedata.normalize("NFC", email).casefold()


def parse_oc_number(identifier: str) -> int:
    """The OC number in an identifier, zero-padded or not; 0, which no account has, when it is not one."""
    if not (identifier.isascii() and identifier.isdecimal() and len(identifier) <= 32):
        return 0
    value = int(identifier)
    return value if value <= _MAX_INT64 else 0
