"""The text of messages in Slack's shape, as other programs send them."""

import json
from typing import Any

import pytest

from services.edge.http.hook_body import text_of
from shared.contract.errors import RequestError

ALERTMANAGER = {
    "channel": "#ops", "username": "Alertmanager",
    "attachments": [
        {
            "title": "[FIRING:1] DiskFull", "title_link": "http://am.example/#/alerts", "text": "node <http://n.example|n1>",
            "fallback": "[FIRING:1] DiskFull | http://am.example", "color": "danger", "mrkdwn_in": ["text"],
            "fields": [{"title": "Severity", "value": "page", "short": True}],
        }
    ],
}  # fmt: skip
GITHUB = {
    "blocks": [
        {"type": "header", "text": {"type": "plain_text", "text": "Build failed"}},
        {"type": "section", "text": {"type": "mrkdwn", "text": "*main* &lt;abc&gt;"}, "fields": [{"text": "by Ann"}]},
        {"type": "context", "elements": [{"type": "mrkdwn", "text": "run 7"}, {"type": "image", "image_url": "x"}]},
        {
            "type": "rich_text",
            "elements": [{"type": "rich_text_section", "elements": [{"type": "text", "text": "rich"}]}],
        },
    ]
}


@pytest.mark.parametrize(
    ("message", "text"),
    [
        ({"text": " a\nb "}, "a\nb"),
        ({"text": "<http://x.net?a=1&amp;b=2|here> & <mailto:a@b>"}, "here (http://x.net?a=1&b=2) & mailto:a@b"),
        ({"text": "a &amp;lt; b\0"}, "a &lt; b"),
        ({"text": "alone", "attachments": [{"text": "more"}]}, "alone"),
        (ALERTMANAGER, "[FIRING:1] DiskFull\nnode n1 (http://n.example)\nSeverity: page"),
        (GITHUB, "Build failed\n*main* <abc>\nby Ann\nrun 7\nrich"),
        ({"attachments": [{"fallback": "only this"}, 7, {"title": 7}]}, "only this"),
        ({"text": "", "attachments": [{"blocks": [{"text": {"text": "inner"}}]}]}, "inner"),
    ],
)  # fmt: skip
def test_texts(message: dict[str, Any], text: str) -> None:
    assert text_of("application/json; charset=utf-8", json.dumps(message).encode()) == text


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"7", b'"a"', b"\xff", b'{"text":"\\ud800"}', b'{"text":null}', b'{"text":[]}', b'{"text":" "}',
     b'{"blocks":7,"attachments":"x"}', b'{"blocks":' + b"[" * 5_000 + b"]" * 5_000 + b"}"],
)  # fmt: skip
@pytest.mark.parametrize("content_type", ["application/json", "", "application/x-www-form-urlencoded"])
def test_messages_without_a_text_are_rejected(body: bytes, content_type: str) -> None:
    with pytest.raises(RequestError):
        text_of(content_type, body)
