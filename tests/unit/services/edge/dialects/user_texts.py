"""Finds and replaces texts of users in canonical values and in frames. Reads them from frames as clients do.

A *canonical* value has the form that is the same for all dialects.
"""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass, replace
from typing import Any

import msgspec
from hypothesis import strategies as st

from services.edge.canonical.frames import MediaPayload
from shared.contract.model import Secret
from tests.vectors import Vectors

USER_FIELDS = frozenset({
    "text", "nickname", "name", "signature", "answer", "emoji", "topic", "snippet", "reason", "username", "email",
    "client", "device", "reactions", "counts", "mine", "emojis", "avatar", "mime", "origin", "error", "mask",
    "join_key", "real_name", "tags", "value",
})  # fmt: skip
"""The fields of canonical values that contain texts of users: one text, a list of texts, or numbers by text."""
SERVER_FIELDS = frozenset({
    "address", "avatar_hash", "dialect", "epoch", "field", "hook", "id", "link", "refresh", "request", "result",
    "scopes", "secret", "sha256", "sid", "state", "ticket", "token", "uuid", "language", "level", "quiet_zone",
    "quiet_from", "quiet_to", "kind", "changed", "key", "last_error", "mode", "node", "by", "modes", "former_nick",
    "former_guest", "guest", "nick", "handle", "hash", "preview",
})  # fmt: skip
"""Fields with texts that the server makes or chooses from a few, or that have a fixed pattern."""
MARK = "Qzjx"
"""A word that is in no frame unless a user writes it."""
BREAKS = "\r\n\v\f\x1c\x1d\x1e\x85\u2028\u2029"
CODES = "\x01\x02\x03\x04\x0f\x11\x16\x1d\x1e\x1f"
"""Characters that in IRC are formatting codes or commands to clients, and not text."""

HOSTILE = st.lists(
    st.sampled_from([
        *BREAKS, "\r\n", "\0", "|", "｜", "||", " ", "\t", '"', "'", "\\", "\\n", "\\u0022", "{", "}", "}{", "[", "]",
        ",", ":", "\u202e", "\u2066", "\u200b", "\ufeff", "</script>", "%0a", "a", "甲", "😀",
        '","code":18,"x":"', '{"code":18}\n{"code":18}', "\nmessage|0|34|1|x", "|1|34|x|", "\n:34 PRIVMSG #5 :x",
    ]),
    min_size=1, max_size=6,
).map("".join).filter(lambda word: len(word) <= 120) | st.text(min_size=1, max_size=120)  # fmt: skip
"""Dangerous texts. They are short, because dialects cut longer texts of some fields, as their clients expect."""
ONE_LINE = st.text(
    st.characters(codec="utf-8", exclude_characters=f"\0{BREAKS}{CODES}"), min_size=1, max_size=64
) | HOSTILE.map(lambda word: "".join(each for each in word if each not in f"\0{BREAKS}{CODES}")[:64]).filter(bool)
"""A dangerous text on one line that is as short as a mention, so that every dialect can express it."""


def rewritten(value: Any, change: Callable[[str], str]) -> Any:
    """Returns a canonical value with all texts of users changed."""

    def inside(name: str, inner: Any) -> Any:
        if name not in USER_FIELDS:
            return rewritten(inner, change)
        match inner:
            case str():
                return change(inner)
            case list() if all(isinstance(one, str) for one in inner):
                return [change(one) for one in inner]
            case dict():
                return {change(one): count for one, count in inner.items()}
            case _:
                return rewritten(inner, change)

    match value:
        case Secret():  # dialects choose the scheme by the form of the secret
            return value
        case msgspec.Struct():
            return msgspec.structs.replace(
                value, **{name: inside(name, getattr(value, name)) for name in value.__struct_fields__}
            )
        case list() | tuple():
            return type(value)(rewritten(inner, change) for inner in value)
        case dict():
            return {key: rewritten(inner, change) for key, inner in value.items()}
        case _ if is_dataclass(value) and not isinstance(value, type):
            return replace(value, **{one.name: inside(one.name, getattr(value, one.name)) for one in fields(value)})
        case _:
            return value


def texts_in(value: Any) -> set[str]:
    """Yields all texts of users in a canonical value."""
    found: set[str] = set()

    def note(text: str) -> str:
        found.add(text)
        return text

    rewritten(value, note)
    return found - {""}


def replaced(frame: Any, old: str, new: str, file: Vectors) -> Any | None:
    """Returns a vector's frame with another text in one place.

    Returns None if there is no such place or more than one, or if a JSON frame is given as text.
    """
    if not isinstance(frame, str):
        return _in_object(frame, old, new) if list(_leaves(frame)).count(old) == 1 else None
    spans = [] if file.is_json else [(start, end) for start, end in file.spans(frame) if frame[start:end] == old]
    if len(spans) != 1:
        return None
    ((start, end),) = spans
    return frame[:start] + new + frame[end:]


def fitting(frame: Any, old: str, new: str, file: Vectors, *, free: bool) -> str | None:
    """Returns the part of a text that fits in the place of `old` in a frame, or None if nothing fits.

    `free` says that the place may contain separators.
    """
    if file.is_json:
        return new
    word = (new if free or not file.separator else new.replace(file.separator, "")).rstrip(BREAKS) or "x"
    if file.separator:
        return word
    word = "".join(each for each in word if each not in CODES) or "x"
    other = replaced(frame, old, word, file)
    meant = [word if field == old else field for field in _fields_of(frame, file)]
    return word if other is not None and _fields_of(other, file) == meant else None


def _fields_of(frame: str, file: Vectors) -> list[str]:
    return [frame[start:end] for start, end in file.spans(frame)]


def _in_object(value: Any, old: str, new: str) -> Any:
    if isinstance(value, dict):
        return {key: _in_object(inner, old, new) for key, inner in value.items()}
    if isinstance(value, list):
        return [_in_object(inner, old, new) for inner in value]
    return new if value == old else value


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _leaves(inner)
    else:
        yield value


def read(frame: object, file: Vectors) -> list[object]:
    """Returns the fields of a frame as a client reads it. In JSON, they have their names; otherwise, they are as in the
    file of the vectors.

    Of a media payload, only the texts count.
    """
    if isinstance(frame, MediaPayload):
        return [*read(frame.announcement, file), *read(frame.fallback, file)]
    if not isinstance(frame, bytes):
        return [frame]
    text = frame.decode()
    if file.is_json:
        return list(_paths(json.loads(text, object_pairs_hook=tuple), ()))
    if file.fields:
        match = re.fullmatch(file.fields, text)
        assert match is not None, text
        assert len(text.splitlines()) == 1
        return list(match.groups())
    whole = text.split(file.separator, file.splits.get(text.split(file.separator)[0], -1))
    assert whole[0] in file.splits or len(text.splitlines()) == 1
    return list(whole)


def _paths(value: Any, path: tuple[object, ...]) -> Iterator[object]:
    """Yields the path and the value of each leaf of a JSON value.

    The members of an object are pairs, so that no duplicate is overlooked.
    """
    if isinstance(value, tuple):
        yield (*path, "object", len(value))
        for key, inner in value:
            yield from _paths(inner, (*path, key))
    elif isinstance(value, list):
        yield (*path, "list", len(value))
        for position, inner in enumerate(value):
            yield from _paths(inner, (*path, position))
    else:
        yield (*path, type(value).__name__)
        yield value
