"""Tests the networks by which clients' addresses are counted."""

from shared import addresses


def test_an_ipv6_subscriber_counts_as_one_address() -> None:
    for address, unit in (
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ("2001:db8:1:2::ffff", "2001:db8:1:2::"),
        ("", ""),
        ("unknown", "unknown"),
    ):
        assert addresses.network(address) == unit


def test_an_ipv6_site_has_limits_of_its_own() -> None:
    expected = [("2001:db8:1:203::", 1), ("2001:db8:1:200::/56", 2), ("2001:db8:1::/48", 4)]
    assert addresses.networks("2001:db8:1:203::9") == expected
    assert addresses.networks("192.0.2.1") == [("192.0.2.1", 1)]
