"""Addresses of clients: their canonical spelling, and the networks for which limits count. Also reads the host name by
which a client calls the server."""

import ipaddress
from functools import lru_cache

_CACHED = 4096
"""The most cached addresses. A client connects, logs in and reconnects from the same address, and a proxy has only a
few."""
_IPV6_FACTORS = {64: 1, 56: 2, 48: 4}
"""How many times the limit of an IPv6 /64 holds for a network with this prefix length."""


@lru_cache(_CACHED)
def canonical(address: str) -> str:
    """The canonical spelling of an address. An IPv4-mapped IPv6 address becomes its IPv4 address. Raises ValueError."""
    parsed = ipaddress.ip_address(address)
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    return str(mapped or parsed)


def host_name(header: str) -> str:
    """The name or address in a Host header or an authority, in lower case, without port and brackets."""
    name = header.lower()
    name = name[1:].partition("]")[0] if name.startswith("[") else name.partition(":")[0]
    return name.removesuffix(".")


def is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


@lru_cache(_CACHED)
def network(address: str) -> str:
    """The network for which limits count: an IPv4 address, or an IPv6 /64, which belongs to one subscriber."""
    return networks(address)[0][0]


def networks(address: str) -> list[tuple[str, int]]:
    """The networks of an address within which wrong secrets are limited, `network` first. Each has the number of times
    that the limit of `network` holds in it. Larger networks are needed because one owner of an IPv6 /56 or /48 has many
    /64."""
    try:
        spelling = canonical(address)
    except ValueError:
        return [(address, 1)]
    parsed = ipaddress.ip_address(spelling)
    if isinstance(parsed, ipaddress.IPv4Address):
        return [(spelling, 1)]
    unit, *wider = (ipaddress.IPv6Network((int(parsed), length), strict=False) for length in _IPV6_FACTORS)
    return list(zip([str(unit.network_address), *map(str, wider)], _IPV6_FACTORS.values(), strict=True))
