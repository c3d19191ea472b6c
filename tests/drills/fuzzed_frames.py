"""Mutated frames of a dialect, made from its vectors. The same seed gives the same frames.

A *vector* is a frame as data, beside the value that it stands for.
"""

import random
import re
from collections.abc import Callable
from functools import cache

from dragoman_client.codec.base import ClientAccount
from services.edge.canonical.frames import Binary, Frame
from tests import vectors

_NUMBER = re.compile(rb"-?\d+")
_JSON_VALUE = re.compile(rb'(?<=:)\s*("[^"]*"|-?\d+|null|true|false)')
_ACCOUNT, _PADDED = b"12", b"0000000012"
"""The account's number in the vectors."""
_TOKEN = re.compile(rb"eyJ[\w-]+\.[\w-]+\.[\w-]+")
_PIECES = (
    b"\x00", b'"', b"\\", b"\\ud800", b"{", b"}", b"[", b"]", b"|", b"#", b",", b"\r", b"\n", b"\xff\xfe", b"\x1b[2J",
    b"[" * 2000, b'{"a":' * 1000, b"null", b"-1", b"1e999", b"9" * 40, b"9223372036854775808", b"0.1",
    "\u202e".encode(), "\U0001f468\u200d\U0001f469".encode(), b"A" * 5000,
)  # fmt: skip
_VALUES = (b"null", b"true", b"[]", b"{}", b'""', b"[[]]", b"0", b"-1", b"2.5", b"1e999", b'"\\u0000"', b"9" * 40)
_COUNTS = (0, 1, 1, 1, 2, 3, 8)
"""Numbers of mutations of a frame, from which one is drawn. One frame in seven is not mutated."""
_INVALID_TEXTS = 0.002
"""The share of frames that need not be UTF-8. Such a frame ends the connection."""
_LONGEST = 60_000
"""The most bytes of a frame. Before a login, the server rejects longer frames for their length."""

Mutation = Callable[[random.Random, bytes], bytes]


class FrameMutator:
    """An endless series of frames of one dialect. `account` replaces the account and the token of the vectors."""

    def __init__(self, dialect: str, seed: int, account: ClientAccount | None = None) -> None:
        self._random = random.Random(seed)
        self._mutations: tuple[Mutation, ...] = (
            _flip, _delete, _repeat, _truncate, _insert, _change_number, _change_value, self._splice,
        )  # fmt: skip
        self._frames = _own(_frames(dialect), account)

    def first(self) -> Frame:
        """Returns the first frame as it is in the vectors, because the server detects the dialect by it."""
        return self._random.choice(self._frames)

    def next(self) -> Frame:
        frame = self._random.choice(self._frames)
        changed = _data(frame)
        for _ in range(self._random.choice(_COUNTS)):
            changed = self._random.choice(self._mutations)(self._random, changed)[:_LONGEST]
        if isinstance(frame, Binary):
            return Binary(changed)
        is_free = self._random.random() < _INVALID_TEXTS
        return changed if is_free else changed.decode(errors="ignore").encode()

    def _splice(self, rng: random.Random, frame: bytes) -> bytes:
        """Joins the beginning of this frame to the end of another frame."""
        other = _data(rng.choice(self._frames))
        return frame[: _position(rng, frame)] + other[_position(rng, other) :]


@cache
def _frames(dialect: str) -> list[Frame]:
    found: list[Frame] = []
    for vector in vectors.load(dialect).vectors:
        found += [vectors.wire(frame) for frame in vector.given.before]
        if vector.frame is not None:
            found.append(vectors.wire(vector.frame))
    return found


def _own(frames: list[Frame], account: ClientAccount | None) -> list[Frame]:
    if account is None:
        return frames
    number = str(account.number).encode()

    def replaced(frame: bytes) -> bytes:
        frame = frame.replace(_PADDED, number.zfill(len(_PADDED)))
        frame = re.sub(rb"\b%b\b" % _ACCOUNT, number, frame)
        return _TOKEN.sub(account.token.encode() or number, frame)

    return [frame if isinstance(frame, Binary) else replaced(frame) for frame in frames]


def _data(frame: Frame) -> bytes:
    return frame.data if isinstance(frame, Binary) else frame


def _position(rng: random.Random, frame: bytes) -> int:
    return rng.randrange(len(frame) + 1)


def _part(rng: random.Random, frame: bytes) -> tuple[int, int]:
    start = _position(rng, frame)
    return start, min(len(frame), start + rng.choice((1, 2, 8, 64)))


def _flip(rng: random.Random, frame: bytes) -> bytes:
    """Replaces one byte by a random one."""
    at = _position(rng, frame)
    return frame[:at] + bytes([rng.randrange(256)]) + frame[at + 1 :]


def _delete(rng: random.Random, frame: bytes) -> bytes:
    start, end = _part(rng, frame)
    return frame[:start] + frame[end:]


def _repeat(rng: random.Random, frame: bytes) -> bytes:
    start, end = _part(rng, frame)
    return frame[:end] + frame[start:end] * rng.choice((1, 2, 50)) + frame[end:]


def _truncate(rng: random.Random, frame: bytes) -> bytes:
    return frame[: _position(rng, frame)]


def _insert(rng: random.Random, frame: bytes) -> bytes:
    at = _position(rng, frame)
    return frame[:at] + rng.choice(_PIECES) + frame[at:]


def _change_number(rng: random.Random, frame: bytes) -> bytes:
    return _change(rng, frame, _NUMBER, (b"0", b"-1", b"1", b"007", b"2147483648", b"9" * 40, b"1.5"))


def _change_value(rng: random.Random, frame: bytes) -> bytes:
    """Replaces one JSON value by a value of another type."""
    return _change(rng, frame, _JSON_VALUE, _VALUES)


def _change(rng: random.Random, frame: bytes, pattern: re.Pattern[bytes], values: tuple[bytes, ...]) -> bytes:
    found = list(pattern.finditer(frame))
    if not found:
        return frame
    start, end = rng.choice(found).span()
    return frame[:start] + rng.choice(values) + frame[end:]
