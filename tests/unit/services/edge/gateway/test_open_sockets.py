"""Connections are limited in total, and for each address."""

from services.edge.gateway.handshake import parse_networks
from services.edge.gateway.open_sockets import AddressLimits, OpenSockets


class Connection:
    def __init__(self, *, is_flood: bool = False) -> None:
        self.is_flood = is_flood


def connect(sockets: OpenSockets[Connection], address: str, now: float = 0.0) -> Connection | None:
    """Opens a connection from this address. Returns None if it is rejected."""
    if sockets.reason_to_reject(address, now):
        return None
    connection = Connection()
    sockets.add(connection, address)
    return connection


def test_an_ipv6_subscriber_has_the_connections_of_one_address() -> None:
    sockets = OpenSockets[Connection](10, AddressLimits(2, 1.0, 10))
    first = connect(sockets, "2001:db8:0:1::1")
    assert first is not None
    assert connect(sockets, "2001:db8:0:1::2")
    assert sockets.reason_to_reject("2001:db8:0:1::3", 0.0) == "too many connections from this address"
    assert connect(sockets, "2001:db8:0:2::1")
    sockets.discard(first)
    sockets.discard(first)
    assert connect(sockets, "2001:db8:0:1::3")
    assert connect(sockets, "2001:db8:0:1::4") is None


def test_an_ipv6_subscriber_has_the_rate_of_one_address() -> None:
    sockets = OpenSockets[Connection](10, AddressLimits(10, 1.0, 2))
    assert [bool(connect(sockets, f"2001:db8::{number}")) for number in range(3)] == [True, True, False]
    assert connect(sockets, "2001:db8::4", now=1.0)


def test_exempt_addresses_and_all_without_limits_count_in_the_sum_alone() -> None:
    exempt = OpenSockets[Connection](3, AddressLimits(1, 1.0, 1), parse_networks(["10.0.0.0/8"]))
    for sockets in (exempt, OpenSockets[Connection](3, None)):
        assert [bool(connect(sockets, "10.0.0.1")) for _ in range(4)] == [True] * 3 + [False]
