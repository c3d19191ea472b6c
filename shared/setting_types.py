"""Types of settings, such as URLs, networks and files, each with its check; and the base class of all sections."""

import re
import unicodedata
from ipaddress import ip_address, ip_network
from typing import Annotated, Any, Literal, Protocol, TypeVar
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr

T = TypeVar("T")

Language = Literal["zh", "en"]
"""The language of the server's texts for users."""


_NAME = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]{0,252}[A-Za-z0-9_.])?")
_WITH_HOST = ("nats", "tls", "ws", "wss", "redis", "rediss", "http", "https")
_WRONG_URL = (
    "should have a host and a port from 1 to 65535; in a user or password, @ : / ? # and % are written as %40 %3A %2F "
    "%3F %23 and %25"
)


def _matches(pattern: str, valid: str) -> AfterValidator:
    """A validator that compares a value with a pattern. Its error shows `valid`, and never the value, which may be
    secret."""
    compiled = re.compile(pattern)

    def check(value: T) -> T:
        text = value.get_secret_value() if isinstance(value, SecretStr) else str(value)
        if not compiled.fullmatch(text):
            raise ValueError(f"should be {valid}")
        return value

    return AfterValidator(check)


def _check_network(text: str) -> str:
    try:
        ip_network(text, strict=False)
    except ValueError as error:
        raise ValueError("should be networks or addresses, as in 10.0.0.0/8") from error
    return text


def check_host(text: str) -> str:
    """An address or a name to listen on, without the brackets that an IPv6 address has in a URL. Raises ValueError."""
    host = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    try:
        ip_address(host)
    except ValueError as error:
        if not _NAME.fullmatch(host):
            raise ValueError(
                "should be an address as 127.0.0.1 or ::1, a name, or 0.0.0.0 for all addresses"
            ) from error
    return host


def _check_url(value: T) -> T:
    """Checks the host and port of a URL. The error does not show the value, which may be secret."""
    _require_place(value.get_secret_value() if isinstance(value, SecretStr) else str(value))
    return value


def _check_brokers(text: str) -> str:
    urls = text.split(",")
    for url in urls:
        _require_place(url)
    if len({urlsplit(url).netloc.rpartition("@")[0] for url in urls}) > 1:
        raise ValueError("should have the same user and password in all addresses")
    return text


def _check_system_name(text: str) -> str:
    """Checks the name of the system account. This is a function, because pydantic's engine would need 3 MiB for a
    pattern with these classes of characters."""
    if (
        not 1 <= len(text) <= 64
        or text != text.strip()
        or any(character == "|" or unicodedata.category(character).startswith("C") for character in text)
    ):
        raise ValueError("should be 1 to 64 characters, no control characters, no | and no spaces at its ends")
    return text


def _require_place(url: str) -> None:
    if not url:
        return
    try:
        parts = urlsplit(url)
        is_wrong = parts.port == 0 or (parts.hostname is None and parts.scheme in _WITH_HOST)
    except ValueError:
        is_wrong = True
    if is_wrong:
        raise ValueError(_WRONG_URL)


BrokerUrl = Annotated[
    str,
    _matches(r"((nats|tls|wss?)://[^\s,]+)(,(nats|tls|wss?)://[^\s,]+)*", "nats://host:port, one or several"),
    AfterValidator(_check_brokers),
]
RedisUrl = Annotated[
    SecretStr,
    _matches(r"rediss?://[^\s/?#]+(/\d*)?(\?[^\s#]*)?|unix://\S+", "redis[s]://user:password@host:port/0"),
    AfterValidator(_check_url),
]
DatabaseUrl = Annotated[
    SecretStr,
    _matches(r"sqlite:///.+|postgres(ql(\+psycopg)?)?://\S+", "sqlite:///path or postgresql://user:password@host/name"),
    AfterValidator(_check_url),
]
HttpUrl = Annotated[
    str,
    _matches(r"(https?://[^\s/?#]+(/[\w.~-]+)*/?)?", "http(s)://host[:port][/path], or empty"),
    AfterValidator(_check_url),
]
CollectorUrl = Annotated[
    str,
    _matches(r"(https?://[^\s/?#@]+(/[^\s?#@]*)?)?", "http(s)://host[:port][/path], or empty"),
    AfterValidator(_check_url),
]
Origin = Annotated[str, _matches(r"\*|null|[a-z][a-z0-9+.-]*://[^\s/?#@]*", "*, null or scheme://host[:port]")]
PushContact = Annotated[
    str,
    _matches(
        r"(https://[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+(:\d+)?(/\S*)?|mailto:[^\s@]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+)?",
        "https://host.example or mailto:name@host.example, because push services reject other contacts",
    ),
]
PushKeyText = Annotated[SecretStr, _matches(r"([A-Za-z0-9_-]{43})?", "43 characters, as `dragoman secrets` makes them")]
WebOrigin = Annotated[str, _matches(r"https?://[^\s/?#@;,]+", "http(s)://host[:port]")]
Host = Annotated[str, AfterValidator(check_host)]
OptionalHost = Annotated[str, AfterValidator(lambda text: text and check_host(text))]
Network = Annotated[str, AfterValidator(_check_network)]
SystemName = Annotated[str, AfterValidator(_check_system_name)]


def setting(default: T, description: str, **limits: Any) -> T:
    """The default and the description of a setting. `limits`: those of pydantic.Field, such as `ge`."""
    field: T = Field(default, description=description, **limits)
    return field


class SettingsSection(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


TlsCa = Annotated[
    str, Field(description="file of the authorities of the server's certificate; with it, TLS is required")
]
TlsCertificate = Annotated[str, Field(description="file of this client's certificate, if the server demands one")]
TlsKey = Annotated[str, Field(description="file of the key of `tls_certificate`; empty: it is in the same file")]
TLS_FILES = ("tls_ca", "tls_certificate", "tls_key")


class TlsFiles(Protocol):
    """A section with the files of a connection's TLS; a path is empty if there is none."""

    @property
    def tls_ca(self) -> str: ...

    @property
    def tls_certificate(self) -> str: ...

    @property
    def tls_key(self) -> str: ...
