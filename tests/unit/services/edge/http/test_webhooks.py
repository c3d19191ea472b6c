"""Tests `POST /hooks/SECRET`: the posted message, and the response."""

import json
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from services.edge.http.webhooks import text_of
from shared.contract.errors import RequestError
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


async def test_a_text_may_end_with_a_line_in_any_encoding(site: HttpSite) -> None:
    for encoding in ("utf-16-le", "utf-16-be", "utf-8"):
        assert (await post(site, '\ufeff{"text": "hi"}\r\n'.encode(encoding))).status == 200


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


async def test_unknown_webhooks_and_other_methods(site: HttpSite) -> None:
    reply = await post(site, b'{"text":"a"}', "unknown")
    assert (reply.status, json.loads(reply.body)["error"]["code"]) == (404, "not_found")
    assert b"unknown" not in reply.body
    assert (await site.fetch("GET", "/hooks/secret")).status == 405
    assert (await post(site, b'{"text":"a"}', "a/b")).status == 404


@pytest.mark.parametrize(
    ("message", "text"),
    [
        ({"text": " a\nb "}, "a\nb"),
        ({"text": "<http://x.net?a=1&amp;b=2|here> & <mailto:a@b>"}, "here (http://x.net?a=1&b=2) & mailto:a@b"),
        ({"text": "a &amp;lt; b\0"}, "a &lt; b"),
        ({"text": "first", "attachments": [{"text": "more"}]}, "first\nmore"),
        ({"attachments": [{"fallback": "only this"}, 7, {"title": 7}]}, "only this"),
        ({"text": "", "attachments": [{"blocks": [{"text": {"text": "inner"}}]}]}, "inner"),
    ],
)  # fmt: skip
def test_texts(message: dict[str, Any], text: str) -> None:
    assert text_of("application/json; charset=utf-8", json.dumps(message).encode()) == text


PROGRAMS = json.loads(Path(__file__).with_name("webhook_bodies.json").read_text())
"""Requests that well-known programs send by default, in the form that their documentation shows."""
_READABLE = set("text title pretext value author_name footer alt_text url title_link author_link".split())


@pytest.mark.parametrize("case", PROGRAMS, ids=[case["program"] for case in PROGRAMS])
def test_nothing_readable_of_well_known_programs_is_lost(case: dict[str, Any]) -> None:
    body = json.dumps(case["body"])
    kind, sent = ("application/x-www-form-urlencoded", urlencode({"payload": body})) if "form" in case else ("", body)
    shown = text_of(kind, sent.encode())
    assert shown == case["text"]
    for text in _readable(case["body"]):
        words = text.replace("&lt;", "<").replace("&gt;", ">").replace("<!", "<").replace("<@", "<").split("<")
        assert all(part.rpartition("|")[2].partition(">")[0].strip() in shown for part in words[:1]), text


def _readable(value: object) -> list[str]:
    """Returns the texts of a body, except the values of buttons."""
    if isinstance(value, list):
        return [text for one in value for text in _readable(one)]
    if not isinstance(value, dict):
        return []
    is_button = value.get("type") == "button"
    own = [
        text for name, text in value.items() if name in _READABLE - ({"value"} if is_button else set())
        and isinstance(text, str)
    ]  # fmt: skip
    return own + [text for one in value.values() for text in _readable(one)]


def test_there_are_twenty_programs() -> None:
    assert len({case["program"] for case in PROGRAMS}) >= 20


RICH = {
    "type": "rich_text",
    "elements": [
        {"type": "rich_text_section", "elements": [
            {"type": "text", "text": "See "}, {"type": "link", "url": "https://a.example/"},
            {"type": "text", "text": " by "},
            {"type": "user", "user_id": "U1"}, {"type": "text", "text": ", "}, {"type": "broadcast", "range": "here"},
            {"type": "text", "text": ", "}, {"type": "channel", "channel_id": "C1"}, {"type": "text", "text": " "},
            {"type": "date", "timestamp": 1795262400, "format": "{date}", "fallback": "Nov 21"},
        ]},
        {"type": "rich_text_list", "style": "ordered", "elements": [
            {"type": "rich_text_section", "elements": [{"type": "text", "text": "one"}]},
            {"type": "rich_text_section", "elements": [{"type": "text", "text": "two"}]},
        ]},
        {"type": "rich_text_list", "style": "bullet", "indent": 1, "elements": [
            {"type": "rich_text_section", "elements": [{"type": "text", "text": "deeper"}]},
        ]},
        {"type": "rich_text_quote", "elements": [{"type": "text", "text": "so <she> said"}]},
    ],
}  # fmt: skip


def test_rich_text_keeps_its_lines_links_and_lists() -> None:
    shown = text_of("", json.dumps({"blocks": [RICH]}).encode())
    assert shown.split("\n") == [
        "See https://a.example/ by @U1, @here, #C1 Nov 21", "1. one", "2. two", "  • deeper", "> so <she> said",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/json", '{"text": "größer"}'.encode("utf-8-sig")),
        ("application/json", '{"text": "größer"}'.encode("utf-16")),
        ("application/json; charset=ISO-8859-1", '{"text": "größer"}'.encode("latin-1")),
        ('application/json; charset="UTF-8"', '{"text": "größer"}'.encode()),
    ],
)
def test_what_windows_sends(content_type: str, body: bytes) -> None:
    assert text_of(content_type, body) == "größer"


@pytest.mark.parametrize(
    "part",
    [
        {"elements": [{"elements": [{"type": "emoji", "unicode": "d800"}]}]},
        {"elements": [{"elements": [{"type": "emoji", "unicode": "x", "name": "y"}]}]},
        {"elements": [{"elements": [{"type": "date", "timestamp": 10**30}, 7, None]}]},
        {"elements": {}},
    ],
)  # fmt: skip
def test_odd_parts_break_nothing(part: dict[str, Any]) -> None:
    body = {
        "text": "a", "blocks": [{"type": "rich_text", **part}, {"type": "section", "text": 7, "fields": "b"}],
        "attachments": [{"ts": "²", "fields": [7, {"title": None, "value": {}}], "actions": 7},
                        {"ts": 1e300}, {"ts": 10**400}],
    }  # fmt: skip
    assert text_of("", json.dumps(body).encode()).encode().startswith(b"a")


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"7", b'"a"', b"\xff", b'{"text":"\\ud800"}', b'{"text":null}', b'{"text":[]}', b'{"text":" "}',
     b'{"blocks":7,"attachments":"x"}', b'{"blocks":' + b"[" * 5_000 + b"]" * 5_000 + b"}"],
)  # fmt: skip
@pytest.mark.parametrize("content_type", ["application/json", "", "application/x-www-form-urlencoded"])
def test_messages_without_a_text_are_rejected(body: bytes, content_type: str) -> None:
    with pytest.raises(RequestError):
        text_of(content_type, body)
