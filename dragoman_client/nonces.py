"""Makes nonces, which are names for messages. No other client makes the same ones."""

import random
import time

_NS_PER_MS = 1_000_000
_MIDDLE_BITS = 24
_NUMBER_BITS = 47
"""The number has one bit less than there are bits for it, so that it never overflows within a millisecond."""


class NonceSource:
    """Makes UUIDs of version 7 (RFC 9562, section 5.7). They begin with the time, so that new nonces are adjacent in
    the server's database. Within a millisecond, the nonces count from a random number (section 6.2, method 2)."""

    def __init__(self) -> None:
        self._ms = 0
        self._start = ""
        self._number = 0

    def new_nonce(self) -> str:
        ms = time.time_ns() // _NS_PER_MS
        if ms != self._ms:
            self._enter(ms)
        self._number += 1
        return f"{self._start}{self._number:012x}"

    def _enter(self, ms: int) -> None:
        time_text, middle = f"{ms:012x}", f"{random.getrandbits(_MIDDLE_BITS):06x}"
        self._ms = ms
        self._start = f"{time_text[:8]}-{time_text[8:]}-7{middle[:3]}-8{middle[3:]}-"
        self._number = random.getrandbits(_NUMBER_BITS)
