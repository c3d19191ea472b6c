"""The files that a pipe client sends in chunks, as they come in: `name#k/n` is chunk k of n, in order, one transfer per
name at a time."""

import base64
import binascii
import re
from dataclasses import dataclass
from itertools import count
from typing import Literal, NamedTuple

from services.edge.canonical.commands import Command, PostUpload, StartUpload, UploadPart
from services.edge.dialects.base import DecodeError
from shared.contract.errors import ErrorCode
from shared.contract.ids import AccountId, ChatId

_CHUNK = re.compile(r"(?P<name>.+)#(?P<number>[0-9]{1,9})/(?P<of>[0-9]{1,9})", re.ASCII | re.DOTALL)
_NO_CHAT = ChatId(0)


class Chunk(NamedTuple):
    """`number` counts from 1; a file that is not cut is chunk 1 of 1."""

    kind: Literal["image", "file"]
    to: AccountId
    name: str
    number: int
    of: int
    data: bytes


@dataclass(slots=True)
class _OpenUpload:
    number: int
    kind: str
    to: AccountId
    of: int
    come: int = 1


class ChunkedUploads:
    __slots__ = ("_numbers", "_transfers")

    def __init__(self) -> None:
        self._numbers = count(1)
        self._transfers: dict[str, _OpenUpload] = {}

    def chunk(self, chunk: Chunk) -> Command:
        """What is no next chunk is refused and changes nothing. Raises DecodeError."""
        if chunk.of == chunk.number == 1:
            return PostUpload(None, chunk.data, _NO_CHAT, chunk.kind, chunk.to, chunk.name)
        transfer = self._transfers.get(chunk.name)
        if transfer is None:
            return self._first(chunk)
        following = (transfer.kind, transfer.to, transfer.of, transfer.come + 1)
        if following != (chunk.kind, chunk.to, chunk.of, chunk.number):
            raise DecodeError(f"chunk {transfer.come + 1} of {transfer.of} is expected", ErrorCode.CONFLICT)
        transfer.come = chunk.number
        if chunk.number < chunk.of:
            return UploadPart(transfer.number, chunk.data)
        del self._transfers[chunk.name]
        return PostUpload(transfer.number, chunk.data, _NO_CHAT, chunk.kind, chunk.to, chunk.name)

    def _first(self, chunk: Chunk) -> Command:
        if chunk.number != 1 or chunk.of < 1:
            raise DecodeError("the chunks of a file begin with 1")
        number = next(self._numbers)
        self._transfers[chunk.name] = _OpenUpload(number, chunk.kind, chunk.to, chunk.of)
        return StartUpload(number, _NO_CHAT, chunk.to, chunk.data)

    def failed(self, number: int | None) -> None:
        """If this transfer is under way, it is over."""
        for name, transfer in list(self._transfers.items()):
            if transfer.number == number:
                del self._transfers[name]

    def clear(self) -> None:
        self._transfers.clear()


def parse_chunk_name(field: str) -> tuple[str, int, int]:
    """The name, which chunk it is, and of how many. Raises DecodeError."""
    match = _CHUNK.fullmatch(field)
    if match is None:
        if not field:
            raise DecodeError("the name of the file is missing")
        return field, 1, 1
    return match["name"], int(match["number"]), int(match["of"])


def decode_data(field: str) -> bytes:
    """Of base64. Raises DecodeError."""
    try:
        data = base64.b64decode(field, validate=True)
    except (binascii.Error, ValueError) as error:
        raise DecodeError("the data is not base64") from error
    if not data:
        raise DecodeError("the file is empty")
    return data
