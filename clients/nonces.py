"""Names of messages that no other client gives."""

import secrets
import time

_RANDOM_BYTES = 9


def new_nonce() -> str:
    """A UUID of version 7 (RFC 9562, section 5.7): it begins with the time, so that the server keeps new nonces beside
    each other."""
    ms, random = f"{time.time_ns() // 1_000_000:012x}", secrets.token_hex(_RANDOM_BYTES)
    return f"{ms[:8]}-{ms[8:]}-7{random[:3]}-8{random[3:6]}-{random[6:]}"
