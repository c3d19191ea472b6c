"""Identifiers of accounts: which texts are valid, and which texts are the same identifier.

Data and rules: docs/adr/0057-identifiers-have-one-canonical-form.md.
"""

import re
import unicodedata

from shared.names import fold, is_valid_name, name_key, unicode_form, without_joiners

EMAIL_CHARACTERS = 254
USERNAME_CHARACTERS = 64
ENCODED_WORD = "=?"
"""The beginning of an encoded word (RFC 2047). Programs for mail decode encoded words even in addresses, so such a word
could contain other recipients or header fields."""

_EMAIL = re.compile(r"[^\s@<>()\[\],;:\\\"]+@[^\s@<>()\[\],;:\\\"]+")
_TEN_DIGITS = re.compile(r"[0-9]{10}")
_NO_WORD = re.compile(r"[\W_]+")
_SIMILAR_SCRIPTS = frozenset({"LATIN", "GREEK", "CYRILLIC"})
_PUNYCODE = "xn--"
_MAX_INT64 = 2**63 - 1


# E-mail addresses


def plain_email(email: str) -> str:
    """The form of an address that is stored, and to which mails are sent: without surrounding blanks, and without
    full-width and other compatibility characters."""
    return unicode_form("NFKC", email).replace("。", ".").strip()


def is_valid_email(email: str) -> bool:
    """Whether a new account may have this plain address. An address whose letters look like other letters is rejected,
    because users could not tell it from another address. So is an address with an encoded word."""
    if len(email) > EMAIL_CHARACTERS:  # first, because the key of a long text takes a long time
        return False
    key = email_key(email)
    has_form = email.isprintable() and _EMAIL.fullmatch(email)
    return bool(has_form and _EMAIL.fullmatch(key)) and ENCODED_WORD not in email and not _is_ambiguous(key)


def email_key(email: str) -> str:
    """The key by which addresses are compared. Addresses that differ only in case, in Unicode form, or in the spelling
    of an international domain have the same key."""
    local, at, domain = fold(plain_email(email)).rpartition("@")
    return local + at + (".".join(map(_unicode_label, domain.rstrip(".").split("."))) if at else domain)


def _unicode_label(label: str) -> str:
    if not label.startswith(_PUNYCODE):
        return label
    import idna  # imported here, because its tables take 0.6 MiB

    try:
        return fold(idna.decode(label))
    except UnicodeError:
        return label


def _is_ambiguous(key: str) -> bool:
    """Whether a word of the key looks like an ASCII word, or mixes scripts whose letters look alike. If the top-level
    domain is not ASCII, the labels of the domain may have its script."""
    local, _, domain = key.rpartition("@")
    *labels, top = domain.split(".")
    expected_in_ascii = _NO_WORD.split("-".join([local, *labels] if top.isascii() else [local]))
    return any(not word.isascii() and name_key(word).isascii() for word in expected_in_ascii) or any(
        len({unicodedata.name(character, "").partition(" ")[0] for character in word} & _SIMILAR_SCRIPTS) > 1
        for word in _NO_WORD.split(key)
    )


# Usernames, numbers and uuids


def plain_username(username: str) -> str:
    """The form of a username that is stored."""
    return unicode_form("NFC", username).strip()


def is_valid_username(username: str) -> bool:
    """Whether a new account may have this plain username. A username must not look like an OC number or an e-mail
    address."""
    if len(username) > USERNAME_CHARACTERS:  # first, because the other rules take a long time for a long text
        return False
    if not is_valid_name(username) or not without_joiners(username).isprintable():
        return False
    folded = unicodedata.normalize("NFKC", username)
    return "@" not in folded and not _TEN_DIGITS.fullmatch(folded)


def parse_oc_number(identifier: str) -> int:
    """The OC number in an identifier, zero-padded or not. If the identifier is not an OC number, the result is 0, which
    no account has."""
    plain = unicodedata.normalize("NFKC", identifier).strip()
    if not (plain.isascii() and plain.isdecimal() and len(plain) <= 32):
        return 0
    value = int(plain)
    return value if value <= _MAX_INT64 else 0


def uuid_spellings(uuid: str) -> list[str]:
    """The spellings under which this uuid may be stored. An account's uuid is stored as the client spelled it at
    registration."""
    return list(dict.fromkeys((uuid, uuid.lower(), uuid.upper())))
