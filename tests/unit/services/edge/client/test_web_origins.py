"""Which web pages may connect."""

import pytest

from services.edge.canonical.transport import Handshake
from services.edge.client.web_origins import WebOrigins


@pytest.mark.parametrize(
    ("origin", "is_permitted"),
    [
        ("", True), ("http://edge.test:8080", True), ("HTTPS://Edge.Test:8080", True), ("https://chat.test", True),
        ("https://public.test", True), ("http://edge.test", False), ("http://edge.test:8081", False),
        ("http://chat.test", False), ("https://chat.test:8443", False), ("https://chat.test.evil.test", False),
        ("https://evil.test/edge.test:8080", False), ("edge.test:8080", False), ("null", False), ("*", False),
    ],
)  # fmt: skip
def test_pages_of_the_edge_and_named_pages_are_permitted(origin: str, is_permitted: bool) -> None:
    origins = WebOrigins(["https://chat.test"], "https://public.test/")
    assert origins.permits(Handshake("/", "Edge.test:8080", "192.0.2.1", False, (), origin)) is is_permitted


def test_every_page_may_be_permitted() -> None:
    for allowed, other in ((["*"], True), (["null"], False)):
        origins = WebOrigins(allowed, "")
        pages = [Handshake("/", "edge.test", "", False, (), origin) for origin in ("null", "https://evil.test")]
        assert [origins.permits(page) for page in pages] == [True, other]


def test_without_a_host_no_page_is_the_edge_s_own() -> None:
    assert not WebOrigins([], "").permits(Handshake("/", "", "", False, (), "https://"))
