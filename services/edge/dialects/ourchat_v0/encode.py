"""OurChat v0, server to client: the frames, byte for byte."""

from collections.abc import Iterator
from itertools import groupby

import msgspec

from services.edge.dialects.ourchat_envelope import ocid
from services.edge.dialects.ourchat_v0.codes import Code
from services.edge.dialects.rendering import rendered
from services.edge.requests import Frame, Shown
from shared.contract.auth import Authenticated
from shared.contract.model import Emoji, Segment

_encode = msgspec.json.Encoder().encode


def _frame(code: int, data: dict[str, object]) -> bytes:
    return _encode({"code": code, "data": data})


def registered(answer: Authenticated) -> bytes:
    """The token opens the edge's other doors to the same client."""
    return _frame(Code.REGISTERED, {"state": 0, "ocId": ocid(answer.account), "token": answer.token})


def logged_in(answer: Authenticated) -> bytes:
    """As a registration."""
    return _frame(Code.LOGGED_IN, {"state": 0, "token": answer.token})


def state(code: int, state: int, details: str) -> bytes:
    """A registration or login that failed; the document has no place for the details."""
    return _frame(code, {"state": state, "details": details})


def error(details: str) -> bytes:
    return _frame(Code.ERROR, {"details": details})


def message(shown: Shown, base_url: str) -> tuple[Frame, ...]:
    """One frame for each emoji and for each run of what is shown as text, in order."""
    said = shown.message
    where = {"cid": said.chat, "sender_id": ocid(said.sender)}
    return tuple(_frame(code, where | what) for code, what in _contents(shown.segments, base_url))


def _contents(segments: tuple[Segment, ...], base_url: str) -> Iterator[tuple[Code, dict[str, object]]]:
    """What of each frame is its own."""
    for emojis, run in groupby(segments, lambda segment: isinstance(segment, Emoji)):
        if emojis:
            for one in run:
                assert isinstance(one, Emoji)
                yield Code.EMOJI, {"emojiId": one.emoji_id}
        elif text := rendered(tuple(run), base_url):
            yield Code.TEXT, {"msg": text}
