"""The open transfer of a v0 client: one frame announces the transfer and a number, and this number of binary frames
follows.

An announcement has no reply. So the packages of a rejected announcement, or of a failed transfer, may already be under
way. They are dropped without an error.
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
"""When no package has arrived for this time, no more packages are expected."""
_PACKAGE_BYTES = 1024
_FEW = 64
"""This number of packages of an upload may have any size. In an upload with more packages, their average size must be
at least 1 KiB, because each package costs as much as a request."""


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
    """The bytes of all received packages."""


class IncomingTransfer:
    """Keeps the open transfer of one client. `now` is a time in seconds on any clock."""

    __slots__ = ("_last_package", "_leftover", "_limits", "_numbers", "_transfer")

    def __init__(self, limits: FrameLimits) -> None:
        self._limits = limits
        self._numbers = count(1)
        self._transfer: _OpenTransfer | None = None
        self._leftover = 0
        """The number of packages of a failed transfer or rejected announcement that may still arrive."""
        self._last_package: float | None = None
        """The time of the last package, or None before the first package."""

    def announce(self, announced: Announcement, account: AccountId, now: float) -> Request:
        """Open a transfer. Raises DecodeError."""
        incoming = self._leftover and self._last_package is not None and now - self._last_package < _COMING_SECONDS
        if self._transfer is not None or incoming:
            raise DecodeError("one picture or file at a time: the previous one is incomplete", ErrorCode.CONFLICT)
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
            raise DecodeError(f"a file of this size is sent in {least} to {_most_packages(size)} packages")

    def package(self, data: bytes, now: float) -> Sequence[Request]:
        """Take one package. Raises DecodeError if no package was announced."""
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
        """The first difference between the packages so far and the announcement, if there is any."""
        limit, announced = self._limits.binary_frame_bytes, transfer.announced
        if size > limit:
            return Failure(ErrorCode.TOO_LARGE, f"a package has at most {limit} bytes")
        missing, packages = announced.size - transfer.size, announced.packages - transfer.packages
        if missing < 0:
            return Failure(ErrorCode.INVALID, "more bytes came than were announced")
        if missing > packages * limit:
            return Failure(ErrorCode.INVALID, "fewer bytes came than were announced")
        return None

    def failed(self, number: int) -> None:
        """End the transfer with this number, if it is still open."""
        transfer = self._transfer
        if transfer is not None and transfer.number == number:
            self._transfer = None
            self._leftover = transfer.announced.packages - transfer.packages


def _most_packages(size: int) -> int:
    return min(size, _FEW + size // _PACKAGE_BYTES)
