"""The open transfer of a v0 client: announced by one frame, then sent in the announced number of binary frames.

An announcement has no reply, so the packages of a rejected announcement, or of a transfer that fails, may already be on
their way. They are dropped without an error.
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
from shared.settings.limits import FrameLimits

_COMING_SECONDS = 30.0
"""After this time without a package, no more are expected."""
_PACKAGE_BYTES = 1024
_FEW = 64
"""This many packages may be of any size; beyond them the average is at least 1 KiB, since each costs as much as a
request."""


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
    """Bytes received."""


class IncomingTransfer:
    """`now` is seconds of any clock."""

    __slots__ = ("_last_package", "_leftover", "_limits", "_numbers", "_transfer")

    def __init__(self, limits: FrameLimits) -> None:
        self._limits = limits
        self._numbers = count(1)
        self._transfer: _OpenTransfer | None = None
        self._leftover = 0
        """Packages of a failed transfer or rejected announcement that may still arrive."""
        self._last_package: float | None = None
        """When a package arrived last; None: none yet."""

    def announce(self, announced: Announcement, account: AccountId, now: float) -> Request:
        """Raises DecodeError."""
        incoming = self._leftover and self._last_package is not None and now - self._last_package < _COMING_SECONDS
        if self._transfer is not None or incoming:
            raise DecodeError("one picture or file at a time: the last one is still coming", ErrorCode.CONFLICT)
        self._leftover, self._last_package = announced.packages, None
        if not 0 < announced.packages <= _most_packages(self._limits.file_bytes):
            self._leftover = 0
        check_own_account(announced.sender, "sender_id", account)
        self._check(announced)
        self._leftover = 0
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
        """Raises DecodeError if none was announced."""
        self._last_package = now
        transfer = self._transfer
        if transfer is not None:
            return (Request(self._received(transfer, data)),)
        if not self._leftover:
            raise DecodeError("no picture or file was announced")
        self._leftover -= 1
        return ()

    def _received(self, transfer: _OpenTransfer, data: bytes) -> Command:
        announced, number = transfer.announced, transfer.number
        transfer.packages += 1
        transfer.size += len(data)
        if failure := self._mismatch(transfer, len(data)):
            self.failed(number)
            return DropUpload(number, failure)
        if transfer.packages < announced.packages:
            return UploadPart(number, data)
        self._transfer = None
        return PostUpload(number, data, announced.chat, announced.kind, packages=announced.packages)

    def _mismatch(self, transfer: _OpenTransfer, size: int) -> Failure | None:
        """The earliest detectable mismatch with the announcement."""
        limit, announced = self._limits.binary_frame_bytes, transfer.announced
        if size > limit:
            return Failure(ErrorCode.TOO_LARGE, f"a package has at most {limit} bytes")
        missing, packages = announced.size - transfer.size, announced.packages - transfer.packages
        if missing < 0:
            return Failure(ErrorCode.INVALID, "these are more bytes than were announced")
        if missing > packages * limit:
            return Failure(ErrorCode.INVALID, "these are fewer bytes than were announced")
        return None

    def failed(self, number: int) -> None:
        """Ends this transfer if it is the open one."""
        transfer = self._transfer
        if transfer is not None and transfer.number == number:
            self._transfer = None
            self._leftover = transfer.announced.packages - transfer.packages


def _most_packages(size: int) -> int:
    return min(size, _FEW + size // _PACKAGE_BYTES)
