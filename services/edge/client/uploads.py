"""The unfinished uploads of one client: at most four, each in a temporary file."""

from dataclasses import dataclass

from services.edge.canonical.commands import PostUpload, StartUpload, UploadPart
from services.edge.dialects.base import Request
from services.edge.media import MediaService
from services.edge.media.store import MediaUse
from services.edge.media.upload_buffer import Upload
from shared.contract.errors import ErrorCode, Failure, RequestError
from shared.contract.ids import AccountId
from shared.contract.model import Media

_CONCURRENT_UPLOADS = 4

GONE = Failure(ErrorCode.CONFLICT, "the upload was cancelled")
ABANDONED = Failure(ErrorCode.INVALID, "the upload was cancelled, because no more data came")


@dataclass(slots=True)
class _PartialUpload:
    upload: Upload
    started_by: Request
    touched: float


class UploadSlots:
    """The open uploads of a client. Requests are handled one at a time, but `drop_all` may be called meanwhile. If a
    caller rejects a request, it must drop the upload of the request. `now` is a time on the caller's clock."""

    __slots__ = ("_media", "_open")

    def __init__(self, media: MediaService) -> None:
        self._media = media
        self._open: dict[int, _PartialUpload] = {}

    def __len__(self) -> int:
        return len(self._open)

    async def start(self, request: Request, account: AccountId, now: float) -> None:
        """Begin an upload. Raises RequestError."""
        command = request.command
        assert isinstance(command, StartUpload)
        self.drop(command.replaces)
        if len(self._open) >= _CONCURRENT_UPLOADS:
            raise RequestError(ErrorCode.LIMIT, f"{_CONCURRENT_UPLOADS} files are being sent already")
        self._open[command.number] = _PartialUpload(self._media.start_upload(account), request, now)
        await self._media.check_quota(account)
        await self.add(UploadPart(command.number, command.data), now)

    async def add(self, command: UploadPart, now: float) -> None:
        """Add a part to an upload. Raises RequestError."""
        if command.number not in self._open:
            raise RequestError.from_failure(GONE)
        opened = self._open[command.number]
        opened.touched = now
        await opened.upload.write(command.data)

    async def store(self, command: PostUpload, account: AccountId) -> Media:
        """Store the whole file of the account under an address. The upload ends, even if this raises RequestError."""
        upload = self._media.start_upload(account) if command.number is None else self._pop(command.number)
        try:
            await upload.write(command.data)
            return await self._media.store(
                upload, command.kind, command.name, command.packages, account, MediaUse.POSTED
            )
        finally:
            upload.drop()

    def drop(self, number: int | None) -> None:
        if number in self._open:
            self._pop(number).drop()

    def drop_all(self) -> None:
        for number in list(self._open):
            self.drop(number)

    def abandoned(self, now: float, seconds: float) -> list[Request]:
        """The StartUpload requests whose uploads have been idle for more than `seconds`."""
        return [opened.started_by for opened in self._open.values() if now - opened.touched > seconds]

    def _pop(self, number: int) -> Upload:
        if number not in self._open:
            raise RequestError.from_failure(GONE)
        return self._open.pop(number).upload
