import struct
from contextlib import suppress
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.edge.gateway.proxy_protocol import MalformedProxyHeader, ProxyHeader, parse_proxy_header

SIGNATURE = bytes.fromhex("0d0a0d0a000d0a515549540a")


def binary(command: int, family: int, body: bytes) -> bytes:
    return SIGNATURE + struct.pack("!BBH", command, family, len(body)) + body


def addresses(source: str, destination: str) -> bytes:
    return ip_address(source).packed + ip_address(destination).packed + struct.pack("!HH", 40_000, 54_088)


HEADERS = [
    (b"PROXY TCP4 203.0.113.7 192.0.2.1 40000 54088\r\n", "203.0.113.7"),
    (b"PROXY TCP6 2001:db8::7 2001:db8::1 40000 54088\r\n", "2001:db8::7"),
    (b"PROXY UNKNOWN\r\n", ""),
    (b"PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n", ""),
    (binary(0x21, 0x11, addresses("203.0.113.7", "192.0.2.1")), "203.0.113.7"),
    (binary(0x21, 0x21, addresses("2001:db8::7", "2001:db8::1")), "2001:db8::7"),
    (binary(0x21, 0x11, addresses("203.0.113.7", "192.0.2.1") + b"\x04\x00\x03abc"), "203.0.113.7"),
    (binary(0x21, 0x31, b"/a/path".ljust(216, b"\0")), ""),
    (binary(0x21, 0x00, b""), ""),
    (binary(0x20, 0x00, b""), ""),
    (binary(0x20, 0x11, addresses("203.0.113.7", "192.0.2.1")), ""),
]


@pytest.mark.parametrize(("header", "source"), HEADERS)
def test_a_header_is_parsed_when_it_is_complete(header: bytes, source: str) -> None:
    for size in range(len(header)):
        assert parse_proxy_header(header[:size]) is None
    assert parse_proxy_header(header + b'{"code":12}') == ProxyHeader(source, len(header))


@pytest.mark.parametrize(
    "data",
    [
        b'{"code":12}',
        b"proxy TCP4 ",
        b"PROXY\tTCP4",
        b"PROXY TCP4 203.0.113.7 192.0.2.1 40000\r\n",
        b"PROXY TCP4 203.0.113.7 192.0.2.1 40000 65536\r\n",
        b"PROXY TCP4 203.0.113.7 192.0.2.1 -1 1\r\n",
        b"PROXY TCP4 203.0.113.7 192.0.2.1 1 1 1\r\n",
        b"PROXY TCP4 2001:db8::7 2001:db8::1 1 1\r\n",
        b"PROXY TCP6 203.0.113.7 192.0.2.1 1 1\r\n",
        b"PROXY UDP4 203.0.113.7 192.0.2.1 1 1\r\n",
        b"PROXY TCP4 \xff 192.0.2.1 1 1\r\n",
        b"PROXY \r\n",
        b"PROXY UNKNOWN " + b"x" * 100,
        binary(0x11, 0x11, addresses("203.0.113.7", "192.0.2.1")),
        binary(0x22, 0x11, addresses("203.0.113.7", "192.0.2.1")),
        binary(0x21, 0x11, b"short"),
        binary(0x21, 0x12, addresses("203.0.113.7", "192.0.2.1")),
        binary(0x21, 0x41, b""),
    ],
)
def test_a_malformed_header_is_detected_at_once(data: bytes) -> None:
    with pytest.raises(MalformedProxyHeader):
        parse_proxy_header(data)


@given(st.binary(max_size=200), st.sampled_from([b"", b"PROXY ", b"PROXY TCP4 ", SIGNATURE, SIGNATURE + b"\x21\x11\0"]))
def test_any_bytes_are_a_header_or_malformed(data: bytes, start: bytes) -> None:
    with suppress(MalformedProxyHeader):
        header = parse_proxy_header(start + data)
        assert header is None or header.bytes <= len(start + data)
