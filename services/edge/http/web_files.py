"""Serves files to browsers: the files of the first page, and the JavaScript client. They are read once, compressed, and
have tags."""

import base64
import gzip
import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Self

from starlette.responses import Response

FIRST_PAGE = Path(__file__).with_name("web")
CLIENT = Path(__file__).parents[3] / "clients" / "javascript"
"""The directory of the JavaScript client: a module for web pages, the module's types, and the OpenAPI document with its
page. The edge imports no file of the client."""
_TYPES: Mapping[str, str] = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    "dragoman.d.ts": "text/plain; charset=utf-8",
    "native.d.ts": "text/plain; charset=utf-8",
    "openapi.json": "application/json",
}
"""The content types, by the extension of the name or by the whole name."""
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'{}; img-src 'self' blob:; connect-src 'self' ws: wss:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_NO_GZIP = re.compile(r"gzip[ \t]*;[ \t]*q=0(\.0*)?[ \t]*(,|$)", re.IGNORECASE)
_STYLE = re.compile(rb"<style>(.*?)</style>", re.DOTALL)


class WebFile(NamedTuple):
    body: bytes
    compressed: bytes
    content_type: str
    tag: str

    @classmethod
    def of(cls, body: bytes, content_type: str) -> Self:
        return cls(body, gzip.compress(body, mtime=0), content_type, f'"{hashlib.sha256(body).hexdigest()[:32]}"')

    def response(self, headers: Mapping[str, str], fields: Mapping[str, str]) -> Response:
        """Returns the response with the file, in the encoding that the request accepts. `headers`: the headers of the
        request. `fields`: further headers of the response. The tag is weak, because both encodings have it (RFC
        9110, section 8.8.3)."""
        fields = {**fields, "ETag": f"W/{self.tag}", "Vary": "Accept-Encoding"}
        if self.tag in headers.get("if-none-match", ""):
            return Response(None, 304, fields)
        accepted = headers.get("accept-encoding", "")
        if "gzip" in accepted and not _NO_GZIP.search(accepted):
            return Response(self.compressed, 200, {**fields, "Content-Encoding": "gzip"}, self.content_type)
        return Response(self.body, 200, fields, self.content_type)


class WebFiles:
    """The files by path. Each path in `pages` is answered with `index.html`, and the other files are below `root`. A
    browser keeps the files and compares their tags, which are hashes of the content."""

    def __init__(self, directory: Path = FIRST_PAGE, root: str = "/web/", pages: Sequence[str] = ("/",)) -> None:
        self._files = dict(_read(directory, root, pages))

    def find(self, path: str, headers: Mapping[str, str]) -> Response | None:
        if path not in self._files:
            return None
        file, policy = self._files[path]
        return file.response(headers, {"Cache-Control": "no-cache", "Content-Security-Policy": policy})


def _read(directory: Path, root: str, pages: Sequence[str]) -> Iterator[tuple[str, tuple[WebFile, str]]]:
    """Each path with its file and the Content-Security-Policy of this file."""
    for path in sorted(directory.rglob("*")):
        if content_type := _TYPES.get(path.suffix) or _TYPES.get(path.name):
            body = path.read_bytes()
            file = WebFile.of(body, content_type), _policy(path, body)
            name = path.relative_to(directory).as_posix()
            for place in pages if name == "index.html" else [f"{root}{name}"]:
                yield place, file


def _policy(path: Path, body: bytes) -> str:
    """The Content-Security-Policy of a file. It permits the style sheets inside a page by their hashes."""
    styles = _STYLE.findall(body) if path.suffix == ".html" else []
    return _POLICY.format("".join(f" 'sha256-{_hash(style)}'" for style in styles))


def _hash(text: bytes) -> str:
    return base64.b64encode(hashlib.sha256(text).digest()).decode()
