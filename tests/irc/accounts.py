"""The accounts of tests of IRC: registered by HTTP, and deleted after the test."""

import contextlib
import json
from urllib.error import HTTPError
from urllib.request import Request, urlopen

_tokens: dict[str, tuple[str, str]] = {}
"""Of each account by its username: its token and its password."""


def register(port: int, username: str, password: str) -> None:
    secret = {"scheme": "plain", "value": password}
    reply = _call(port, "register", {"username": username, "nickname": username, "secret": secret})
    _tokens[username] = reply["token"], password


def adopt(port: int, username: str, password: str) -> None:
    """An account that a test itself has registered, if it exists."""
    secret = {"scheme": "plain", "value": password}
    with contextlib.suppress(HTTPError):
        _tokens[username] = _call(port, "login", {"identifier": username, "secret": secret})["token"], password


def delete_all(port: int) -> None:
    for token, password in _tokens.values():
        _call(port, "delete_account", {"secret": {"scheme": "plain", "value": password}}, token)
    _tokens.clear()


def _call(port: int, operation: str, body: dict[str, object], token: str = "") -> dict[str, str]:
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
    request = Request(f"http://127.0.0.1:{port}/api/v1/{operation}", json.dumps(body).encode(), headers)
    with urlopen(request, timeout=10) as response:  # noqa: S310
        found: dict[str, str] = json.load(response)
    return found
