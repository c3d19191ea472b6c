"""Tests the files of the web client: which pages may frame them, which of them a browser caches, and the response if
the client is not built.
"""

import gzip
from pathlib import Path
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import Response

from services.edge.http.chat_client import ChatClient
from shared.settings.edge import EdgeSettings

SCRIPT = "assets/main-0A1B2C3D.js"


@pytest.fixture
def built(tmp_path: Path) -> Path:
    (tmp_path / "assets").mkdir()
    (tmp_path / SCRIPT).write_text("export {};")
    (tmp_path / "worker.js").write_text("self;")
    (tmp_path / "manifest.webmanifest").write_text('{"start_url": "{prefix}/chat"}')
    (tmp_path / "index.html").write_text(f'<html data-prefix="{{prefix}}"><script src="{{prefix}}/chat/{SCRIPT}">')
    return tmp_path


async def get(built: Path, path: str, *, settings: dict[str, Any] | None = None, **headers: str) -> Response:
    client = ChatClient(EdgeSettings(**(settings or {})), built)
    await client.respond(request("/chat"))
    return await client.respond(request(path, **headers))


def request(path: str, method: str = "GET", **headers: str) -> Request:
    named = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return Request({"type": "http", "method": method, "path": path, "headers": named, "query_string": b""})


@pytest.mark.parametrize("path", ["/chat", "/chat/", "/chat/5", "/chat/5/123", "/chat/settings"])
async def test_the_page_is_served_at_each_of_its_routes(built: Path, path: str) -> None:
    page = await get(built, path)
    assert (page.status_code, page.headers["cache-control"]) == (200, "no-cache")
    assert f'src="/chat/{SCRIPT}"'.encode() in bytes(page.body)


async def test_the_page_is_below_the_path_of_the_public_url(built: Path) -> None:
    below = {"public_url": "https://example.com/our/chat/"}
    page = await get(built, "/chat", settings=below)
    assert b'data-prefix="/our/chat"><script src="/our/chat/chat/assets/' in bytes(page.body)
    manifest = await get(built, "/chat/manifest.webmanifest", settings=below)
    assert bytes(manifest.body) == b'{"start_url": "/our/chat/chat"}'
    worker = await get(built, "/chat/worker.js", settings=below)
    assert worker.headers["service-worker-allowed"] == "/our/chat/chat"


async def test_the_policies_are_enforced(built: Path) -> None:
    fields = (await get(built, "/chat")).headers
    assert fields["content-security-policy"] == (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; media-src 'self' blob:; "
        "connect-src 'self'; manifest-src 'self'; worker-src 'self'; base-uri 'none'; form-action 'none'; "
        "require-trusted-types-for 'script'; trusted-types lit-html dragoman; frame-ancestors 'none'"
    )
    assert fields["cross-origin-opener-policy"] == "same-origin"
    assert "camera=()" in fields["permissions-policy"]
    assert "clipboard-write=(self)" in fields["permissions-policy"]


async def test_embedders_may_show_it_in_a_frame(built: Path) -> None:
    page = await get(built, "/chat", settings={"chat_embedders": ["https://intranet.example", "https://b.example"]})
    ends = "frame-ancestors https://intranet.example https://b.example"
    assert page.headers["content-security-policy"].endswith(ends)


async def test_an_asset_never_changes_and_a_missing_one_is_not_kept(built: Path) -> None:
    asset = await get(built, f"/chat/{SCRIPT}", accept_encoding="gzip")
    assert asset.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert gzip.decompress(bytes(asset.body)) == b"export {};"
    again = await get(built, f"/chat/{SCRIPT}", if_none_match=asset.headers["etag"])
    assert again.status_code == 304
    for path in ("/chat/assets/main-OLD.js", "/chat/assets/../index.html", "/chat/5/6/7", "/chat/x"):
        missing = await get(built, path)
        assert (missing.status_code, missing.headers["cache-control"]) == (404, "no-store")


async def test_without_a_build_the_reply_explains_how_to_make_one(tmp_path: Path) -> None:
    page = await get(tmp_path / "nothing", "/chat")
    assert (page.status_code, page.headers["cache-control"]) == (503, "no-store")
    assert b"./dev setup" in bytes(page.body)


async def test_a_new_build_is_served_without_a_restart(built: Path) -> None:
    client = ChatClient(EdgeSettings(), built)
    assert b"data-prefix" in bytes((await client.respond(request("/chat"))).body)
    (built / "assets" / "main-NEW.js").write_text("new")
    page = built / "next"
    page.write_text("<html>the next build")
    page.rename(built / "index.html")
    assert bytes((await client.respond(request("/chat"))).body) == b"<html>the next build"
    assert (await client.respond(request("/chat/assets/main-NEW.js"))).status_code == 200


async def test_it_is_only_read(built: Path) -> None:
    reply = await ChatClient(EdgeSettings(), built).respond(request("/chat", "POST"))
    assert (reply.status_code, reply.headers["allow"]) == (405, "GET, HEAD")
