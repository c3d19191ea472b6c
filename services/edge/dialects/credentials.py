"""How passwords and e-mail addresses on the wire are understood, in every dialect that has them."""

import re

from services.edge.dialects.base import DecodeError
from shared.contract.errors import ErrorCode
from shared.contract.model import Scheme, Secret

_SECRET_BYTES = 1024
_EMAIL_CHARACTERS = 254
_EMAIL = re.compile(r"[^@\s\x00-\x20\x7f]+@[^@\s\x00-\x20\x7f]+")
_SHA256 = re.compile(r"[0-9A-Fa-f]{64}")


def password(text: str) -> Secret:
    """A password as the OurChat dialects send it: 64 hex digits are its sha256, all else is plain."""
    if not text:
        raise DecodeError("the password is empty")
    if len(text.encode()) > _SECRET_BYTES:
        raise DecodeError(f"a password has at most {_SECRET_BYTES} bytes", ErrorCode.TOO_LARGE)
    return Secret(Scheme.SHA256, text.lower()) if _SHA256.fullmatch(text) else Secret(Scheme.PLAIN, text)


def email(text: str) -> str:
    """An e-mail address, as it was given."""
    if len(text) > _EMAIL_CHARACTERS or not _EMAIL.fullmatch(text):
        raise DecodeError("this is no e-mail address")
    return text
