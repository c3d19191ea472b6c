"""Replaces secrets in the frames of a record, the same secret always by the same text."""

import hashlib
import re
import secrets

_HASH = re.compile(r"[0-9A-Fa-f]{32}|[0-9A-Fa-f]{64}")
_TOKEN = re.compile(r"eyJ(?!-secret-)[\w-]+\.[\w-]+\.[\w-]+", re.ASCII)
"""A JWT, but no mask of one."""


class SecretMasks:
    """Numbers secrets in the order of their appearance. A mask has the form of its secret, because forms decide what a
    frame means: `<secret-1>`, 31 or 63 zeros and a 1 for a hash in hex, `eyJ-secret-1.masked.masked` for a token. Holds
    keyed digests, no secret."""

    def __init__(self) -> None:
        self._key = secrets.token_bytes(16)
        self._numbers: dict[bytes, int] = {}

    def mask(self, secret: str) -> str:
        digest = hashlib.blake2b(secret.encode(), key=self._key).digest()
        number = self._numbers.setdefault(digest, len(self._numbers) + 1)
        if _HASH.fullmatch(secret):
            return f"{number:0{len(secret)}x}"
        return f"eyJ-secret-{number}.masked.masked" if _TOKEN.fullmatch(secret) else f"<secret-{number}>"

    def mask_tokens(self, text: str) -> str:
        """Masks tokens of this server wherever they stand, such as in a message."""
        return _TOKEN.sub(lambda found: self.mask(found[0]), text)
