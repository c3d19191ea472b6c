"""One client's uploads whose parts are still coming: a few at a time, each in a temporary file."""

from dataclasses import dataclass

from services.edge.canonical.commands import PostUpload, StartUpload, UploadPart
from services.edge.dialects.base import Request
from services.edge.media import MediaService
from services.edge.media.upload_buffer import Upload
from shared.contract.errors import ErrorCode, Failure, RequestError
from shared.contract.model import Media

_AT_ONCE = 4

GONE = Failure(ErrorCode.CONFLICT, "the file was given up")
ABANDONED = Failure(ErrorCode.INVALID, "nothing more of the file has come, it is given up")


@dataclass(slots=True)
class _Open:
    upload: Upload
    begun_by: Request
    touched: float


class UploadSlots:
    """Requests come one at a time, but `drop_all` may come while one is under way. Whoever refuses one drops its
    upload. `now`: on the caller's clock."""

    __slots__ = ("_media", "_open")

    def __init__(self, media: MediaService) -> None:
        self._media = media
        self._open: dict[int, _Open] = {}

    async def start(self, request: Request, now: float) -> None:
        """Raises Refused."""
        command = request.command
        assert isinstance(command, StartUpload)
        if len(self._open) >= _AT_ONCE:
            raise RequestError(ErrorCode.LIMIT, f"{_AT_ONCE} files are on their way already")
        self._open[command.number] = _Open(self._media.start_upload(), request, now)
        await self.add(UploadPart(command.number, command.data), now)

    async def add(self, command: UploadPart, now: float) -> None:
        """Raises Refused."""
        if command.number not in self._open:
            raise RequestError.from_failure(GONE)
        opened = self._open[command.number]
        opened.touched = now
        await opened.upload.write(command.data)

    async def store(self, command: PostUpload) -> Media:
        """The whole file, with its address. Raises Refused; either way the upload ends."""
        upload = self._media.start_upload() if command.number is None else self._taken(command.number)
        try:
            await upload.write(command.data)
            return await self._media.store(upload, command.kind, command.name, command.packages)
        finally:
            upload.drop()

    def drop(self, number: int | None) -> None:
        if number in self._open:
            self._taken(number).drop()

    def drop_all(self) -> None:
        for number in list(self._open):
            self.drop(number)

    def abandoned(self, now: float, seconds: float) -> list[Request]:
        """What those began with that nothing has come for, for so long."""
        return [opened.begun_by for opened in self._open.values() if now - opened.touched > seconds]

    def _taken(self, number: int) -> Upload:
        if number not in self._open:
            raise RequestError.from_failure(GONE)
        return self._open.pop(number).upload
