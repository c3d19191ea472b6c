"""The position of a client: for each chat, the last index and the last change that the client has. Commands, bodies and
headers contain this position."""

from collections.abc import Mapping
from itertools import accumulate, chain, pairwise
from typing import Annotated, NamedTuple

import msgspec

from shared import base64url
from shared.contract.ids import ChatId

HEAD_CHARACTERS = 4096
"""The longest position that an event stream uses as the id of an event. Servers and proxies limit the size of headers,
and a client returns the id in a header."""

_END = 2**53
_Count = Annotated[int, msgspec.Meta(ge=0, lt=_END)]
_Epoch = Annotated[str, msgspec.Meta(max_length=1024)]


class Place(NamedTuple):
    """The position of a client in a chat. The client has all messages up to index `last` and all changes up to `rev`.
    `state`: the last state of the chat that the client knows (see shared.contract.resume), or 0 if it knows none."""

    last: int
    rev: int
    state: int = 0


# Chats are sorted by id. Each chat has four numbers: the difference of its id from the previous chat's id, and the
# numbers of its Place.
_decode = msgspec.msgpack.Decoder(tuple[_Epoch, list[_Count]]).decode


def pack(epoch: str, chats: Mapping[ChatId, Place]) -> str:
    order = sorted(chats)
    steps = [after - before for before, after in pairwise(chain((0,), order))]
    numbers = [number for step, chat in zip(steps, order, strict=True) for number in (step, *chats[chat])]
    return base64url.encode(msgspec.msgpack.encode((epoch, numbers)))


def unpack(text: str) -> tuple[str, dict[ChatId, Place]]:
    """The epoch and the places. Raises ValueError."""
    try:
        epoch, numbers = _decode(base64url.decode(text))
    except (ValueError, msgspec.DecodeError) as error:
        raise ValueError("the text is no id from a stream of events") from error
    if len(numbers) % 4:
        raise ValueError("a chat has four numbers")
    chats = [ChatId(chat) for chat in accumulate(numbers[::4])]
    if chats and chats[-1] >= _END:
        raise ValueError("a chat has too high a number")
    places = map(Place, numbers[1::4], numbers[2::4], numbers[3::4])
    return epoch, dict(zip(chats, places, strict=True))
