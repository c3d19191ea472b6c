"""The units in which limits count clients by their addresses. Pure."""

import ipaddress
from functools import lru_cache

_CACHED = 4096
"""Addresses: a client connects, logs in and reconnects from one, and a proxy from few."""
_IPV6_FACTORS = {64: 1, 56: 2, 48: 4}
"""By the length of a prefix."""


@lru_cache(_CACHED)
def network(address: str) -> str:
    """The unit: an IPv4 address, or an IPv6 /64, which belongs to one subscriber."""
    return networks(address)[0][0]


def networks(address: str) -> list[tuple[str, int]]:
    """The networks of an address within which wrong secrets are limited, the unit first, and how many times the unit's
    limit holds in each: one holder of an IPv6 /56 or /48 has many units."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return [(address, 1)]
    if isinstance(parsed, ipaddress.IPv4Address) or parsed.ipv4_mapped is not None:
        return [(str(getattr(parsed, "ipv4_mapped", None) or parsed), 1)]
    unit, *wider = (ipaddress.IPv6Network((int(parsed), length), strict=False) for length in _IPV6_FACTORS)
    return list(zip([str(unit.network_address), *map(str, wider)], _IPV6_FACTORS.values(), strict=True))
