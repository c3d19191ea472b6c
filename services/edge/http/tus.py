"""The headers of tus 1.0 (https://tus.io/protocols/resumable-upload); pure."""

import binascii
import hashlib
import re
from base64 import b64decode
from collections.abc import Mapping
from email.utils import formatdate
from typing import NamedTuple

from shared.contract.errors import ErrorCode

VERSION = "1.0.0"
MEDIA_TYPE = "application/offset+octet-stream"
_EXTENSIONS = "creation,creation-with-upload,expiration,termination,checksum"
_ALGORITHMS = ("sha1", "sha256")
_NUMBER = re.compile(r"[0-9]{1,18}")
_METADATA_CHARACTERS = 4096
_PAIR = re.compile(r"([!-+\--~]+)(?: ([A-Za-z0-9+/]*={0,2}))?")
_NAME_KEYS = ("filename", "name")


class TusError(Exception):
    """A rejected request whose status is one of the protocol."""

    def __init__(self, status: int, code: ErrorCode, text: str) -> None:
        super().__init__(f"{status}: {text}")
        self.status = status
        self.code = code
        self.text = text


class Metadata(NamedTuple):
    """`header`: as the client wrote it."""

    header: str
    name: str


class Checksum(NamedTuple):
    algorithm: str
    digest: bytes


def abilities(file_bytes: int) -> Mapping[str, str]:
    """What the response to OPTIONS says."""
    return {
        "Tus-Version": VERSION,
        "Tus-Extension": _EXTENSIONS,
        "Tus-Max-Size": str(file_bytes),
        "Tus-Checksum-Algorithm": ",".join(_ALGORITHMS),
    }


def check_version(headers: Mapping[str, str]) -> None:
    """Raises TusError."""
    if headers.get("tus-resumable") != VERSION:
        raise TusError(412, ErrorCode.INVALID, f"the header Tus-Resumable is {VERSION}")


def check_type(headers: Mapping[str, str]) -> None:
    """Raises TusError."""
    if headers.get("content-type", "").partition(";")[0].strip().lower() != MEDIA_TYPE:
        raise TusError(415, ErrorCode.INVALID, f"the bytes of an upload have the Content-Type {MEDIA_TYPE}")


def parse_length(headers: Mapping[str, str]) -> int:
    """Raises TusError."""
    for header in ("upload-concat", "upload-defer-length"):
        if header in headers:
            raise TusError(400, ErrorCode.INVALID, f"{header} is not supported: see Tus-Extension")
    return _number(headers, "upload-length")


def parse_offset(headers: Mapping[str, str]) -> int:
    """Raises TusError."""
    return _number(headers, "upload-offset")


def parse_metadata(headers: Mapping[str, str]) -> Metadata:
    """Raises TusError."""
    header = headers.get("upload-metadata", "").strip()
    if not header:
        return Metadata("", "")
    if len(header) > _METADATA_CHARACTERS:
        raise TusError(413, ErrorCode.TOO_LARGE, f"Upload-Metadata has at most {_METADATA_CHARACTERS} characters")
    pairs = [_PAIR.fullmatch(pair.strip(" ")) for pair in header.split(",")]
    try:
        values = {pair[1]: b64decode(pair[2] or "", validate=True) for pair in pairs if pair is not None}
    except binascii.Error:
        values = {}
    if len(values) != len(pairs):
        raise TusError(400, ErrorCode.INVALID, "Upload-Metadata is a list of different keys, with values in Base64")
    name = next((values[key] for key in _NAME_KEYS if key in values), b"")
    return Metadata(header, name.decode(errors="replace"))


def parse_checksum(headers: Mapping[str, str]) -> Checksum | None:
    """Raises TusError."""
    if (header := headers.get("upload-checksum")) is None:
        return None
    algorithm, _, encoded = header.partition(" ")
    if algorithm not in _ALGORITHMS:
        raise TusError(400, ErrorCode.INVALID, f"the algorithms of Upload-Checksum are {', '.join(_ALGORITHMS)}")
    try:
        digest = b64decode(encoded, validate=True)
    except ValueError:
        digest = b""
    if len(digest) != hashlib.new(algorithm).digest_size:
        raise TusError(400, ErrorCode.INVALID, "Upload-Checksum is an algorithm and a checksum in Base64")
    return Checksum(algorithm, digest)


def expires(unix_ms: int) -> dict[str, str]:
    return {"Upload-Expires": formatdate(unix_ms / 1000, usegmt=True)}


def _number(headers: Mapping[str, str], name: str) -> int:
    value = headers.get(name, "")
    if not _NUMBER.fullmatch(value):
        raise TusError(400, ErrorCode.INVALID, f"the header {name} is a number of bytes")
    return int(value)
