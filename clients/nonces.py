"""Names of messages that no other client gives."""

import random
import time

_RANDOM_BITS = 72


def new_nonce() -> str:
    """A UUID of version 7 (RFC 9562, section 5.7): it begins with the time, so that the server keeps new nonces beside
    each other."""
    ms, rest = f"{time.time_ns() // 1_000_000:012x}", f"{random.getrandbits(_RANDOM_BITS):018x}"
    return f"{ms[:8]}-{ms[8:]}-7{rest[:3]}-8{rest[3:6]}-{rest[6:]}"
