"""Files that a pipe client uploads in chunks. `name#k/n` is chunk k of n. Chunks come in order, and there is one upload
per name at a time."""

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
    """A chunk of a file. `number` counts from 1. A file in one piece is chunk 1 of 1."""

    kind: Literal["image", "file"]
    to: AccountId
    name: str
    number: int
    of: int
    data: bytes


@dataclass(slots=True)
class _ChunkedUpload:
    number: int
    kind: str
    to: AccountId
    of: int
    received: int = 1


class ChunkedUploads:
    __slots__ = ("_numbers", "_open")

    def __init__(self) -> None:
        self._numbers = count(1)
        self._open: dict[str, _ChunkedUpload] = {}

    def chunk(self, chunk: Chunk) -> Command:
        """Return the command for the next chunk. Chunk 1 begins the upload again. Any other chunk that is out of order
        is rejected, and the upload stays as it is. Raises DecodeError."""
        if chunk.of == chunk.number == 1:
            return PostUpload(None, chunk.data, _NO_CHAT, chunk.kind, chunk.to, chunk.name)
        upload = self._open.get(chunk.name)
        if upload is None or chunk.number == 1:
            return self._first(chunk, None if upload is None else upload.number)
        following = (upload.kind, upload.to, upload.of, upload.received + 1)
        if following != (chunk.kind, chunk.to, chunk.of, chunk.number):
            raise DecodeError(f"chunk {upload.received + 1} of {upload.of} is expected", ErrorCode.CONFLICT)
        upload.received = chunk.number
        if chunk.number < chunk.of:
            return UploadPart(upload.number, chunk.data)
        del self._open[chunk.name]
        return PostUpload(upload.number, chunk.data, _NO_CHAT, chunk.kind, chunk.to, chunk.name)

    def _first(self, chunk: Chunk, replaces: int | None) -> Command:
        if chunk.number != 1 or chunk.of < 1:
            raise DecodeError("the chunks of a file begin with 1")
        number = next(self._numbers)
        self._open[chunk.name] = _ChunkedUpload(number, chunk.kind, chunk.to, chunk.of)
        return StartUpload(number, _NO_CHAT, chunk.to, chunk.data, replaces)

    def failed(self, number: int | None) -> None:
        """End the upload with this number, if it is open."""
        for name, upload in list(self._open.items()):
            if upload.number == number:
                del self._open[name]

    def clear(self) -> None:
        self._open.clear()


def parse_chunk_name(field: str) -> tuple[str, int, int]:
    """Return the file name, the chunk's number and the number of chunks. Raises DecodeError."""
    match = _CHUNK.fullmatch(field)
    if match is None:
        if not field:
            raise DecodeError("the name of the file is missing")
        return field, 1, 1
    return match["name"], int(match["number"]), int(match["of"])


def decode_data(field: str) -> bytes:
    """Return the bytes of a base64 text. Raises DecodeError."""
    try:
        data = base64.b64decode(field, validate=True)
    except (binascii.Error, ValueError) as error:
        raise DecodeError("the data is not base64") from error
    if not data:
        raise DecodeError("the file is empty")
    return data
