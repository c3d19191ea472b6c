"""Settings of the servers that processes connect to, and a process's own log, traces and operations port."""

import re
from urllib.parse import urlencode, urlsplit

from pydantic import SecretStr, ValidationInfo, field_validator

from shared.setting_types import (
    BrokerUrl,
    CollectorUrl,
    DatabaseUrl,
    Host,
    RedisUrl,
    SettingsSection,
    TlsCa,
    TlsCertificate,
    TlsFiles,
    TlsKey,
    setting,
)


class NatsSettings(SettingsSection):
    """The connection to NATS. Each service has its own `user` and `password`."""

    url: BrokerUrl = setting("nats://127.0.0.1:4222", "address of NATS, or several addresses joined by commas")
    user: str = setting("", "user for NATS; empty: the user in the address")
    password: SecretStr = setting(SecretStr(""), "password of `user`")
    connect_timeout_seconds: float = setting(5.0, "time limit for one attempt to connect; attempts are repeated", gt=0)
    replicas: int = setting(1, "JetStream replicas of the event stream (3 on a cluster)", ge=1, le=5)
    tls_name: str = setting("", "name in the server's certificate; empty: the host in `url`")
    tls_ca: TlsCa = ""
    tls_certificate: TlsCertificate = ""
    tls_key: TlsKey = ""


class RedisSettings(SettingsSection):
    """The connection to Redis, which has presence and limits. The URL may contain the service's own user and
    password."""

    url: RedisUrl = setting(SecretStr("redis://127.0.0.1:6379/0"), "redis[s]://user:password@host:port/0")
    timeout_seconds: float = setting(0.5, "time limit of a call; after it presence counts as unknown", gt=0)
    tls_ca: TlsCa = ""
    tls_certificate: TlsCertificate = ""
    tls_key: TlsKey = ""

    @field_validator("tls_ca")
    @classmethod
    def _check_tls(cls, value: str, info: ValidationInfo) -> str:
        url: SecretStr | None = info.data.get("url")
        if value and url is not None and not url.get_secret_value().startswith("rediss://"):
            raise ValueError("redis.url must begin with rediss://, since redis.tls_ca is set")
        return value


class DatabaseSettings(SettingsSection):
    """One URL for all services. In it, the service's name replaces {service}. If the URL lacks this placeholder, each
    service uses a PostgreSQL schema with its name."""

    url: DatabaseUrl = setting(
        SecretStr("sqlite:///.dragoman/{service}.db"), "sqlite:///path or postgresql://user:password@host/name"
    )
    pool_size: int = setting(8, "connections of one process to PostgreSQL", ge=1)
    tls_ca: TlsCa = ""
    tls_certificate: TlsCertificate = ""
    tls_key: TlsKey = ""


class OpsSettings(SettingsSection):
    """The operations port of a service (health, metrics); never the clients' port."""

    host: Host = setting("127.0.0.1", "address of the operations port")
    port: int = setting(0, "the operations port; 0: any free port", ge=0, le=65535)
    allowed_hosts: list[str] = setting(
        [], "host names that requests may use, besides addresses, names without a dot and cluster names"
    )


class LogSettings(SettingsSection):
    level: str = setting(
        "info",
        "lowest level that is logged: debug, info, warning, error or critical",
        pattern="^(debug|info|warning|error|critical)$",
    )
    json_lines: bool = setting(True, "one JSON object per line; false: text for a terminal")


class TracingSettings(SettingsSection):
    """Traces for an OpenTelemetry collector (OTLP over HTTP). They are off if `endpoint` is empty."""

    endpoint: CollectorUrl = setting("", "http(s)://host:4318 of the collector; empty: no tracing")
    sample_ratio: float = setting(1.0, "share of requests and batches that is traced", ge=0, le=1)


def sqlalchemy_url(url: str, service: str) -> str:
    """The URL of a service's own database. In PostgreSQL each service has a schema with the service's name, unless the
    URL names a schema."""
    for scheme in ("postgres://", "postgresql://"):
        if url.startswith(scheme):
            url = "postgresql+psycopg://" + url.removeprefix(scheme)
    if "{service}" not in url and url.startswith("postgresql"):
        search_path = "-csearch_path%3D{service}"
        url, count = re.subn(r"(?<=[?&])options=[^&]*", rf"\g<0>%20{search_path}", url, count=1)
        url += "" if count else f"{_separator(url)}options={search_path}"
    return url.replace("{service}", service)


def with_tls(url: str, tls: TlsFiles) -> str:
    """Adds TLS to a PostgreSQL URL, with a check of the host's name. A URL with an `sslmode` stays unchanged."""
    if not (tls.tls_ca or tls.tls_certificate) or not url.startswith("postgresql") or "sslmode=" in urlsplit(url).query:
        return url
    files = {"sslrootcert": tls.tls_ca or "system"}
    if tls.tls_certificate:
        files |= {"sslcert": tls.tls_certificate, "sslkey": tls.tls_key or tls.tls_certificate}
    return url + _separator(url) + urlencode({"sslmode": "verify-full", **files})


def _separator(url: str) -> str:
    return "&" if "?" in url else "?"
