"""All settings with defaults and sources: flags override the environment, which overrides a TOML file.

Environment: `DRAGOMAN_EDGE__PORT=8080`; file: `[edge] port = 8080`; flag: `--set edge.port=8080`.
"""

import json
import re
from collections.abc import Mapping
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, ValidationInfo, field_validator
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from shared.database_urls import place_of, sqlalchemy_url
from shared.placement import check_map, check_ranges, parse_ranges

T = TypeVar("T")


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


_BrokerUrl = Annotated[
    str, _matches(r"((nats|tls|wss?)://[^\s,]+)(,(nats|tls|wss?)://[^\s,]+)*", "nats://host:port, one or several")
]
_RedisUrl = Annotated[SecretStr, _matches(r"(rediss?|unix)://\S+", "redis[s]://user:password@host:port/0")]
_DatabaseUrl = Annotated[
    SecretStr,
    _matches(r"sqlite:///.+|postgres(ql(\+psycopg)?)?://\S+", "sqlite:///path or postgresql://user:password@host/name"),
]
_HttpUrl = Annotated[str, _matches(r"(https?://[^\s/?#]+/?)?", "http(s)://host[:port], or empty")]
_CollectorUrl = Annotated[
    str, _matches(r"(https?://[^\s/?#@]+(/[^\s?#@]*)?)?", "http(s)://host[:port][/path], or empty")
]
_Origin = Annotated[str, _matches(r"\*|null|[a-z][a-z0-9+.-]*://[^\s/?#@]*", "*, null or scheme://host[:port]")]
_DatabaseName = Annotated[str, _matches("[a-z][a-z0-9]{0,14}", "names of up to 15 letters a-z and digits")]
_PartitionRanges = Annotated[str, AfterValidator(check_ranges)]
_Network = Annotated[str, AfterValidator(_check_network)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class NatsSettings(_Section):
    """The broker. `user` and `password` are this service's own."""

    url: _BrokerUrl = Field("nats://127.0.0.1:4222", description="one address, or several joined by commas")
    user: str = Field("", description="empty: the user in the address")
    password: SecretStr = Field(SecretStr(""), description="of `user`")
    connect_timeout_seconds: float = Field(5.0, gt=0, description="for one attempt; attempts are repeated")
    replicas: int = Field(1, ge=1, le=5, description="JetStream replicas of the event stream (3 on a cluster)")


class RedisSettings(_Section):
    """Presence and limits. The URL may hold the service's own user and password."""

    url: _RedisUrl = Field(SecretStr("redis://127.0.0.1:6379/0"), description="redis[s]://user:password@host:port/0")
    timeout_seconds: float = Field(0.5, gt=0, description="then presence counts as unknown")


class DatabaseSettings(_Section):
    """One URL for all services: {service} in it is replaced by the service's name. Without the placeholder, each
    service uses a PostgreSQL schema of its name."""

    url: _DatabaseUrl = Field(
        SecretStr("sqlite:///.dragoman/{service}.db"),
        description="sqlite:///path or postgresql://user:password@host/name",
    )
    pool_size: int = Field(8, ge=1, description="connections of one process (PostgreSQL)")


class OpsSettings(_Section):
    """The operations port of a service (health, metrics); never the clients' port."""

    host: str = Field("127.0.0.1", description="address of the operations port")
    port: int = Field(0, ge=0, le=65535, description="0: any free port")


class LogSettings(_Section):
    level: str = Field("info", pattern="^(debug|info|warning|error|critical)$", description="from debug to critical")
    json_lines: bool = Field(True, description="one JSON object a line; false: for reading on a terminal")


class TracingSettings(_Section):
    """Spans for a collector of OpenTelemetry's (OTLP by HTTP); off without an `endpoint`."""

    endpoint: _CollectorUrl = Field("", description="http(s)://host:4318 of the collector; empty: no tracing")
    sample_ratio: float = Field(1.0, ge=0, le=1, description="share of ticks and requests that is traced")


class LimitsSettings(_Section):
    rates: bool = Field(True, description="rate limits on (sizes are always limited)")
    requests_per_second: float = Field(50.0, gt=0, description="per connection and per account")
    requests_burst: int = Field(200, ge=1, description="requests at once, before the rate applies")
    control_frames_per_second: float = Field(
        20.0, gt=0, description="pings, pongs and small fragments of a connection; more close it (1008)"
    )
    control_frames_burst: int = Field(500, ge=1, description="control frames at once, before the rate applies")
    received_bytes_per_second: int = Field(
        8 * 1024 * 1024, ge=1, description="of a connection; a faster one is read with pauses"
    )
    connections_per_address: int = Field(2_000, ge=1, description="open at one edge; more are closed (1013)")
    connections_per_account: int = Field(100, ge=1, description="logged in at one edge; more logins are rejected")
    new_connections_per_second: float = Field(100.0, gt=0, description="per address; more are closed (1013)")
    new_connections_burst: int = Field(2_000, ge=1, description="connections at once, before the rate applies")
    registrations_per_minute: int = Field(5, ge=1, description="per address")
    failed_logins_per_address: int = Field(20, ge=1, description="in 10 minutes")
    failed_logins_per_account: int = Field(5, ge=1, description="in 10 minutes, per account and address")
    failed_recoveries_per_account: int = Field(10, ge=1, description="wrong answers in a day, over all addresses")
    mails_per_address: int = Field(20, ge=1, description="verification mails per address, in 10 minutes")
    text_frame_bytes: int = Field(64 * 1024, ge=1, description="a larger text frame is rejected")
    binary_frame_bytes: int = Field(1024 * 1024, ge=1, description="a larger binary frame is rejected")
    transport_frame_bytes: int = Field(2 * 1024 * 1024, ge=1, description="a larger frame closes the connection (1009)")
    message_text_bytes: int = Field(16 * 1024, ge=1, description="text of one message, as UTF-8")
    segments_per_message: int = Field(64, ge=1, description="segments of one message")
    json_depth: int = Field(32, ge=4, description="nesting of a frame's JSON")
    nickname_characters: int = Field(64, ge=1, description="length of a nickname")
    group_name_characters: int = Field(128, ge=1, description="length of a group's name")
    members_per_group: int = Field(100_000, ge=2, description="the lobby has no limit")
    members_listed: int = Field(10_000, ge=2, description="members in one reply")
    chats_per_account: int = Field(1_000, ge=1, description="groups an account may be in")
    requests_pending: int = Field(1_000, ge=1, description="unanswered friend and membership requests of an account")
    address_url_bytes: int = Field(2 * 1024, ge=1, description="length of an avatar's address")
    file_bytes: int = Field(100 * 1024 * 1024, ge=1, description="size of an image or file")


class VerificationSettings(_Section):
    """Verification of e-mail addresses (v2: 13, 14, 15)."""

    registration: bool = Field(False, description="every registration must be verified")
    after_failed_logins: int = Field(0, ge=0, description="verify a login after so many failed ones; 0: never")
    time_limit_seconds: float = Field(600.0, gt=0, description="life of a mailed link")


class MailSettings(_Section):
    """Mail: to an SMTP server if `smtp_host` is set, else to files in `outbox`."""

    smtp_host: str = Field("", description="mail server; empty: files in `outbox`")
    smtp_port: int = Field(587, ge=1, le=65535, description="of the mail server")
    smtp_user: str = Field("", description="empty: no login")
    smtp_password: SecretStr = Field(SecretStr(""), description="of `smtp_user`")
    smtp_security: str = Field("starttls", pattern="^(starttls|tls|none)$", description="starttls, tls or none")
    smtp_timeout_seconds: float = Field(10.0, gt=0, description="then the mail is retried later")
    sender: str = Field("Dragoman <no-reply@localhost>", description="From of every mail")
    outbox: Path = Field(Path(".dragoman/outbox"), description="directory of mails as .eml files")


class AuthSettings(_Section):
    keys: Path = Field(Path(".dragoman/keys"), description="directory of Ed25519 private keys, <kid>.pem")
    issuer: str = Field("dragoman", description="`iss` of tokens")
    audience: str = Field("dragoman", description="`aud` of tokens")
    legacy_token_days: float = Field(30.0, gt=0, description="life of tokens that are never refreshed")
    hash_threads: int = Field(2, ge=1, description="argon2 hashes at the same time")
    hash_queue: int = Field(256, ge=1, description="logins waiting for a hash; more are rejected as unavailable")
    argon2_memory_kib: int = Field(19_456, ge=8, description="memory of one password hash")
    argon2_iterations: int = Field(2, ge=1, description="passes of one password hash")
    recovery: bool = Field(True, description="accounts can be recovered by the answer to a security question")
    lobby: bool = Field(True, description="v0 accounts belong to the public lobby, chat 1")


class NoticesSettings(_Section):
    """Notices of the operator to users (`dragoman admin notice`)."""

    name: str = Field(
        "Dragoman",
        pattern=r"^[^\s\p{C}|]([^\p{C}|]{0,62}[^\s\p{C}|])?$",
        description="nickname of the system account that sends them",
    )


class MessageDatabase(_Section):
    """One of several databases of message. `partitions`: at first; then the database says which ones it serves."""

    url: _DatabaseUrl
    partitions: _PartitionRanges = ""


class MessageSettings(_Section):
    batch_rows: int = Field(512, ge=1, description="messages per transaction, at most")
    queue_seconds: float = Field(1.5, gt=0, description="messages that would wait longer are rejected at once")
    broadcast_members: int = Field(512, ge=1, description="members from which on a message is broadcast to all edges")
    broadcast_members_per_edge: int = Field(
        64, ge=1, description="members per edge from which on a message is broadcast to all edges"
    )
    unread_per_chat: int = Field(1_000, ge=1, description="unread messages pushed at login, per chat")
    reply_bytes: int = Field(448 * 1024, ge=1, le=448 * 1024, description="pages of a reply are filled up to this size")
    partitions: int = Field(
        256,
        ge=1,
        le=4096,
        description="of chats, shared out to the replicas; the same for message and edges, as long as they exist",
    )
    databases: dict[_DatabaseName, MessageDatabase] = Field(
        {},
        description="several databases: for each name its `url`, and at first its `partitions`, as in 0-127; "
        "empty: one database, `database.url`",
    )
    database: str = Field("", description="the one of message.databases that a replica works on")

    @field_validator("databases")
    @classmethod
    def _check_databases(cls, value: dict[str, MessageDatabase], info: ValidationInfo) -> dict[str, MessageDatabase]:
        if value and "partitions" in info.data:
            check_map({name: parse_ranges(one.partitions) for name, one in value.items()}, info.data["partitions"])
        names: dict[str, str] = {}
        for name, one in value.items():
            if (other := names.setdefault(place_of(one.url.get_secret_value()), name)) != name:
                raise ValueError(f"{other} and {name} have the same url: each name is a database of its own")
        return value

    @field_validator("database")
    @classmethod
    def _check_database(cls, value: str, info: ValidationInfo) -> str:
        databases = info.data.get("databases")
        if value and databases is not None and value not in databases:
            raise ValueError(f"message.databases has no database {value}")
        return value


class EdgeSettings(_Section):
    name: str = Field("edge-1", pattern="^[A-Za-z0-9_-]{1,64}$", description="unique name of this edge")
    host: str = Field("127.0.0.1", description="address clients connect to")
    port: int = Field(8080, ge=0, le=65535, description="port clients connect to")
    tcp_port: int = Field(0, ge=0, le=65535, description="port for plain TCP clients; 0: none")
    tcp_pacing_ms: float = Field(0.0, ge=0, le=1000, description="between two messages to a TCP client")
    public_url: _HttpUrl = Field(
        "", description="http(s)://host[:port] of links, needed with SMTP; empty: the Host of each client"
    )
    websocket: str = Field("picows", pattern="^(picows|websockets)$", description="picows or websockets")
    trusted_proxies: list[_Network] = Field(
        [], description="networks whose X-Forwarded-For and PROXY headers are believed"
    )
    allowed_origins: list[_Origin] = Field(
        [], description="web pages that may connect, as https://chat.example; *: all; the edge's own always may"
    )
    ping_interval_seconds: float = Field(25.0, gt=0, description="between pings of a connection")
    pong_timeout_seconds: float = Field(10.0, gt=0, description="a connection that does not answer in time is closed")
    confirm_interval_seconds: float = Field(3.0, ge=0, description="between pings that confirm pushes")
    first_frame_seconds: float = Field(30.0, gt=0, description="a connection without a valid frame by then is closed")
    unauthenticated_seconds: float = Field(900.0, gt=0, description="a connection without a login by then is closed")
    request_seconds: float = Field(8.0, gt=0, description="after that a request is answered `unavailable`")
    outgoing_bytes: int = Field(
        1024 * 1024, ge=1, description="unsent bytes of one connection before it is closed (1013)"
    )
    incoming_frames: int = Field(
        256, ge=1, description="waiting frames of one connection; more stay unread for 1.5 s, and are rejected then"
    )
    incoming_bytes: int = Field(
        1024 * 1024, ge=1, description="bytes of waiting frames beyond which the socket is not read"
    )
    transfers_at_once: int = Field(200, ge=1, description="images and files being sent in packages; others wait")
    upload_idle_seconds: float = Field(60.0, gt=0, description="after which an incomplete image or file is given up")
    max_connections: int = Field(20_000, ge=1, description="more are closed (1013)")
    drain_seconds: float = Field(10.0, ge=0, description="over which connections are closed (1012) when the edge stops")
    lease_seconds: float = Field(10.0, gt=1, description="an edge that is silent for so long counts as dead")


class MediaSettings(_Section):
    """Storage of images and files: an S3 bucket if `bucket_url` is set, else `directory`."""

    directory: Path = Field(
        Path(".dragoman/media"),
        description="shared by all edges; with a bucket, each edge's own, for uploads in progress",
    )
    bucket_url: str = Field("", pattern=r"^(s3://[a-z0-9.-]+(/.*)?)?$", description="s3://bucket/prefix of files")
    endpoint: str = Field("", pattern="^(https?://.+)?$", description="http(s)://host:port of S3; empty: Amazon's")
    region: str = Field("", description="of the bucket; empty: AWS_REGION")
    access_key: SecretStr = Field(SecretStr(""), description="empty: AWS_ACCESS_KEY_ID, or the machine's role")
    secret_key: SecretStr = Field(SecretStr(""), description="of `access_key`")
    timeout_seconds: float = Field(30.0, gt=0, description="for storing or finding one file, and for each piece of it")


class Settings(BaseSettings):
    model_config = SettingsConfigDict(
        env_prefix="DRAGOMAN_",
        env_nested_delimiter="__",
        extra="forbid",
        frozen=True,
        nested_model_default_partial_update=True,
    )

    data: Path = Field(Path(".dragoman"), description="directory of the embedded servers, keys and outbox")
    nats: NatsSettings = NatsSettings()
    redis: RedisSettings = RedisSettings()
    database: DatabaseSettings = DatabaseSettings()
    ops: OpsSettings = OpsSettings()
    log: LogSettings = LogSettings()
    tracing: TracingSettings = TracingSettings()
    limits: LimitsSettings = LimitsSettings()
    verification: VerificationSettings = VerificationSettings()
    mail: MailSettings = MailSettings()
    auth: AuthSettings = AuthSettings()
    notices: NoticesSettings = NoticesSettings()
    message: MessageSettings = MessageSettings()
    edge: EdgeSettings = EdgeSettings()
    media: MediaSettings = MediaSettings()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only `load` reads the environment and files."""
        return (init_settings,)

    def database_url(self, service: str) -> str:
        """The SQLAlchemy URL of a service's own database; of message's, if it is one of several, that of this replica.
        Raises KeyError if message has several and none is chosen."""
        if service == "message" and self.message.databases:
            return self.message_database_urls()[self.message.database]
        return sqlalchemy_url(self.database.url.get_secret_value(), service)

    def message_database_urls(self) -> dict[str, str]:
        """The SQLAlchemy URLs of message's databases by name; the name is empty if there is one."""
        several = self.message.databases
        urls = {name: one.url for name, one in several.items()} if several else {"": self.database.url}
        return {name: sqlalchemy_url(url.get_secret_value(), "message") for name, url in urls.items()}


def load(file: Path | None, flags: Mapping[str, str]) -> tuple[Settings, dict[str, str]]:
    """Loads the settings, and the source of each one that is no default (a flag, the environment, the file's name).

    `flags` maps dotted names to values (lists as JSON). Raises pydantic.ValidationError; OSError or ValueError for a
    file that cannot be read.
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
        branch[leaf] = json.loads(value) if value.startswith("[") else value
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
