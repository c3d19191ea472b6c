"""`POST /hooks/SECRET`: what is posted, and the response."""

import json

import pytest

from tests.unit.services.edge.http.conftest import HttpSite
from tests.unit.services.edge.http.http_client import HttpReply

JSON = "application/json"


async def post(site: HttpSite, body: bytes, secret: str = "secret", **headers: str) -> HttpReply:
    return await site.fetch("POST", f"/hooks/{secret}", body, **({"Content_Type": JSON} | headers))


async def test_a_message_is_answered_as_slack_does(site: HttpSite) -> None:
    reply = await post(site, b'{"text": "Disk full", "channel": "#ops", "username": "x"}')
    assert (reply.status, reply.body, reply.headers["cache-control"]) == (200, b"ok", "no-store")
    assert site.hooks.posted == [("Disk full", "")]


async def test_a_form_is_read(site: HttpSite) -> None:
    form = b"payload=%7B%22text%22%3A%22a+%26+b%22%7D"
    assert (await post(site, form, Content_Type="application/x-www-form-urlencoded")).status == 200
    assert site.hooks.posted == [("a & b", "")]


async def test_the_key_is_passed_on(site: HttpSite) -> None:
    assert (await post(site, b'{"text":"a"}', Idempotency_Key="k")).status == 200
    assert (await post(site, b'{"text":"b"}', Idempotency_Key="k")).status == 409
    assert (await post(site, b'{"text":"a"}', Idempotency_Key="k" * 256)).status == 400
    assert site.hooks.posted == [("a", "k")]


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        (b"", 400, None),
        (b"[1]", 400, None),
        (b'{"text":7}', 400, "text"),
        (b"{}", 400, "text"),
        (b"x" * 70_000, 413, None),
    ],
)
async def test_bad_bodies_are_rejected(site: HttpSite, body: bytes, status: int, field: str | None) -> None:
    reply = await post(site, body)
    assert (reply.status, json.loads(reply.body)["error"].get("field")) == (status, field)
    assert site.hooks.posted == []


async def test_unknown_hooks_and_other_methods(site: HttpSite) -> None:
    reply = await post(site, b'{"text":"a"}', "unknown")
    assert (reply.status, json.loads(reply.body)["error"]["code"]) == (404, "not_found")
    assert b"unknown" not in reply.body
    assert (await site.fetch("GET", "/hooks/secret")).status == 405
    assert (await post(site, b'{"text":"a"}', "a/b")).status == 404
