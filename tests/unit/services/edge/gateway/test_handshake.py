import pytest

from services.edge.canonical.transport import Accept, Handshake, Reject
from services.edge.gateway.handshake import (
    HandshakeRequest,
    accept_response,
    check_request,
    client_address,
    parse_handshake,
    parse_networks,
    reject_response,
)

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


def status(request: HandshakeRequest) -> int | None:
    rejection = check_request(request)
    return rejection.status if rejection else None


def test_the_response_contains_the_hashed_key() -> None:
    """This is the example of RFC 6455, section 1.3."""
    answer = accept_response(upgrade(), Accept("ourchat.v2")).decode()
    assert answer.startswith("HTTP/1.1 101 Switching Protocols\r\n")
    assert "\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n" in answer
    assert answer.endswith("\r\nSec-WebSocket-Protocol: ourchat.v2\r\n\r\n")
    assert "Protocol:" not in accept_response(upgrade(), Accept()).decode()


def test_invalid_handshakes_are_rejected() -> None:
    assert status(upgrade()) is None
    assert status(upgrade(method="POST")) == 405
    assert status(upgrade(version="1.0")) == 505
    assert status(upgrade((b"sec-websocket-key", KEY))) == 400
    assert status(HandshakeRequest("GET", b"/", "1.1", ((b"sec-websocket-version", b"13"),), "::1")) == 400
    for key in (b"", b"short", b"=" * 24, b"dGhlIHNhbXBsZSBub25j", b"\xff" * 24):
        headers = ((b"sec-websocket-version", b"13"), (b"sec-websocket-key", key))
        assert status(HandshakeRequest("GET", b"/", "1.1", headers, "::1")) == 400
    old = HandshakeRequest("GET", b"/", "1.1", ((b"sec-websocket-version", b"8"), (b"sec-websocket-key", KEY)), "::1")
    assert status(old) == 426
    assert b"\r\nSec-WebSocket-Version: 13\r\n" in reject_response(Reject(426, "old"))


def test_a_rejection_has_a_text_and_closes() -> None:
    lines = reject_response(Reject(404, "nothing here")).split(b"\r\n")
    assert lines.pop(1).startswith(b"Date: ")
    assert b"\r\n".join(lines) == (
        b"HTTP/1.1 404 Not Found\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 13\r\n"
        b"Connection: close\r\n\r\nnothing here\n"
    )


def test_a_handshake_has_the_values_of_the_request() -> None:
    request = upgrade(
        (b"host", b"chat.test:8080"),
        (b"origin", b"https://web.test"),
        (b"sec-websocket-protocol", b"ourchat.v2, native"),
        (b"sec-websocket-protocol", b"pipe"),
        target=b"/ws/%E4%BD%A0?push=1",
        peer="203.0.113.9",
    )
    assert parse_handshake(request, ()) == Handshake(
        path="/ws/你",
        host="chat.test:8080",
        address="203.0.113.9",
        secure=False,
        subprotocols=("ourchat.v2", "native", "pipe"),
        origin="https://web.test",
        query="push=1",
    )


def test_a_handshake_with_few_headers() -> None:
    bare = parse_handshake(upgrade(target=b"/"), ())
    assert (bare.host, bare.origin, bare.subprotocols, bare.query) == ("", "", (), "")


@pytest.mark.parametrize(
    ("target", "path"),
    [
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


def test_several_headers_are_one_list() -> None:
    request = upgrade((b"x-forwarded-for", b"6.6.6.6, 198.51.100.4"), (b"x-forwarded-for", b"10.0.0.2"))
    assert parse_handshake(request, PROXIES).address == "198.51.100.4"


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
