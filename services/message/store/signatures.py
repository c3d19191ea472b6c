"""Signatures of chats, pure: a signature (a Bloom filter) tells which terms a chat surely does not have.

A long chat has none: it is among the few that a search looks at in any case. The length of a signature is that of the
terms when it was made; once too many of its bits are set, it is made anew.
"""

from collections.abc import Collection, Iterable
from functools import lru_cache
from typing import NamedTuple
from zlib import crc32

SIGNED_MESSAGES = 512
"""A chat with more messages has no signature."""
_LONGEST = 1_792
"""Bytes. PostgreSQL stores what is little longer outside of the row."""
_SHORTEST = 32
_BYTES_OF_TERM = 2
_FULLEST = 0.31
"""Part of the bits that are set: one term in thirty that the chat lacks seems to be there."""
_MULTIPLIERS = (0x9E3779B1, 0x85EBCA77, 0xC2B2AE3D)
_CACHED_TERMS = 32_768


class Bit(NamedTuple):
    """In the byte `position` modulo the length of the signature."""

    position: int
    bit: int


@lru_cache(_CACHED_TERMS)
def bits(term: str) -> tuple[Bit, ...]:
    """Which are all set if the chat has the term."""
    number = crc32(term.encode())
    products = [(number * multiplier & 0xFFFFFFFF) >> 8 for multiplier in _MULTIPLIERS]
    return tuple(Bit(product >> 3, product & 7) for product in products)


def sign(terms: Collection[str]) -> bytes | None:
    """None: too many terms."""
    length = min(max(_SHORTEST, _BYTES_OF_TERM * len(terms)), _LONGEST)
    return extended(bytes(length), terms)


def extended(signature: bytes, terms: Iterable[str]) -> bytes | None:
    """With further terms. None: it is too short for them."""
    changed, length = bytearray(signature), len(signature)
    for term in terms:
        for position, bit in bits(term):
            changed[position % length] |= 1 << bit
    is_full = int.from_bytes(changed).bit_count() > _FULLEST * 8 * length
    return None if is_full else bytes(changed)
