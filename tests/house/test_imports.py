"""No service imports an image decoder, or a second HTTP client that could request an address from a user."""

import ast
from collections.abc import Iterator

from tests.house.vocabulary import read

SERVICES = ("services/auth", "services/edge", "services/message", "services/session", "shared")
DECODERS = {"PIL", "cv2", "imageio", "imghdr", "pyvips", "wand"}
HTTP_CLIENTS = {"aiohttp", "http.client", "httpx", "niquests", "requests", "urllib.request", "urllib3"}


def imported() -> Iterator[str]:
    """Returns each imported module, and the packages that contain it."""
    for tree in read(SERVICES).values():
        for node in ast.walk(tree):
            for name in _names(node):
                parts = name.split(".")
                yield from (".".join(parts[:end]) for end in range(1, len(parts) + 1))


def _names(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom) and node.module:
        return [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return []


def test_no_service_decodes_pictures() -> None:
    names = set(imported())
    assert {"asyncio", "services.edge", "urllib.parse"} <= names
    assert names & DECODERS == set()


def test_no_service_is_an_http_client() -> None:
    """Mail, object storage and traces have clients of their own, which connect only to addresses from the settings."""
    assert set(imported()) & HTTP_CLIENTS == set()
