"""Every setting, its default and where it came from: flags over environment over TOML file over defaults.

Environment: `DRAGOMAN_EDGE__PORT=8080`; file: `[edge] port = 8080`; flag: `--set edge.port=8080`.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, SecretStr
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Nats(_Section):
    """The broker. `user` and `password` are this service's own."""

    url: str = "nats://127.0.0.1:4222"
    user: str = ""
    password: SecretStr = SecretStr("")
    connect_timeout_seconds: float = 5.0
    replicas: int = Field(1, description="JetStream replicas of the event stream (3 on a cluster)")


class Redis(_Section):
    """Presence and limits. The URL may hold the service's own user and password."""

    url: SecretStr = SecretStr("redis://127.0.0.1:6379/0")
    timeout_seconds: float = 0.5


class Database(_Section):
    """One URL for all services: {service} in it is replaced by each one's name. Without it, PostgreSQL keeps each
    service in a schema of its name."""

    url: SecretStr = SecretStr("sqlite:///.dragoman/{service}.db")
    pool_size: int = 8


class Ops(_Section):
    """The operations port of a service (health, metrics); never the clients' port."""

    host: str = "127.0.0.1"
    port: int = Field(0, description="0: any free port")


class Log(_Section):
    level: str = "info"
    json_lines: bool = Field(True, description="one JSON object a line; false: for reading on a terminal")


class Limits(_Section):
    rates: bool = Field(True, description="rate limits on (sizes are always limited)")
    requests_per_second: float = 50.0
    requests_burst: int = 200
    registrations_per_minute: int = Field(5, description="per address")
    failed_logins_per_address: int = Field(20, description="in 10 minutes")
    failed_logins_per_account: int = Field(5, description="in 10 minutes, per account and address")
    text_frame_bytes: int = 64 * 1024
    binary_frame_bytes: int = 1024 * 1024
    transport_frame_bytes: int = 2 * 1024 * 1024
    message_text_bytes: int = 16 * 1024
    segments_per_message: int = 64
    json_depth: int = 32
    nickname_characters: int = 64
    group_name_characters: int = 128
    members_per_group: int = 100_000
    members_listed: int = 10_000
    chats_per_account: int = 1_000
    address_url_bytes: int = 2 * 1024


class Verification(_Section):
    """When e-mail addresses must be verified (v2: 13, 14, 15)."""

    registration: bool = False
    after_failed_logins: int = Field(0, description="0: never")
    time_limit_seconds: float = 600.0


class Mail(_Section):
    """Where mail goes: an SMTP server when `smtp_host` is set, else files in `outbox`."""

    smtp_host: str = ""
    smtp_port: int = 587
    smtp_user: str = ""
    smtp_password: SecretStr = SecretStr("")
    smtp_security: str = Field("starttls", pattern="^(starttls|tls|none)$")
    smtp_timeout_seconds: float = 10.0
    sender: str = "Dragoman <no-reply@localhost>"
    outbox: Path = Path(".dragoman/outbox")


class Auth(_Section):
    keys: Path = Field(Path(".dragoman/keys"), description="directory of Ed25519 private keys, <kid>.pem")
    issuer: str = "dragoman"
    audience: str = "dragoman"
    legacy_token_days: float = 30.0
    hash_threads: int = Field(2, description="argon2 hashes at the same time")
    hash_queue: int = Field(256, description="logins waiting for a hash; more are refused as unavailable")
    argon2_memory_kib: int = 19_456
    argon2_iterations: int = 2
    lobby: bool = Field(True, description="v0 accounts belong to the public lobby, chat 1")


class Message(_Section):
    batch_rows: int = Field(512, description="messages per transaction, at most")
    broadcast_members: int = Field(512, description="from this many members on, a message is broadcast to all edges")
    unread_per_chat: int = Field(1_000, description="unread messages pushed at login, per chat")
    reply_bytes: int = Field(448 * 1024, description="pages of a reply are filled up to this size")


class Edge(_Section):
    name: str = "edge-1"
    host: str = "127.0.0.1"
    port: int = 8080
    public_url: str = Field("", description="http(s)://host[:port] of links; empty: the connection's Host")
    websocket: str = Field("picows", pattern="^(picows|websockets)$")
    trusted_proxies: list[str] = Field([], description="networks whose X-Forwarded-For is believed")
    ping_interval_seconds: float = 25.0
    pong_timeout_seconds: float = 10.0
    confirm_interval_seconds: float = Field(3.0, description="between pings that confirm pushes")
    first_frame_seconds: float = 30.0
    unauthenticated_seconds: float = 900.0
    request_seconds: float = Field(8.0, description="after it a request is answered `unavailable`")
    outgoing_bytes: int = Field(1024 * 1024, description="unsent bytes of one connection before it is closed (1013)")
    incoming_frames: int = Field(256, description="waiting frames of one connection before its socket is not read")
    max_connections: int = 20_000
    drain_seconds: float = 10.0
    lease_seconds: float = 10.0


class Settings(BaseSettings):
    model_config = SettingsConfigDict(
        env_prefix="DRAGOMAN_",
        env_nested_delimiter="__",
        extra="forbid",
        frozen=True,
        nested_model_default_partial_update=True,
    )

    data: Path = Field(Path(".dragoman"), description="directory of the embedded servers, keys and outbox")
    nats: Nats = Nats()
    redis: Redis = Redis()
    database: Database = Database()
    ops: Ops = Ops()
    log: Log = Log()
    limits: Limits = Limits()
    verification: Verification = Verification()
    mail: Mail = Mail()
    auth: Auth = Auth()
    message: Message = Message()
    edge: Edge = Edge()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """`load` alone decides where values come from."""
        return (init_settings,)

    def database_url(self, service: str) -> str:
        """The SQLAlchemy URL of a service's own database."""
        url = self.database.url.get_secret_value()
        for scheme in ("postgres://", "postgresql://"):
            if url.startswith(scheme):
                url = "postgresql+psycopg://" + url.removeprefix(scheme)
        if "{service}" not in url and url.startswith("postgresql"):
            url += ("&" if "?" in url else "?") + "options=-csearch_path%3D{service}"
        return url.replace("{service}", service)


def load(file: Path | None, flags: Mapping[str, str]) -> tuple[Settings, dict[str, str]]:
    """The settings, and where each one that is no default came from (a flag, the environment, the file's name).

    `flags` maps dotted names to values. Raises pydantic.ValidationError, OSError, tomllib.TOMLDecodeError.
    """
    layers: list[tuple[str, dict[str, Any]]] = []
    if file is not None:
        layers.append((str(file), TomlConfigSettingsSource(Settings, file).toml_data))
    layers.append(("environment", EnvSettingsSource(Settings)()))
    layers.append(("flag", _nested(flags)))
    merged: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for source, layer in layers:
        _merge(merged, layer)
        sources.update(dict.fromkeys(_names(layer), source))
    return Settings(**merged), sources


def _nested(flags: Mapping[str, str]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for name, value in flags.items():
        *sections, leaf = name.split(".")
        branch = tree
        for section in sections:
            branch = branch.setdefault(section, {})
        branch[leaf] = value
    return tree


def _merge(into: dict[str, Any], layer: Mapping[str, Any]) -> None:
    for name, value in layer.items():
        if isinstance(value, dict) and isinstance(into.get(name), dict):
            _merge(into[name], value)
        else:
            into[name] = value


def _names(layer: Mapping[str, Any], prefix: str = "") -> list[str]:
    names: list[str] = []
    for name, value in layer.items():
        dotted = f"{prefix}{name}"
        names += _names(value, f"{dotted}.") if isinstance(value, dict) else [dotted]
    return names
