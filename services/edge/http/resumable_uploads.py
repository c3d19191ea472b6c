"""Uploads in several requests, by the protocol tus 1.0. A request to `/media/uploads` creates an upload, and requests
to `/media/uploads/<id>` continue it."""

import binascii
import hashlib
import re
from base64 import b64decode
from collections.abc import Mapping
from contextlib import suppress
from email.utils import formatdate
from typing import NamedTuple

from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response

from services.edge.http.request import bearer_token, body_length, pieces_of
from services.edge.http.responses import json_response, not_allowed
from services.edge.http.uploads import (
    BadUpload,
    UploadAccess,
    Uploader,
    UploadReply,
    media_path,
    nonce_in,
    upload_error,
)
from services.edge.media import Upload
from services.edge.media.resumable import PART_BYTES, ResumableUpload, ResumableUploads
from shared.contract.errors import ErrorCode, RequestError

VERSION = "1.0.0"
MEDIA_TYPE = "application/offset+octet-stream"
_EXTENSIONS = "creation,creation-with-upload,expiration,termination,checksum"
_ALGORITHMS = ("sha1", "sha256")
_NUMBER = re.compile(r"[0-9]{1,18}")
_METADATA_CHARACTERS = 4096
_PAIR = re.compile(r"([!-+\--~]+)(?: ([A-Za-z0-9+/]*={0,2}))?")
_NAME_KEYS = ("filename", "name")
_CREATION = "OPTIONS, POST"
_CONTINUATION = "OPTIONS, HEAD, PATCH, DELETE"
_SILENCE_SECONDS = 2.0
"""After this time without bytes, the received bytes are stored. The client may have lost its connection without the
edge's notice. It then asks on another connection how much was stored."""
_NO_STORE: Mapping[str, str] = {"Cache-Control": "no-store"}


class Metadata(NamedTuple):
    """The metadata of an upload. `header`: the header as the client has written it. `name`: the file's name in the
    header."""

    header: str
    name: str


class Checksum(NamedTuple):
    algorithm: str
    digest: bytes


def abilities(file_bytes: int) -> Mapping[str, str]:
    """The headers of the response to OPTIONS."""
    return {
        "Tus-Version": VERSION,
        "Tus-Extension": _EXTENSIONS,
        "Tus-Max-Size": str(file_bytes),
        "Tus-Checksum-Algorithm": ",".join(_ALGORITHMS),
    }


def check_version(headers: Mapping[str, str]) -> None:
    """Raises BadUpload."""
    if headers.get("tus-resumable") != VERSION:
        raise BadUpload(412, ErrorCode.INVALID, f"the header Tus-Resumable is {VERSION}")


def check_type(headers: Mapping[str, str]) -> None:
    """Raises BadUpload."""
    if headers.get("content-type", "").partition(";")[0].strip().lower() != MEDIA_TYPE:
        raise BadUpload(415, ErrorCode.INVALID, f"the bytes of an upload must have the Content-Type {MEDIA_TYPE}")


def parse_length(headers: Mapping[str, str]) -> int:
    """Raises BadUpload."""
    for header in ("upload-concat", "upload-defer-length"):
        if header in headers:
            raise BadUpload(400, ErrorCode.INVALID, f"{header} is not supported: see Tus-Extension")
    return _number(headers, "upload-length")


def parse_offset(headers: Mapping[str, str]) -> int:
    """Raises BadUpload."""
    return _number(headers, "upload-offset")


def parse_metadata(headers: Mapping[str, str]) -> Metadata:
    """Raises BadUpload."""
    header = headers.get("upload-metadata", "").strip()
    if not header:
        return Metadata("", "")
    if len(header) > _METADATA_CHARACTERS:
        raise BadUpload(413, ErrorCode.TOO_LARGE, f"Upload-Metadata has at most {_METADATA_CHARACTERS} characters")
    pairs = [_PAIR.fullmatch(pair.strip(" ")) for pair in header.split(",")]
    try:
        values = {pair[1]: b64decode(pair[2] or "", validate=True) for pair in pairs if pair is not None}
    except binascii.Error:
        values = {}
    if len(values) != len(pairs):
        raise BadUpload(400, ErrorCode.INVALID, "Upload-Metadata is a list of different keys, with values in Base64")
    name = next((values[key] for key in _NAME_KEYS if key in values), b"")
    return Metadata(header, name.decode(errors="replace"))


def parse_checksum(headers: Mapping[str, str]) -> Checksum | None:
    """Raises BadUpload."""
    if (header := headers.get("upload-checksum")) is None:
        return None
    algorithm, _, encoded = header.partition(" ")
    if algorithm not in _ALGORITHMS:
        raise BadUpload(400, ErrorCode.INVALID, f"the algorithms of Upload-Checksum are {', '.join(_ALGORITHMS)}")
    try:
        digest = b64decode(encoded, validate=True)
    except ValueError:
        digest = b""
    if len(digest) != hashlib.new(algorithm).digest_size:
        raise BadUpload(400, ErrorCode.INVALID, "Upload-Checksum is an algorithm and a checksum in Base64")
    return Checksum(algorithm, digest)


def expires(unix_ms: int) -> dict[str, str]:
    return {"Upload-Expires": formatdate(unix_ms / 1000, usegmt=True)}


def _number(headers: Mapping[str, str], name: str) -> int:
    value = headers.get(name, "")
    if not _NUMBER.fullmatch(value):
        raise BadUpload(400, ErrorCode.INVALID, f"the header {name} is a number of bytes")
    return int(value)


class HttpResumableUploads:
    def __init__(self, uploads: ResumableUploads, access: UploadAccess) -> None:
        self._uploads = uploads
        self._access = access

    async def respond(self, request: Request) -> Response:
        """Raises ClientDisconnect."""
        try:
            response = await self._respond(request, request.path_params.get("id", ""))
        except RequestError as error:
            response = upload_error(error)
            if response.status_code == 412:
                response.headers["Tus-Version"] = VERSION
        response.headers["Tus-Resumable"] = VERSION
        return response

    async def _respond(self, request: Request, id: str) -> Response:
        method = request.headers.get("x-http-method-override", request.method).upper()
        query = self._access.admit_address(request).query
        if method == "OPTIONS":
            return _empty(abilities(self._access.file_bytes))
        allowed = _CONTINUATION if id else _CREATION
        if method not in allowed.split(", "):
            return not_allowed(allowed)
        check_version(request.headers)
        uploader = await self._access.admit(bearer_token(request))
        if method == "POST":
            return await self._create(request, uploader, nonce_in(query))
        upload = await self._uploads.find(uploader.account, id)
        if upload is None:
            raise RequestError(ErrorCode.NOT_FOUND, "there is no such upload")
        if self._uploads.has_expired(upload):
            raise BadUpload(410, ErrorCode.NOT_FOUND, "the upload has expired")
        if method == "PATCH":
            return await self._continue(request, uploader, upload)
        if method == "DELETE":
            await self._uploads.forget(upload)
            return _empty({})
        return _empty(_state(upload) | _description(upload), 200)

    async def _create(self, request: Request, uploader: Uploader, nonce: str) -> Response:
        length, metadata = (parse_length(request.headers), parse_metadata(request.headers))
        self._access.check_size(length)
        has_body = body_length(request.headers) != 0
        if has_body:
            self._check_body(request)
        with self._access.slot(uploader):
            upload = await self._uploads.create(uploader.account, length, metadata.name, metadata.header, nonce)
            if upload.offset == 0 and upload.record.media is None and (has_body or not length):
                receive = self._receive if nonce else self._receive_first
                upload = await receive(request, uploader, upload)
        headers = {"Location": f"/media/uploads/{upload.id}", **_state(upload)}
        return self._finished(request, upload, 201, headers) or _empty(headers, 201)

    async def _continue(self, request: Request, uploader: Uploader, upload: ResumableUpload) -> Response:
        self._check_body(request)
        if parse_offset(request.headers) != upload.offset:
            raise RequestError(ErrorCode.CONFLICT, f"the upload continues at the offset {upload.offset}")
        with self._access.slot(uploader):
            upload = await self._receive(request, uploader, upload)
        headers = _state(upload)
        if "application/json" not in request.headers.get("accept", "").lower():
            return _empty(headers)
        return self._finished(request, upload, 200, headers) or _empty(headers)

    def _check_body(self, request: Request) -> None:
        check_type(request.headers)
        self._access.check_body(request)

    async def _receive_first(self, request: Request, uploader: Uploader, upload: ResumableUpload) -> ResumableUpload:
        """Receive the first bytes of an upload. If this fails, the upload is removed, because the client does not know
        its address."""
        try:
            return await self._receive(request, uploader, upload)
        except (ClientDisconnect, RequestError):
            with suppress(RequestError):  # the error is logged, and the sweeper removes the file later
                await self._uploads.forget(upload)
            raise

    async def _receive(self, request: Request, uploader: Uploader, upload: ResumableUpload) -> ResumableUpload:
        """Store the request's body. Bytes that arrived before a disconnect are stored, unless the request has a
        checksum."""
        checksum = parse_checksum(request.headers)
        _check_room(upload, body_length(request.headers) or 0)
        if upload.record.media is not None:
            return upload
        reception = _Reception(self._uploads, upload, checksum)
        try:
            async for data in pieces_of(request, _SILENCE_SECONDS):
                await (reception.write(data) if data else reception.pause())
            await self._access.check(uploader)  # the token may have been revoked during the request
            return await reception.end()
        except ClientDisconnect:
            await self._access.check(uploader)
            await reception.disconnected()
            raise
        finally:
            reception.drop()

    def _finished(
        self, request: Request, upload: ResumableUpload, status: int, headers: Mapping[str, str]
    ) -> Response | None:
        """The response about the stored file, if the upload is finished. Otherwise None."""
        if (media := upload.record.media) is None:
            return None
        return json_response(status, UploadReply.of(media, self._access.url(request, media_path(media))), headers)


class _Reception:
    """Receives the bytes of one request, and makes parts of them. Without a checksum, each part is stored when it is
    full, so that a crash loses no more than one part. With a checksum, all parts wait on this edge until the last byte
    has arrived."""

    def __init__(self, uploads: ResumableUploads, upload: ResumableUpload, checksum: Checksum | None) -> None:
        self._uploads = uploads
        self._upload = upload
        self._checksum = checksum
        self._hash = None if checksum is None else hashlib.new(checksum.algorithm, usedforsecurity=False)
        self._parts = [uploads.start_part(upload)]
        self._received = upload.offset

    async def write(self, data: bytes) -> None:
        _check_room(self._upload, len(data), self._received)
        if self._parts[-1].size >= PART_BYTES:
            await self._begin_part()
        if self._hash is not None:
            self._hash.update(data)
        self._received += len(data)
        await self._parts[-1].write(data)

    async def pause(self) -> None:
        """Store the bytes so far, after a silence. The last part of the file is not stored here, but in `end`."""
        if self._hash is None and self._parts[0].size and self._received < self._upload.record.length:
            await self._begin_part()

    async def end(self) -> ResumableUpload:
        """Store the remaining bytes. The last part of the file is not stored as a part, but together with the file."""
        if self._hash is not None and self._checksum is not None and self._hash.digest() != self._checksum.digest:
            raise BadUpload(460, ErrorCode.CONFLICT, "the bytes do not have this checksum")
        while len(self._parts) > 1:
            await self._append(self._parts[0])
        if self._received == self._upload.record.length:
            return await self._uploads.finish(self._upload, self._parts[0])
        if self._parts[0].size:
            await self._append(self._parts[0])
        return self._upload

    async def disconnected(self) -> None:
        if self._checksum is None:
            await self.end()

    def drop(self) -> None:
        for part in self._parts:
            part.drop()

    async def _begin_part(self) -> None:
        if self._hash is None:
            await self._append(self._parts[0])
        self._parts.append(self._uploads.start_part(self._upload))

    async def _append(self, part: Upload) -> None:
        self._upload = await self._uploads.append(self._upload, part)
        self._parts.remove(part)


def _check_room(upload: ResumableUpload, size: int, offset: int | None = None) -> None:
    if size > upload.record.length - (upload.offset if offset is None else offset):
        raise RequestError(ErrorCode.TOO_LARGE, f"the upload has {upload.record.length} bytes")


def _state(upload: ResumableUpload) -> dict[str, str]:
    offset = {"Upload-Offset": str(upload.offset), **_NO_STORE}
    if upload.record.media is not None:
        return {**offset, "Content-Location": media_path(upload.record.media)}
    return {**offset, **expires(upload.expires)}


def _description(upload: ResumableUpload) -> dict[str, str]:
    metadata = {"Upload-Metadata": upload.record.metadata} if upload.record.metadata else {}
    return {"Upload-Length": str(upload.record.length), **metadata}


def _empty(headers: Mapping[str, str], status: int = 204) -> Response:
    return Response(None, status, headers) if status == 204 else PlainTextResponse("", status, headers)
