import pytest

from services.edge.gateway.handshake import HandshakeRequest, client_address, parse_handshake, parse_networks

KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
PROXIES = parse_networks(["10.0.0.0/8", "192.0.2.7", "2001:db8::/32"])


def upgrade(
    *headers: tuple[bytes, bytes],
    target: bytes = b"/ws",
    method: str = "GET",
    version: str = "1.1",
    peer: str = "10.0.0.1",
) -> HandshakeRequest:
    good = ((b"sec-websocket-version", b"13"), (b"sec-websocket-key", KEY))
    return HandshakeRequest(method, target, version, (*good, *headers), peer)


@pytest.mark.parametrize(
    ("target", "path"),
    [
        (b"http://chat.test?x=/y", "/"),
        (b"/", "/"),
        (b"//ws", "//ws"),
        (b"*", "*"),
        (b"/a/../b", "/a/../b"),
        (b"http://chat.test/ws/pipe?x", "/ws/pipe"),
        (b"http://chat.test", "/"),
        (b"/see?http://x/y", "/see"),
        (b"/%ff", "/\ufffd"),
        (b"/\xe4", "/ä"),
    ],
)
def test_paths(target: bytes, path: str) -> None:
    assert parse_handshake(upgrade(target=target), ()).path == path


@pytest.mark.parametrize("target", [b"/?x=/y", b"http://chat.test?x=/y", b"http://chat.test/ws?x=/y"])
def test_the_query_is_kept(target: bytes) -> None:
    assert parse_handshake(upgrade(target=target), ()).query == "x=/y"


def test_only_a_trusted_proxy_sets_the_protocol() -> None:
    https = (b"x-forwarded-proto", b"https")
    assert parse_handshake(upgrade(https), PROXIES).secure
    assert not parse_handshake(upgrade(https, peer="203.0.113.9"), PROXIES).secure
    assert not parse_handshake(upgrade(https, (b"x-forwarded-proto", b"http")), PROXIES).secure


@pytest.mark.parametrize(
    ("peer", "forwarded", "address"),
    [
        ("203.0.113.9", [], "203.0.113.9"),
        ("203.0.113.9", ["1.1.1.1"], "203.0.113.9"),  # this peer is not trusted, so its header is ignored
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.4"], "198.51.100.4"),
        # the client itself has sent the first entry, so it is not trusted
        ("10.0.0.1", ["6.6.6.6", "198.51.100.4"], "198.51.100.4"),
        ("10.0.0.1", ["6.6.6.6", "198.51.100.4", "192.0.2.7", "10.1.2.3"], "198.51.100.4"),
        ("10.0.0.1", ["10.0.0.9", "10.0.0.8"], "10.0.0.9"),
        ("10.0.0.1", ["198.51.100.4", "unknown"], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.4", "unknown", "10.0.0.9"], "10.0.0.9"),
        ("10.0.0.1", ["198.51.100.4:5678"], "198.51.100.4"),
        ("10.0.0.1", ["[2001:DB9::5]:80"], "2001:db9::5"),
        ("2001:db8::1", ["2001:db9:0:0::5"], "2001:db9::5"),
        ("::ffff:10.0.0.1", ["::ffff:198.51.100.4"], "198.51.100.4"),
        ("::ffff:203.0.113.9", [], "203.0.113.9"),
    ],
)
def test_the_client_is_the_right_most_untrusted_address(peer: str, forwarded: list[str], address: str) -> None:
    assert client_address(peer, forwarded, PROXIES) == address


@pytest.mark.parametrize(
    ("peer", "forwarded", "untrusted"),
    [("203.0.113.9", b"198.51.100.4", True), ("10.0.0.1", b"198.51.100.4", False), ("203.0.113.9", b"", False)],
)
def test_an_ignored_header_is_reported(peer: str, forwarded: bytes, untrusted: bool) -> None:
    request = upgrade((b"x-forwarded-for", forwarded), peer=peer)
    assert parse_handshake(request, PROXIES).untrusted_proxy is untrusted


def test_no_proxy_is_trusted_by_default() -> None:
    assert client_address("127.0.0.1", ["198.51.100.4"], ()) == "127.0.0.1"
    with pytest.raises(ValueError, match="proxy"):
        parse_networks(["proxy"])
