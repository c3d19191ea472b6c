"""Tests which web pages may connect."""

import pytest

from services.edge.canonical.transport import Handshake
from services.edge.gateway.handshake import WebOrigins


@pytest.mark.parametrize(
    ("origin", "is_permitted"),
    [
        ("", True), ("http://edge.test:8080", False), ("HTTPS://Edge.Test:8080", False), ("https://chat.test", True),
        ("https://public.test", True), ("http://edge.test", False), ("http://edge.test:8081", False),
        ("http://chat.test", False), ("https://chat.test:8443", False), ("https://chat.test.evil.test", False),
        ("https://evil.test/edge.test:8080", False), ("edge.test:8080", False), ("null", False), ("*", False),
    ],
)  # fmt: skip
def test_pages_of_the_edge_and_named_pages_are_permitted(origin: str, is_permitted: bool) -> None:
    origins = WebOrigins(["https://chat.test"], "https://public.test/")
    assert origins.permits(Handshake("/", "Edge.test:8080", "192.0.2.1", False, (), origin)) is is_permitted


@pytest.mark.parametrize(
    ("host", "is_own"),
    [
        ("127.0.0.1:8080", True), ("192.168.7.5", True), ("[::1]:8080", True), ("localhost:8080", True),
        ("LOCALHOST.", True), ("chat.test:8080", True), ("Public.test", True), ("evil.test:8080", False),
        ("127.0.0.1.evil.test", False), ("localhost.evil.test", False), ("a.chat.test", False), ("edge-1:8080", False),
        ("2130706433", False), ("", False), ("[", False),
    ],
)  # fmt: skip
def test_a_page_is_the_edge_s_own_by_an_address_or_a_name_of_the_settings(host: str, is_own: bool) -> None:
    """A page with another name is a page of an attacker who has made this name lead to the edge (DNS rebinding)."""
    origins = WebOrigins(["https://chat.test", "null"], "https://public.test:8443/")
    assert origins.is_own(host) is is_own
    if host:
        page = Handshake("/", host, "192.0.2.1", False, (), f"http://{host}")
        assert origins.permits(page) is is_own


def test_every_page_may_be_permitted() -> None:
    for allowed, other in ((["*"], True), (["null"], False)):
        origins = WebOrigins(allowed, "")
        pages = [Handshake("/", "edge.test", "", False, (), origin) for origin in ("null", "https://evil.test")]
        assert [origins.permits(page) for page in pages] == [True, other]


def test_without_a_host_no_page_is_the_edge_s_own() -> None:
    assert not WebOrigins([], "").permits(Handshake("/", "", "", False, (), "https://"))
