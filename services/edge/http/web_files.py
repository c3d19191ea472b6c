"""Files for browsers, read once, compressed and tagged: of the first page, and the client in JavaScript."""

import base64
import gzip
import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from starlette.responses import Response

FIRST_PAGE = Path(__file__).with_name("web")
CLIENT = Path(__file__).parents[3] / "clients" / "javascript"
"""A module for pages of new clients, its types, and the OpenAPI document with its page. Nothing of the edge imports
them."""
_TYPES: Mapping[str, str] = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".ts": "text/plain; charset=utf-8",
    "openapi.json": "application/json",
}
"""By the end of a name, or by the whole name."""
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'{}; img-src 'self' blob:; connect-src 'self' ws: wss:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_STYLE = re.compile(rb"<style>(.*?)</style>", re.DOTALL)


class _WebFile(NamedTuple):
    body: bytes
    compressed: bytes
    content_type: str
    tag: str
    policy: str


class WebFiles:
    """By path: each of `pages` is `index.html`, other files are below `root`. A browser keeps them and checks their
    tags, which are hashes of the content."""

    def __init__(self, directory: Path = FIRST_PAGE, root: str = "/web/", pages: Sequence[str] = ("/",)) -> None:
        self._files = dict(_read(directory, root, pages))

    @property
    def compressed_bytes(self) -> int:
        return sum(len(file.compressed) for file in self._files.values())

    def find(self, path: str, headers: Mapping[str, str]) -> Response | None:
        file = self._files.get(path)
        if file is None:
            return None
        fields = {
            "ETag": file.tag,
            "Cache-Control": "no-cache",
            "Vary": "Accept-Encoding",
            "Content-Security-Policy": file.policy,
        }
        if file.tag in headers.get("if-none-match", ""):
            return Response(None, 304, fields)
        if "gzip" in headers.get("accept-encoding", ""):
            return Response(file.compressed, 200, {**fields, "Content-Encoding": "gzip"}, file.content_type)
        return Response(file.body, 200, fields, file.content_type)


def _read(directory: Path, root: str, pages: Sequence[str]) -> Iterator[tuple[str, _WebFile]]:
    for path in sorted(directory.rglob("*")):
        if content_type := _TYPES.get(path.suffix) or _TYPES.get(path.name):
            body = path.read_bytes()
            tag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
            file = _WebFile(body, gzip.compress(body, mtime=0), content_type, tag, _policy(path, body))
            name = path.relative_to(directory).as_posix()
            for place in pages if name == "index.html" else [f"{root}{name}"]:
                yield place, file


def _policy(path: Path, body: bytes) -> str:
    """A page may have its own style, which the policy names by its hash."""
    styles = _STYLE.findall(body) if path.suffix == ".html" else []
    return _POLICY.format("".join(f" 'sha256-{_hash(style)}'" for style in styles))


def _hash(text: bytes) -> str:
    return base64.b64encode(hashlib.sha256(text).digest()).decode()
