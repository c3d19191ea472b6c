"""Rules for the addresses of outgoing requests. Users choose these addresses, so the rules forbid internal networks."""

import re
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import NamedTuple
from urllib.parse import urlsplit

from shared.contract.errors import ErrorCode, RequestError

IpAddress = IPv4Address | IPv6Address

_PRINTABLE = re.compile(r"[!-~]+")
_HOST_NAME = re.compile(r"[A-Za-z0-9._-]{1,253}")
_PORTS = {"http": 80, "https": 443}
_PUBLIC_IPV6 = IPv6Network("2000::/3")
_NAT64 = IPv6Network("64:ff9b::/96")
_NOT_PUBLIC = [
    ip_network(text)
    for text in (
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
        "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24",
        "224.0.0.0/3", "168.63.129.16/32", "2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20",
    )
]  # fmt: skip
"""Networks to which no request may go: the special networks of RFC 6890 and its successors, all multicast, and the
metadata service of a cloud, which has a public address. The metadata services of other clouds have addresses in the
special networks."""


class OutgoingAddress(NamedTuple):
    """A parsed URL. `host`: a name, or an address without brackets. `target`: path and query."""

    is_encrypted: bool
    host: str
    port: int
    target: str

    @property
    def authority(self) -> str:
        """The value of the header Host."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS["https" if self.is_encrypted else "http"] else f"{host}:{self.port}"


def parse_url(url: str) -> OutgoingAddress:
    """Parses an http or https URL. Raises RequestError."""
    try:
        parts = urlsplit(url)
        port = _PORTS.get(parts.scheme, 0) if parts.port is None else parts.port
    except ValueError as error:
        raise _invalid("the address cannot be read") from error
    if not port or parts.scheme not in _PORTS or not _PRINTABLE.fullmatch(url) or "\\" in url:
        raise _invalid("an address is http(s)://host[:port]/path, without spaces and special characters")
    if parts.username is not None or parts.password is not None or parts.fragment:
        raise _invalid("an address must have neither a user nor a fragment")
    host = parts.hostname or ""
    if parse_ip(host) is None and not _HOST_NAME.fullmatch(host):
        raise _invalid("the host is neither a name nor an address")
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return OutgoingAddress(parts.scheme == "https", host, port, target)


def parse_ip(text: str) -> IpAddress | None:
    try:
        return ip_address(text)
    except ValueError:
        return None


class AddressRules:
    """All addresses must be public, and requests must be encrypted. Addresses in `permitted_networks` are exempt."""

    def __init__(self, permitted_networks: Sequence[str]) -> None:
        self._own = [ip_network(text, strict=False) for text in permitted_networks]

    def check_endpoint(self, url: str) -> OutgoingAddress:
        """Checks an address without a DNS lookup. Raises RequestError."""
        address = parse_url(url)
        literal = parse_ip(address.host)
        if literal is not None and not self.is_permitted(literal, is_encrypted=address.is_encrypted):
            raise _invalid("requests may not go to this address")
        if not address.is_encrypted and not self._own:
            raise _invalid("an address begins with https://")
        return address

    def is_permitted(self, address: IpAddress, *, is_encrypted: bool) -> bool:
        real = _embedded(address)
        return _is_in(real, self._own) or (is_encrypted and _is_public(real))


def _embedded(address: IpAddress) -> IpAddress:
    """The IPv4 address in a mapped IPv6 address or in an IPv6 address of NAT64. Any other address is returned without
    its zone."""
    if isinstance(address, IPv4Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    plain = IPv6Address(int(address))
    return IPv4Address(int(plain) & 0xFFFFFFFF) if plain in _NAT64 else plain


def _is_public(address: IpAddress) -> bool:
    return (address.version == 4 or address in _PUBLIC_IPV6) and not _is_in(address, _NOT_PUBLIC)


def _is_in(address: IpAddress, networks: Sequence[IPv4Network | IPv6Network]) -> bool:
    return any(address in network for network in networks)


def _invalid(text: str) -> RequestError:
    return RequestError(ErrorCode.INVALID, text, "endpoint")
