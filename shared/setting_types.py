"""Types of settings: URLs, networks and files, each with its check; the base of all sections."""

import re
from ipaddress import ip_network
from typing import Annotated, Literal, Protocol, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr

T = TypeVar("T")

Language = Literal["zh", "en"]
"""Of the server's texts for users."""


def _matches(pattern: str, valid: str) -> AfterValidator:
    """A validator by pattern. The error shows `valid`, never the value, which may be secret."""
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


BrokerUrl = Annotated[
    str, _matches(r"((nats|tls|wss?)://[^\s,]+)(,(nats|tls|wss?)://[^\s,]+)*", "nats://host:port, one or several")
]
RedisUrl = Annotated[SecretStr, _matches(r"(rediss?|unix)://\S+", "redis[s]://user:password@host:port/0")]
DatabaseUrl = Annotated[
    SecretStr,
    _matches(r"sqlite:///.+|postgres(ql(\+psycopg)?)?://\S+", "sqlite:///path or postgresql://user:password@host/name"),
]
HttpUrl = Annotated[str, _matches(r"(https?://[^\s/?#]+/?)?", "http(s)://host[:port], or empty")]
CollectorUrl = Annotated[
    str, _matches(r"(https?://[^\s/?#@]+(/[^\s?#@]*)?)?", "http(s)://host[:port][/path], or empty")
]
Origin = Annotated[str, _matches(r"\*|null|[a-z][a-z0-9+.-]*://[^\s/?#@]*", "*, null or scheme://host[:port]")]
Network = Annotated[str, AfterValidator(_check_network)]


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
