"""Operations of native as HTTP requests, for programs without a WebSocket."""

import http.client
import json
import secrets
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from tests.support.waiting import WAIT_SECONDS


class Posted(NamedTuple):
    status: int
    body: dict[str, Any]


def post(edge: str, operation: str, token: str = "", **members: Any) -> Posted:
    """`edge` is the address of an edge: ws://, or wss:// with a trusted certificate."""
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
    scheme, place, *_ = urlsplit(edge)
    kind = http.client.HTTPSConnection if scheme == "wss" else http.client.HTTPConnection
    connection = kind(place, timeout=WAIT_SECONDS)
    try:
        connection.request("POST", f"/api/v1/{operation}", json.dumps(members), headers)
        response = connection.getresponse()
        return Posted(response.status, json.loads(response.read()))
    finally:
        connection.close()


def register(edge: str) -> dict[str, Any]:
    """Registers an account. Returns the reply, and the account's secret."""
    username, secret = f"bot{secrets.token_hex(6)}", {"scheme": "plain", "value": secrets.token_hex(8)}
    registered = post(edge, "register", username=username, nickname="Bot", secret=secret)
    assert registered.status == 200, registered.body
    return {**registered.body, "secret": secret}
