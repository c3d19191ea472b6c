"""The accounts that tests of IRC use. They are registered over HTTP, and deleted after the test."""

import contextlib
import json
from urllib.error import HTTPError
from urllib.request import Request, urlopen

_tokens: dict[str, tuple[str, str]] = {}
"""For each account, by its username: its token and its password."""


def register(port: int, username: str, password: str) -> None:
    secret = {"scheme": "plain", "value": password}
    reply = _call(port, "register", {"username": username, "nickname": username, "secret": secret})
    _tokens[username] = reply["token"], password


def adopt(port: int, username: str, password: str) -> None:
    """Notes an account that a test has registered itself, if it exists, so that it is deleted later."""
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
