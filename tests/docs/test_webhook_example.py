"""Tests the example program on the page about native, which verifies the requests of an outgoing webhook."""

import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from services.session.service.webhook_delivery import secret_of, signed_headers

PAGE = Path(__file__).parents[2] / "docs" / "build" / "bots-and-webhooks.md"
SECRET, BODY = secret_of(b"a key of an outgoing webhook"), b'{"ev":"message"}'

Verify = Callable[[str, dict[str, str], bytes], bool]


@pytest.fixture(scope="module")
def is_genuine() -> Verify:
    (program,) = re.findall(r"```python\n(.*?def is_genuine.*?)```", PAGE.read_text(), re.DOTALL)
    names: dict[str, Any] = {}
    exec(program, names)  # noqa: S102
    verify: Verify = names["is_genuine"]
    return verify


def test_a_genuine_request_is_accepted(is_genuine: Verify) -> None:
    assert is_genuine(SECRET, signed_headers(SECRET, "5.123", int(time.time()), BODY), BODY)


def test_any_other_is_not(is_genuine: Verify) -> None:
    now = int(time.time())
    headers = signed_headers(SECRET, "5.123", now, BODY)
    assert not is_genuine(secret_of(b"another key"), headers, BODY)
    assert not is_genuine(SECRET, headers, BODY + b" ")
    assert not is_genuine(SECRET, headers | {"webhook-id": "5.124"}, BODY)
    assert not is_genuine(SECRET, headers | {"webhook-timestamp": str(now + 1)}, BODY)
    assert not is_genuine(SECRET, signed_headers(SECRET, "5.123", now - 600, BODY), BODY)
