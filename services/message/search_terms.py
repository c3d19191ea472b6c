"""The terms by which messages are found, pure: pairs of characters for Chinese, Japanese and Korean, else words.

Text is compared in the compatibility form of Unicode (NFKC), without upper case: ＡＢＣ is abc. A run of Chinese,
Japanese or Korean characters has each single character and each pair of neighbours as terms, so that a query of any
length finds it; a query needs only the pairs. Every other run of letters, digits and marks is one term.
"""

import re
import unicodedata
from collections.abc import Collection, Iterable, Iterator
from functools import lru_cache
from itertools import groupby, pairwise
from typing import NamedTuple

import msgspec

from shared.contract.body import EXPIRED_BODY, RECALLED_BODY, unpack_segments
from shared.contract.ids import NO_ACCOUNT, AccountId
from shared.contract.model import File, Image, Segment, Text
from shared.contract.search import ContentKind

MAX_TERM = 64
"""Characters of a word that count."""
_MARK = "\ue000"
"""Begins the terms for what is no text: no word holds it."""
_LINK = re.compile(r"https?://\w", re.IGNORECASE)
_SNIPPET = 160
_BEFORE_MARK = 40
_MARKS = 20

_IDEOGRAPHIC = (
    (0x3005, 0x3007), (0x3021, 0x3029), (0x3031, 0x3035), (0x3041, 0x3096), (0x3099, 0x309F), (0x30A1, 0x30FA),
    (0x30FC, 0x30FF), (0x3105, 0x312F), (0x3131, 0x318E), (0x31A0, 0x31BF), (0x31F0, 0x31FF), (0x3400, 0x4DBF),
    (0x4E00, 0x9FFF), (0xA960, 0xA97C), (0xAC00, 0xD7FB), (0xF900, 0xFAFF), (0x1100, 0x11FF), (0x1AFF0, 0x1B16F),
    (0x20000, 0x323AF),
)  # fmt: skip
_CACHED_CHARACTERS = 8_192
_PUNCTUATION = "\u2014\u2018-\u201d\u2026\u3000-\u3002\u3008-\u3011\uff01\uff08\uff09\uff0c\uff1a\uff1b\uff1f"
_PLAIN = re.compile(f"[\\x00-\\x7f\u4e00-\u9fff{_PUNCTUATION}]*")
"""Texts of which nothing is folded but upper case."""
_PLAIN_RUN = re.compile("([0-9a-z]+)|[\u4e00-\u9fff]+")


class _Run(NamedTuple):
    """Consecutive characters of one kind, folded, and the range of the text that each comes from."""

    is_ideographic: bool
    characters: str
    places: tuple[tuple[int, int], ...]


class Snippet(NamedTuple):
    """Part of a text; `marks`: position and length of what was found in it, in characters (code points)."""

    text: str
    marks: list[tuple[int, int]]


# Messages


def message_text(body: bytes) -> str:
    """The texts of a message and the names of its files; empty for one that is recalled or expired."""
    return _text_of(_segments(body))


def message_terms(sender: AccountId, body: bytes) -> set[str]:
    """Of the text, the sender and the kinds of the content. None for a message that is recalled or expired."""
    segments = _segments(body)
    if not segments:
        return set()
    text = _text_of(segments)
    return terms(text) | set(filter_terms(sender, _kinds(segments, text)))


def filter_terms(sender: AccountId, kinds: Iterable[ContentKind]) -> list[str]:
    """Of messages of this sender (NO_ACCOUNT: of any) that hold all of these."""
    return [f"{_MARK}{kind.value}" for kind in kinds] + ([f"{_MARK}{sender}"] if sender != NO_ACCOUNT else [])


def _segments(body: bytes) -> tuple[Segment, ...]:
    if body in (RECALLED_BODY, EXPIRED_BODY):
        return ()
    try:
        return unpack_segments(body)
    except msgspec.MsgspecError:
        return ()


def _text_of(segments: Iterable[Segment]) -> str:
    return "\n".join(filter(None, map(_shown, segments)))


def _shown(segment: Segment) -> str:
    match segment:
        case Text(text):
            return text
        case File(media):
            return media.name
        case _:
            return ""


def _kinds(segments: Iterable[Segment], text: str) -> Iterator[ContentKind]:
    types = {type(segment) for segment in segments}
    found = {
        ContentKind.IMAGE: Image in types,
        ContentKind.FILE: File in types,
        ContentKind.LINK: bool(_LINK.search(text)),
    }
    return (kind for kind, holds in found.items() if holds)


# Texts


def terms(text: str) -> set[str]:
    if _PLAIN.fullmatch(text):
        return set(_plain_terms(text.lower()))
    return {term for run in _runs(text) for term, _, _ in _terms_of(run)}


def _plain_terms(text: str) -> Iterator[str]:
    """Without a look at each character: the indexer takes apart every message."""
    for run in _PLAIN_RUN.finditer(text):
        if run[1]:
            yield run[1][:MAX_TERM]
        else:
            yield from run[0]
            yield from map("".join, pairwise(run[0]))


def query_terms(query: str) -> list[str]:
    """Which a message must all have, in the order of the query."""
    found = [term for run in _runs(query) for term in _needed(run)]
    return list(dict.fromkeys(found))


def snippet(text: str, wanted: Collection[str]) -> Snippet:
    """The part of the text around the first of the wanted terms."""
    places = [place for run in _runs(text) for term, *place in _terms_of(run) if term in wanted]
    marks = list(_joined((low, high) for low, high in sorted(places)))
    start = max(0, marks[0][0] - _BEFORE_MARK) if marks and marks[0][1] > _SNIPPET else 0
    end = start + _SNIPPET
    shown = [(low - start, high - low) for low, high in marks if high <= end]
    return Snippet(text[start:end], shown[:_MARKS])


def _joined(places: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Ascending ranges, those that overlap or touch as one."""
    last: tuple[int, int] | None = None
    for low, high in places:
        if last is not None and low <= last[1]:
            last = (last[0], max(last[1], high))
            continue
        if last is not None:
            yield last
        last = (low, high)
    if last is not None:
        yield last


def _needed(run: _Run) -> Iterator[str]:
    """A pair holds both of its characters."""
    characters = run.characters
    if run.is_ideographic and len(characters) > 1:
        yield from map("".join, pairwise(characters))
    else:
        yield characters[:MAX_TERM]


def _terms_of(run: _Run) -> Iterator[tuple[str, int, int]]:
    """Each term, and the range of the text that it comes from."""
    characters, places = run.characters, run.places
    if not run.is_ideographic:
        yield characters[:MAX_TERM], places[0][0], places[-1][1]
        return
    for at, character in enumerate(characters):
        yield character, *places[at]
        if at:
            yield characters[at - 1 : at + 1], places[at - 1][0], places[at][1]


def _runs(text: str) -> Iterator[_Run]:
    folded = [(one, place) for part, place in _clusters(text) for one in _folded(part)]
    for kind, group in groupby(folded, key=lambda one: _kind(one[0])):
        if kind:
            characters, places = zip(*group, strict=True)
            yield _Run(kind == _IDEOGRAPH, "".join(characters), places)


def _clusters(text: str) -> Iterator[tuple[str, tuple[int, int]]]:
    """Characters with those that follow and combine with them, and their ranges."""
    start = 0
    for at in range(1, len(text) + 1):
        if at == len(text) or not _combines(text[at]):
            yield text[start:at], (start, at)
            start = at


@lru_cache(_CACHED_CHARACTERS)
def _combines(character: str) -> bool:
    """With the one before: accents, sound marks of kana (half-width ones, too), later letters of a Korean syllable."""
    return bool(unicodedata.combining(unicodedata.normalize("NFKC", character)[0]) or "\u1160" <= character <= "\u11ff")


@lru_cache(_CACHED_CHARACTERS)
def _folded(cluster: str) -> str:
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", cluster).casefold())


_WORD, _IDEOGRAPH = 1, 2


@lru_cache(_CACHED_CHARACTERS)
def _kind(character: str) -> int:
    """0: no part of a term."""
    if any(low <= ord(character) <= high for low, high in _IDEOGRAPHIC):
        return _IDEOGRAPH
    return _WORD if unicodedata.category(character)[0] in "LMN" else 0
