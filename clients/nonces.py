"""Names of messages that no other client gives."""

import secrets

_BYTES = 8


def new_nonce() -> str:
    return secrets.token_hex(_BYTES)
