"""HTTP uploads of pictures and files: `POST /media?name=…`, with a login's token as bearer token."""

from urllib.parse import parse_qs

import msgspec

from services.edge.http.pages import not_allowed
from services.edge.http.request import HttpRequest, Response
from services.edge.http.responses import STATUS, json_response
from services.edge.http.upload_access import UnsupportedBody, UploadAccess
from services.edge.media import MediaService, Upload
from services.edge.media.mime_sniffing import media_kind
from shared.contract.errors import ErrorCode, Failure, RequestError
from shared.contract.ids import AccountId
from shared.contract.model import Media


class UploadReply(msgspec.Struct):
    """The response to an upload. `hash`: the content's sha256 in hex. `mime`: its type by its first bytes."""

    url: str
    name: str
    size: int
    hash: str
    mime: str
    id: str

    @classmethod
    def of(cls, media: Media, url: str) -> "UploadReply":
        return cls(url, media.name, media.size, media.sha256, media.mime, media.id)


class HttpUploads:
    def __init__(self, media: MediaService, access: UploadAccess) -> None:
        self._media = media
        self._access = access

    async def serve(self, request: HttpRequest) -> None:
        """Raises ClientDisconnected."""
        if request.method != "POST":
            return await request.respond(not_allowed("POST"))
        try:
            media = await self._receive(request)
        except UnsupportedBody as error:
            return await request.respond(upload_error(error.failure, 415))
        except RequestError as error:
            return await request.respond(upload_error(error.failure))
        path = media_path(media)
        reply = UploadReply.of(media, self._access.url(request, path))
        await request.respond(json_response(201, reply, {"Location": path}))

    async def _receive(self, request: HttpRequest) -> Media:
        handshake = self._access.admit_address(request)
        uploader = await self._access.admit(request)
        if request.length == 0 and "content-length" not in request.headers:
            raise RequestError(ErrorCode.INVALID, "the file is the body of the request")
        self._access.check_body(request)
        self._access.check_size(request.length or 0)
        await self._media.check_quota(uploader.account)
        with self._access.slot(uploader):
            upload = self._media.start_upload(uploader.account)
            try:
                async for data in request.body():
                    await upload.write(data)
                await self._access.check(uploader)  # it may have been revoked during the upload
                return await self._store(upload, handshake.query, uploader.account)
            finally:
                upload.drop()

    async def _store(self, upload: Upload, query: str, account: AccountId) -> Media:
        name = parse_qs(query).get("name", [""])[0]
        return await self._media.store(upload, media_kind(upload.head), name, account=account)


def media_path(media: Media) -> str:
    return f"/media/{media.id}"


def upload_error(failure: Failure, status: int | None = None) -> Response:
    """`status`: other than that of the code."""
    return json_response(status or STATUS[failure.code], {"error": failure.code, "text": failure.text})
