"""Serves the web client at `/chat`: its page with security policies, files that never change, the service worker, and
the manifest."""

import html
import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from services.edge.http.responses import not_allowed, not_found
from services.edge.http.web_files import WebFile
from shared.settings.edge import EdgeSettings

BUILT = Path(__file__).parents[3] / "clients" / "chat"
"""The directory of the files that `web/build.mjs` makes. These files are not in the repository."""
PATHS = ("/chat", "/chat/{file:path}")
_PAGES = re.compile(r"/chat(/[0-9]+(/[0-9]+(/replies)?)?|/(people|devices|settings))?/?")
_TYPES: Mapping[str, str] = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".webmanifest": "application/manifest+json",
}
_BUILD = re.compile(rb'data-build="([0-9A-Z]+)"')
_FILLED = ("index.html", "manifest.webmanifest")
"""The files into which the path prefix of the address is written."""
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; media-src 'self' blob:; "
    "connect-src 'self'; manifest-src 'self'; worker-src 'self'; base-uri 'none'; form-action 'none'; "
    "require-trusted-types-for 'script'; trusted-types lit-html dragoman; frame-ancestors {}"
)
_OFF = (
    "accelerometer", "autoplay", "bluetooth", "camera", "display-capture", "encrypted-media", "fullscreen",
    "geolocation", "gyroscope", "hid", "idle-detection", "local-fonts", "magnetometer", "microphone", "midi", "payment",
    "picture-in-picture", "publickey-credentials-get", "screen-wake-lock", "serial", "usb", "xr-spatial-tracking",
)  # fmt: skip
_PERMISSIONS = ", ".join([*(f"{name}=()" for name in _OFF), "clipboard-read=(self)", "clipboard-write=(self)"])
"""The value of the header Permissions-Policy. Notifications have no name in this header, so they stay permitted."""
_NOT_BUILT = (
    "The web client is not built here.\n\n"
    "In a checkout, `./dev setup` builds it: with npm, or without it from a package of the Python index.\n"
    "The server itself, and every other client, work without it.\n"
)


class ChatClient:
    """The files are read into memory, and are read again when the page has changed. A build replaces the page last. The
    address of the page is below the path of edge.public_url, which a proxy removes."""

    def __init__(self, settings: EdgeSettings, built: Path = BUILT) -> None:
        self._built = built
        self._prefix = html.escape(urlsplit(settings.public_url).path.rstrip("/"))
        self._fields = {
            "Content-Security-Policy": _POLICY.format(" ".join(settings.chat_embedders) or "'none'"),
            "Cross-Origin-Opener-Policy": "same-origin",
            "Permissions-Policy": _PERMISSIONS,
        }
        self._read_at = 0
        self._build = ""
        self._files: Mapping[str, WebFile] = {}

    def build(self) -> str:
        """The version of the present build. It is empty without a page."""
        self._read_again()
        return self._build

    async def respond(self, request: Request) -> Response:
        if request.method not in ("GET", "HEAD"):
            return not_allowed("GET, HEAD")
        path = request.scope["path"]
        if _PAGES.fullmatch(path):
            self._read_again()
            name = "index.html"
            if name not in self._files:
                return PlainTextResponse(_NOT_BUILT, 503, {"Cache-Control": "no-store"})
        else:
            name = path.removeprefix("/chat/")
        file = self._files.get(name)
        if file is None:
            missing = not_found()
            missing.headers["Cache-Control"] = "no-store"
            return missing
        is_asset = name.startswith("assets/")
        caching = "public, max-age=31536000, immutable" if is_asset else "no-cache"
        fields = {**self._fields, "Cache-Control": caching}
        if file.content_type.startswith("text/javascript") and not is_asset:
            fields["Service-Worker-Allowed"] = f"{self._prefix}/chat"
        return file.response(request.headers, fields)

    def _read_again(self) -> None:
        try:
            changed = (self._built / "index.html").stat().st_mtime_ns
        except OSError:
            return
        if changed != self._read_at:
            paths = [path for path in self._built.rglob("*") if path.suffix in _TYPES and not path.name.startswith(".")]
            self._files = {path.relative_to(self._built).as_posix(): self._read(path) for path in paths}
            found = _BUILD.search((self._built / "index.html").read_bytes())
            self._build = found[1].decode() if found else ""
            self._read_at = changed

    def _read(self, path: Path) -> WebFile:
        body = path.read_bytes()
        if path.name in _FILLED:
            body = body.replace(b"{prefix}", self._prefix.encode())
        return WebFile.of(body, _TYPES[path.suffix])
