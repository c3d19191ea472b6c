"""Passwords and e-mail addresses in frames, for every dialect that has these fields."""

import re

from services.edge.dialects.base import DecodeError
from shared.contract.errors import ErrorCode, Failure, Reason
from shared.contract.model import Scheme, Secret

_SECRET_BYTES = 1024
_EMAIL_CHARACTERS = 254
_EMAIL = re.compile(r"[^@\s\x00-\x20\x7f]+@[^@\s\x00-\x20\x7f]+")

VERIFY_BY_MAIL = Failure(ErrorCode.UNAVAILABLE, "a mail was sent to your address: open the link in it, then try again")
"""The error for clients whose protocol has no frame for a verification."""


def password(text: str, hashed: Scheme = Scheme.SHA256) -> Secret:
    """Return the secret that a client has sent as a password. A text with the form of the dialect's hash in hex counts
    as that hash. Any other text is a plain password. Raises DecodeError."""
    _check_length(text)
    return Secret(hashed, text.lower()) if hashed.fits(text) else Secret(Scheme.PLAIN, text)


def secret(scheme: Scheme, text: str, field: str) -> Secret:
    """Return a password from a frame that names its scheme. Raises DecodeError."""
    _check_length(text, field)
    if scheme is Scheme.PLAIN:
        return Secret(scheme, text)
    if not scheme.fits(text):
        raise DecodeError(f"this is no {scheme} in hex", field=field)
    return Secret(scheme, text.lower())


def _check_length(text: str, field: str = "") -> None:
    if not text:
        raise DecodeError("the password is empty", field=field, reason=Reason.LENGTH)
    if len(text.encode()) > _SECRET_BYTES:
        raise DecodeError(f"a password has at most {_SECRET_BYTES} bytes", ErrorCode.TOO_LARGE, field=field)


def email(text: str) -> str:
    """Return the e-mail address unchanged. Raises DecodeError."""
    if len(text) > _EMAIL_CHARACTERS or not _EMAIL.fullmatch(text):
        raise DecodeError("this is no e-mail address", field="email")
    return text
