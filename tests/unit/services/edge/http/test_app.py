import base64
import json
import re
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

import pytest

from services.edge.gateway import Gateway
from services.edge.gateway.open_sockets import client_sockets
from services.edge.http import HttpApp, LinkPages, VerificationResult
from services.edge.http.first_page import FirstPage
from services.edge.http.web_files import CLIENT
from services.edge.identicons import avatar_hash, avatar_path
from shared.setting_types import Language
from shared.settings import Settings
from shared.settings.edge import EdgeSettings
from shared.settings.limits import LimitsSettings
from tests.unit.services.edge.gateway.recording_endpoint import RecordingEndpoint
from tests.unit.services.edge.http.conftest import FakeLinks, make_site
from tests.unit.services.edge.http.http_client import HttpReply

LINK = "/verify/ticket.code"


def app(
    links: FakeLinks, first_page: FirstPage | None = None, confirm_button: bool = False, language: Language = "zh"
) -> HttpApp:
    """An application that has no files."""
    pages = LinkPages(links, confirm_button, language)  # type: ignore[arg-type]
    return make_site(Settings(media={"directory": "/nowhere"}), pages, first_page=first_page).app


def scope_of(method: str, path: str, headers: list[tuple[bytes, bytes]]) -> dict[str, Any]:
    return {
        "type": "http", "method": method, "path": path, "raw_path": path.encode(), "query_string": b"",
        "http_version": "1.1", "scheme": "http", "client": ("127.0.0.1", 1), "headers": headers,
    }  # fmt: skip


async def get(
    path: str, method: str = "GET", links: FakeLinks | None = None, site: HttpApp | None = None, **headers: str
) -> HttpReply:
    sent: list[Mapping[str, Any]] = []

    async def send(message: Mapping[str, Any]) -> None:
        sent.append(message)

    async def receive() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    named = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    await (site or app(links or FakeLinks("passed")))(scope_of(method, path, named), receive, send)
    fields = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return HttpReply(sent[0]["status"], fields, b"".join(part["body"] for part in sent[1:]))


@pytest.mark.parametrize("path", [avatar_path("account", 1), avatar_path("chat", 2**53 - 1)])
async def test_avatars(path: str) -> None:
    reply = await get(path)
    assert reply.status == 200
    assert reply.headers["content-type"] == "image/png"
    assert reply.headers["content-length"] == str(len(reply.body))
    assert "immutable" in reply.headers["cache-control"]
    kind, number = ("account", 1) if "account" in path else ("chat", 2**53 - 1)
    assert sha256(reply.body).hexdigest() == avatar_hash(kind, number)


async def test_a_cached_avatar_is_not_sent_again() -> None:
    tag = (await get(avatar_path("account", 1))).headers["etag"]
    again = await get(avatar_path("account", 1), if_none_match=f'W/"other", {tag}')
    assert (again.status, again.body, again.headers["etag"]) == (304, b"", tag)
    other = await get(avatar_path("account", 2), if_none_match=tag)
    assert other.status == 200


@pytest.mark.parametrize(
    "path",
    [
        "/avatar/account/0.png",
        "/avatar/account/01.png",
        "/avatar/account/-1.png",
        "/avatar/account/1",
        "/avatar/account/1.png/",
        "/avatar/account/1.png\n",
        "/avatar/account/٣.png",
        "/avatar/account/12345678901234567890.png",
        "/avatar/person/1.png",
        "/avatar/",
        "/verify/",
        "/verify/ticket",
        "/verify/a.b.c",
        "/verify/a/b.c",
        "/verify/" + "x" * 129 + ".code",
        "/favicon.ico",
        "//",
        "",
        "/../etc/passwd",
    ],
)
async def test_other_paths_are_not_found(path: str) -> None:
    links = FakeLinks("passed")
    reply = await get(path, links=links)
    assert (reply.status, reply.body) == (404, b"Not found.\n")
    assert links.opened == []


async def test_the_greeting() -> None:
    reply = await get("/")
    assert reply.status == 200
    assert b"chat server" in reply.body
    assert reply.headers["content-type"] == "text/plain; charset=utf-8"


async def test_websocket_paths_require_an_upgrade() -> None:
    reply = await get("/ws/ourchat-v2")
    assert (reply.status, reply.headers["upgrade"]) == (426, "websocket")
    assert (await get("/wsx")).status == 404


@pytest.mark.parametrize(("result", "status"), [("passed", 200), ("wrong", 403), ("expired", 410), (None, 503)])
async def test_the_link_of_a_verification_mail(result: VerificationResult | None, status: int) -> None:
    links = FakeLinks(result)
    reply = await get("/verify/ti-ck_et.C0de", links=links)
    assert links.opened == [("ti-ck_et", "C0de")]
    assert reply.status == status
    assert reply.headers["content-type"] == "text/html; charset=utf-8"
    assert reply.headers["cache-control"] == "no-store"
    assert ("retry-after" in reply.headers) == (status == 503)
    assert b"C0de" not in reply.body


async def test_each_result_has_its_own_page() -> None:
    results: list[VerificationResult | None] = ["passed", "wrong", "expired", None]
    pages = {(await get("/verify/a.b", links=FakeLinks(result))).body for result in results}
    assert len(pages) == 4


async def test_only_get_opens_a_link() -> None:
    for method in ("HEAD", "POST", "OPTIONS"):
        links = FakeLinks("passed")
        reply = await get("/verify/a.b", method, links=links)
        assert (reply.status, reply.headers["allow"], links.opened) == (405, "GET", [])


async def test_the_client_in_javascript_its_types_and_the_open_api_document() -> None:
    module = await get("/api/dragoman.js")
    assert (module.status, module.headers["content-type"]) == (200, "text/javascript; charset=utf-8")
    assert module.body == (CLIENT / "dragoman.js").read_bytes()
    assert b'types="./dragoman.d.ts"' in module.body
    assert b'from "./native.d.ts"' in (await get("/api/dragoman.d.ts")).body
    types = await get("/api/native.d.ts")
    assert (types.status, types.headers["content-type"]) == (200, "text/plain; charset=utf-8")
    document = await get("/api/openapi.json")
    assert document.headers["content-type"] == "application/json"
    assert "/api/v1/send" in json.loads(document.body)["paths"]
    assert (await get("/api/dragoman.js", if_none_match=module.headers["etag"])).status == 304
    rejected = await get("/api/dragoman.js", "POST")
    assert (rejected.status, json.loads(rejected.body)["error"]["code"]) == (405, "invalid")
    assert "access-control-allow-origin" not in module.headers
    others = ("/api/index.html", "/api/package.json", "/api/../codec/native.py")
    assert [(await get(path)).status for path in others] == [404] * 3


async def test_the_host_is_no_part_of_the_path() -> None:
    assert (await get("/api/nothing", host="chat.test/api/dragoman.js?")).status == 404


@pytest.mark.parametrize("path", ["/api", "/api/"])
async def test_the_page_of_the_operations_runs_nothing_and_loads_nothing(path: str) -> None:
    page = await get(path)
    assert (page.status, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert b'<a href="/api/openapi.json">' in page.body
    (style,) = re.findall(rb"<style>(.*?)</style>", page.body, re.DOTALL)
    named = base64.b64encode(sha256(style).digest()).decode()
    assert f"style-src 'self' 'sha256-{named}';" in page.headers["content-security-policy"]
    assert "unsafe" not in page.headers["content-security-policy"]
    assert not re.search(rb"<script|<link|<img|src=|style=|href=.https?:", page.body)
    assert (await get(path, "POST")).status == 405


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "get"])
async def test_other_methods_are_not_allowed(method: str) -> None:
    reply = await get(avatar_path("account", 1), method)
    assert (reply.status, reply.headers["allow"]) == (405, "GET, HEAD")
    assert (await get("/nowhere", method)).status == 404


@pytest.mark.parametrize(
    "path", ["/", "/nowhere", avatar_path("chat", 1), "/verify/a.b", "/ws", "/api", "/api/dragoman.js"]
)
async def test_every_response_has_security_headers(path: str) -> None:
    headers = (await get(path)).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["content-security-policy"].startswith("default-src 'none'")
    assert headers["referrer-policy"] == "no-referrer"


def gateway_of(site: HttpApp, edge: EdgeSettings) -> Gateway:
    limits = LimitsSettings()
    return Gateway(edge, limits, RecordingEndpoint(), site, client_sockets(edge, limits))


async def test_with_a_button_only_its_post_verifies() -> None:
    links = FakeLinks("passed")
    site = app(links, confirm_button=True)
    for method in ("GET", "HEAD"):
        page = await get(LINK, method, site=site)
        assert (page.status, b'<form method="post"><button>' in page.body) == (200, True)
        assert "form-action 'self'" in page.headers["content-security-policy"]
        assert b"from 192.0.2.1&lt;b&gt;, with ourchat-v2, at 2027-01-15 08:00 UTC" in page.body
    assert links.opened == []
    assert (await get(LINK, "PUT", site=site)).status == 405
    page = await get(LINK, "POST", site=site)
    assert (page.status, links.opened) == (200, [("ticket", "code")])
    assert "form-action 'none'" in page.headers["content-security-policy"]


async def test_without_the_name_of_the_device_there_is_no_button_but_for_a_wrong_link() -> None:
    assert (await get(LINK, site=app(FakeLinks(None), confirm_button=True))).status == 503
    page = await get(LINK, site=app(FakeLinks("wrong"), confirm_button=True))
    assert (page.status, b"<form" in page.body, b"from" in page.body) == (200, True, False)


async def test_a_page_is_chinese_with_an_english_sentence_or_english() -> None:
    titles: dict[Language, str] = {"zh": "验证成功", "en": "Verified"}
    for language, title in titles.items():
        page = await get(LINK, site=app(FakeLinks("passed"), language=language))
        assert page.body.decode() == (
            f'<!doctype html><html lang="{language}"><head><meta charset="utf-8">'
            f'<meta name="viewport" content="width=device-width"><title>{title}</title></head><body><h1>{title}</h1>'
            '<p lang="en">Your e-mail address is verified. You can go back to your chat client.</p></body></html>\n'
        )
        page = await get(LINK, site=app(FakeLinks("passed"), confirm_button=True, language=language))
        assert ("验证" in page.body.decode()) is (language == "zh")
    results: list[VerificationResult | None] = [None, "wrong", "expired"]
    for result in results:
        assert (await get(LINK, site=app(FakeLinks(result), language="en"))).body.isascii()


async def test_a_mail_program_unsubscribes_with_one_click_and_a_look_at_the_link_changes_nothing() -> None:
    links = FakeLinks("passed")
    for method in ("GET", "HEAD"):
        assert (await get("/unsubscribe/t0ken", method, links)).status == 200
    shown = await get("/unsubscribe/t0ken", "GET", links)
    assert b'<form method="post"><button>' in shown.body
    assert "form-action 'self'" in shown.headers["content-security-policy"]
    assert links.stopped == []
    done = await get("/unsubscribe/t0ken", "POST", links, content_type="application/x-www-form-urlencoded")
    assert (done.status, "location" in done.headers, links.stopped) == (200, False, ["t0ken"])
    assert (await get("/unsubscribe/t0ken", "PUT", links)).status == 405
    assert (await get("/unsubscribe/a/b", "POST", links)).status == 404


@pytest.mark.parametrize(("result", "status"), [("wrong", 404), (None, 503)])
async def test_an_unsubscribe_link_that_has_no_effect(result: VerificationResult | None, status: int) -> None:
    reply = await get("/unsubscribe/t0ken", "POST", FakeLinks(result))
    assert (reply.status, reply.headers.get("retry-after")) == (status, "30" if status == 503 else None)
