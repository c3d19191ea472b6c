"""Derives from a secret the texts that are hashed and stored, and the texts that are compared with a stored hash."""

import hashlib
import unicodedata
from collections.abc import Collection

from shared.contract.model import Scheme, Secret


def plain_text(text: str) -> str:
    """The form in which a new password or answer is hashed. It is needed because keyboards of different systems encode
    the same characters in different Unicode forms."""
    return unicodedata.normalize("NFC", text)


def text_forms(text: str) -> list[str]:
    """The forms in which a password may be stored, the plain form first. A client that sends a digest instead has made
    it of the form that was typed."""
    return list(dict.fromkeys((plain_text(text), text, unicodedata.normalize("NFD", text))))


def verifier_texts(secret: Secret) -> dict[Scheme, str]:
    """The texts to hash and store, by scheme. A plain password has a text for every scheme that can be derived from it.
    Any other secret has only its own scheme."""
    return _verifier_texts(secret, plain_text(secret.value))


def _verifier_texts(secret: Secret, password: str) -> dict[Scheme, str]:
    """`password`: a form of the secret, if it is a plain password."""
    if secret.scheme in (Scheme.MD5, Scheme.SHA256):
        return {secret.scheme: secret.value.lower()}
    if secret.scheme is Scheme.SERVICE:
        return {Scheme.SERVICE: secret.value}
    data = password.encode()
    return {
        Scheme.PLAIN: password,
        Scheme.SHA256: hashlib.sha256(data).hexdigest(),
        Scheme.MD5: hashlib.md5(data, usedforsecurity=False).hexdigest(),
    }


def secret_text(secret: Secret) -> str:
    """The text by which the secrets of held requests are compared. Secrets of different schemes are never equal."""
    [(scheme, text), *_] = verifier_texts(secret).items()
    return f"{scheme} {text}"


def reset_verifier_texts(password: str, held: Collection[Scheme]) -> dict[Scheme, str]:
    """The texts to hash and store when an operator sets a new password. If the account is a service client's, the
    password becomes its service secret."""
    return verifier_texts(Secret(Scheme.SERVICE if Scheme.SERVICE in held else Scheme.PLAIN, password))


def texts_to_verify(secret: Secret, held: Collection[Scheme]) -> list[tuple[Scheme, str]]:
    """The texts to compare one after the other, each with the scheme of the verifier to compare it with. If the account
    has no suitable verifier, the number of texts is the same, and the scheme is one that the account lacks."""
    forms = text_forms(secret.value) if secret.scheme is Scheme.PLAIN else [secret.value]
    texts = [_verifier_texts(secret, form) for form in forms]
    scheme = next((scheme for scheme in texts[0] if scheme in held), secret.scheme)
    return [(scheme, one[scheme]) for one in texts]
