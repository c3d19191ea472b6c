"""Tests to which addresses outgoing requests may go. Some of the addresses have forms that try to evade the check."""

from ipaddress import ip_address

import pytest

from shared.contract.errors import ErrorCode, RequestError
from shared.outgoing_addresses import AddressRules, OutgoingAddress, parse_url

PUBLIC = AddressRules([])
OWN = AddressRules(["10.1.0.0/16", "fd00:1::/32"])


def test_addresses_that_are_not_public_are_forbidden() -> None:
    for text in (
        "127.0.0.1", "127.8.9.1", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "169.254.169.254",
        "0.0.0.0", "100.64.0.1",
        "100.100.100.200", "192.0.0.192", "168.63.129.16", "198.18.0.1", "192.0.2.1", "198.51.100.7",
        "203.0.113.9", "192.88.99.1", "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255",
        "::", "::1", "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:a9fe:a9fe", "::ffff:0:127.0.0.1", "64:ff9b::7f00:1",
        "64:ff9b::a9fe:a9fe", "64:ff9b:1::808:808", "2002:7f00:1::1", "2001::1", "2001:db8::1", "3fff::1", "fe80::1",
        "fe80::1%eth0", "fec0::1", "fc00::1", "fd00:ec2::254", "ff02::1", "100::1", "5f00::1", "4000::1",
    ):  # fmt: skip
        assert not PUBLIC.is_permitted(ip_address(text), is_encrypted=True), text


def test_public_addresses_are_permitted_for_encrypted_requests_alone() -> None:
    for text in ("8.8.8.8", "172.32.0.1", "100.128.0.1", "::ffff:8.8.8.8", "64:ff9b::808:808", "2606:4700::1111"):
        assert PUBLIC.is_permitted(ip_address(text), is_encrypted=True), text
        assert not PUBLIC.is_permitted(ip_address(text), is_encrypted=False), text


def test_own_networks_that_are_permitted() -> None:
    for text, permitted in (
        ("10.1.2.3", True), ("::ffff:10.1.2.3", True), ("64:ff9b::a01:203", True), ("fd00:1::5", True),
        ("10.2.0.1", False), ("127.0.0.1", False), ("fd00:2::1", False), ("169.254.169.254", False),
    ):  # fmt: skip
        for is_encrypted in (False, True):
            assert OWN.is_permitted(ip_address(text), is_encrypted=is_encrypted) is permitted, text


def test_an_endpoint() -> None:
    assert parse_url("https://Hooks.example/a/b?c=d") == OutgoingAddress(True, "hooks.example", 443, "/a/b?c=d")
    assert parse_url("http://10.1.2.3:8080") == OutgoingAddress(False, "10.1.2.3", 8080, "/")
    assert parse_url("https://[2606:4700::1111]/x").host == "2606:4700::1111"


def test_the_header_host() -> None:
    for url, authority in (
        ("https://a.example/x", "a.example"), ("https://a.example:443/", "a.example"),
        ("https://a.example:80/", "a.example:80"), ("http://a.example:80/", "a.example"),
        ("https://[2606:4700::1111]:8443/", "[2606:4700::1111]:8443"),
    ):  # fmt: skip
        assert parse_url(url).authority == authority


def test_what_is_no_endpoint() -> None:
    for url in (
        "", "a.example", "//a.example/", "ftp://a.example/", "file:///etc/passwd", "gopher://a.example/", "https://",
        "https:///a", "https://a.example:0/", "https://a.example:65536/", "https://a.example:x/",
        "https://user@a.example/", "https://user:secret@a.example/", "https://a.example@b.example/",
        "https://@a.example/", "https://a.example/#b", "https://a.example/a b", "https://a.example/\r\nHost: b",
        "https://a.exam\nple/", "https://a.example\\@b.example/", "https://a.example/\x7f", "https://ä.example/",
        "https://a.example/ä", "https://[::1/", "https://[zz]/", "https://a,b/", "https://%31%32%37.0.0.1/",
    ):  # fmt: skip
        with pytest.raises(RequestError) as rejected:
            OWN.check_endpoint(url)
        assert (rejected.value.failure.code, rejected.value.failure.field) == (ErrorCode.INVALID, "endpoint"), url


def test_an_address_that_is_not_permitted_is_rejected_at_once() -> None:
    for host in (
        "https://127.0.0.1",
        "https://[::1]",
        "https://[::ffff:127.0.0.1]",
        "http://8.8.8.8",
        "http://10.2.0.1",
    ):
        with pytest.raises(RequestError, match="may not go"):
            OWN.check_endpoint(f"{host}/")


def test_requests_are_encrypted_unless_own_networks_are_permitted() -> None:
    with pytest.raises(RequestError, match="https"):
        PUBLIC.check_endpoint("http://a.example/")
    assert not OWN.check_endpoint("http://a.example/").is_encrypted
