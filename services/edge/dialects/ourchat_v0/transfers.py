"""The transfer that a v0 client may have under way: announced by one frame, then sent in so many binary ones.

There is no answer to an announcement: its packages may be on their way when it is refused, and those of a transfer
that fails when it does. They are thrown away without a word.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from typing import Literal, NamedTuple

from services.edge.canonical.commands import Command, DropUpload, PostUpload, StartUpload, UploadPart
from services.edge.dialects.base import DecodeError, Request
from services.edge.dialects.json_frames import WireId
from services.edge.dialects.ourchat_envelope import check_own_account
from shared.contract.errors import ErrorCode, Failure
from shared.contract.ids import AccountId, ChatId
from shared.settings import Limits

_COMING_SECONDS = 30.0
"""Without a package for so long, nothing more is coming."""
_PACKAGE_BYTES = 1024
_FEW = 64
"""Packages are no smaller than this on average, save for a few: each costs as much as a request."""


class Announcement(NamedTuple):
    kind: Literal["image", "file"]
    chat: ChatId
    sender: WireId
    packages: int
    size: int


@dataclass(slots=True)
class _OpenTransfer:
    number: int
    announced: Announcement
    packages: int = 0
    size: int = 0
    """Of what has come."""


class IncomingTransfer:
    """`now` is seconds of any clock."""

    __slots__ = ("_heard", "_limits", "_numbers", "_rest", "_transfer")

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._numbers = count(1)
        self._transfer: _OpenTransfer | None = None
        self._rest = 0
        """Packages of a failed transfer, or of a refused announcement, that may still come."""
        self._heard: float | None = None
        """When one of these, or of the transfer, came last; None: not yet."""

    def announce(self, announced: Announcement, account: AccountId, now: float) -> Request:
        """Raises DecodeError."""
        coming = self._rest and self._heard is not None and now - self._heard < _COMING_SECONDS
        if self._transfer is not None or coming:
            raise DecodeError("one picture or file at a time: the last one is still coming", ErrorCode.CONFLICT)
        self._rest, self._heard = announced.packages, None
        if not 0 < announced.packages <= _most_packages(self._limits.file_bytes):
            self._rest = 0
        check_own_account(announced.sender, "sender_id", account)
        self._check(announced)
        self._rest = 0
        self._transfer = _OpenTransfer(next(self._numbers), announced)
        return Request(StartUpload(self._transfer.number, announced.chat))

    def _check(self, announced: Announcement) -> None:
        packages, size, limits = announced.packages, announced.size, self._limits
        if packages < 1 or size < 1:
            raise DecodeError("`packages_num` and `size` are at least 1")
        if size > limits.file_bytes:
            raise DecodeError(f"a file has at most {limits.file_bytes} bytes", ErrorCode.TOO_LARGE)
        least = -(-size // limits.binary_frame_bytes)
        if not least <= packages <= _most_packages(size):
            raise DecodeError(f"so many bytes are sent in {least} to {_most_packages(size)} packages")

    def package(self, data: bytes, now: float) -> Sequence[Request]:
        """Raises DecodeError where none was announced."""
        self._heard = now
        transfer = self._transfer
        if transfer is not None:
            return (Request(self._received(transfer, data)),)
        if not self._rest:
            raise DecodeError("no picture or file was announced")
        self._rest -= 1
        return ()

    def _received(self, transfer: _OpenTransfer, data: bytes) -> Command:
        announced, number = transfer.announced, transfer.number
        transfer.packages += 1
        transfer.size += len(data)
        if failure := self._wrong(transfer, len(data)):
            self.failed(number)
            return DropUpload(number, failure)
        if transfer.packages < announced.packages:
            return UploadPart(number, data)
        self._transfer = None
        return PostUpload(number, data, announced.chat, announced.kind, packages=announced.packages)

    def _wrong(self, transfer: _OpenTransfer, size: int) -> Failure | None:
        """As soon as it can be known."""
        limit, announced = self._limits.binary_frame_bytes, transfer.announced
        if size > limit:
            return Failure(ErrorCode.TOO_LARGE, f"a package has at most {limit} bytes")
        lacking, left = announced.size - transfer.size, announced.packages - transfer.packages
        if lacking < 0:
            return Failure(ErrorCode.INVALID, "these are more bytes than were announced")
        if lacking > left * limit:
            return Failure(ErrorCode.INVALID, "these are fewer bytes than were announced")
        return None

    def failed(self, number: int) -> None:
        """If this transfer is under way, it is over."""
        transfer = self._transfer
        if transfer is not None and transfer.number == number:
            self._transfer = None
            self._rest = transfer.announced.packages - transfer.packages


def _most_packages(size: int) -> int:
    return min(size, _FEW + size // _PACKAGE_BYTES)
