"""All settings with their defaults."""

import re
from pathlib import Path

from pydantic import Field, SecretStr, ValidationInfo, field_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from shared.database_urls import place_of, sqlalchemy_url, with_tls
from shared.placement import check_map, parse_ranges
from shared.setting_types import (
    BrokerUrl,
    CollectorUrl,
    DatabaseName,
    DatabaseUrl,
    HttpUrl,
    Language,
    Network,
    Origin,
    PartitionRanges,
    RedisUrl,
    SettingsSection,
    TlsCa,
    TlsCertificate,
    TlsKey,
)


class NatsSettings(SettingsSection):
    """The broker. `user` and `password` are this service's own."""

    url: BrokerUrl = Field("nats://127.0.0.1:4222", description="one address, or several joined by commas")
    user: str = Field("", description="empty: the user in the address")
    password: SecretStr = Field(SecretStr(""), description="of `user`")
    connect_timeout_seconds: float = Field(5.0, gt=0, description="for one attempt; attempts are repeated")
    replicas: int = Field(1, ge=1, le=5, description="JetStream replicas of the event stream (3 on a cluster)")
    tls_name: str = Field("", description="name in the server's certificate; empty: the host in `url`")
    tls_ca: TlsCa = ""
    tls_certificate: TlsCertificate = ""
    tls_key: TlsKey = ""


class RedisSettings(SettingsSection):
    """Presence and limits. The URL may hold the service's own user and password."""

    url: RedisUrl = Field(SecretStr("redis://127.0.0.1:6379/0"), description="redis[s]://user:password@host:port/0")
    timeout_seconds: float = Field(0.5, gt=0, description="then presence counts as unknown")
    tls_ca: TlsCa = ""
    tls_certificate: TlsCertificate = ""
    tls_key: TlsKey = ""

    @field_validator("tls_ca")
    @classmethod
    def _check_tls(cls, value: str, info: ValidationInfo) -> str:
        url: SecretStr | None = info.data.get("url")
        if value and url is not None and not url.get_secret_value().startswith("rediss://"):
            raise ValueError("redis.url should begin with rediss://, since redis.tls_ca is set")
        return value


class DatabaseSettings(SettingsSection):
    """One URL for all services: {service} in it is replaced by the service's name. Without the placeholder, each
    service uses a PostgreSQL schema of its name."""

    url: DatabaseUrl = Field(
        SecretStr("sqlite:///.dragoman/{service}.db"),
        description="sqlite:///path or postgresql://user:password@host/name",
    )
    pool_size: int = Field(8, ge=1, description="connections of one process (PostgreSQL)")
    tls_ca: TlsCa = ""
    tls_certificate: TlsCertificate = ""
    tls_key: TlsKey = ""


class OpsSettings(SettingsSection):
    """The operations port of a service (health, metrics); never the clients' port."""

    host: str = Field("127.0.0.1", description="address of the operations port")
    port: int = Field(0, ge=0, le=65535, description="0: any free port")
    allowed_hosts: list[str] = Field(
        [], description="names by which it may be called, beside addresses, names without a dot and those of a cluster"
    )


class LogSettings(SettingsSection):
    level: str = Field("info", pattern="^(debug|info|warning|error|critical)$", description="from debug to critical")
    json_lines: bool = Field(True, description="one JSON object a line; false: for reading on a terminal")


class TracingSettings(SettingsSection):
    """Spans for a collector of OpenTelemetry's (OTLP by HTTP); off without an `endpoint`."""

    endpoint: CollectorUrl = Field("", description="http(s)://host:4318 of the collector; empty: no tracing")
    sample_ratio: float = Field(1.0, ge=0, le=1, description="share of ticks and requests that is traced")


class LimitsSettings(SettingsSection):
    rates: bool = Field(True, description="rate limits on (sizes are always limited)")
    requests_per_second: float = Field(50.0, gt=0, description="per connection and per account")
    requests_burst: int = Field(200, ge=1, description="requests at once, before the rate applies")
    page_requests_per_second: float = Field(500.0, gt=0, description="per address: files, avatars, links; more get 429")
    page_requests_burst: int = Field(10_000, ge=1, description="such requests at once, before the rate applies")
    links_per_second: float = Field(10.0, gt=0, description="per address: links of mails alone, which auth looks up")
    links_burst: int = Field(200, ge=1, description="links at once, before the rate applies")
    control_frames_per_second: float = Field(
        20.0, gt=0, description="pings, pongs and small fragments of a connection; more close it (1008)"
    )
    control_frames_burst: int = Field(500, ge=1, description="control frames at once, before the rate applies")
    received_bytes_per_second: int = Field(8 * 1024 * 1024, ge=1, description="of a connection; a faster one waits")
    receiving_bytes: int = Field(
        256 * 1024 * 1024, ge=1, description="incomplete messages of all connections of an edge; more are closed (1013)"
    )
    connections_per_address: int = Field(2_000, ge=1, description="open at one edge; more are closed (1013 or 429)")
    connections_per_account: int = Field(100, ge=1, description="logged in at one edge; more logins are rejected")
    new_connections_per_second: float = Field(100.0, gt=0, description="per address; more are closed (1013)")
    new_connections_burst: int = Field(2_000, ge=1, description="connections at once, before the rate applies")
    registrations_per_minute: int = Field(5, ge=1, description="per address")
    failed_logins_per_address: int = Field(20, ge=1, description="in 10 minutes")
    failed_logins_per_account: int = Field(5, ge=1, description="in 10 minutes, per address, for each identifier")
    failed_recoveries_per_account: int = Field(10, ge=1, description="wrong answers in a day, over all addresses")
    mails_per_address: int = Field(20, ge=1, description="verification mails per address, in 10 minutes")
    searches_per_account: int = Field(100, ge=1, description="for other users by their names, in 10 minutes")
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
    blocks_per_account: int = Field(1_000, ge=1, le=10_000, description="accounts that an account blocks")
    links_per_group: int = Field(100, ge=1, le=1_000, description="by which accounts join a group")
    bans_per_group: int = Field(1_000, ge=1, le=10_000, description="accounts that a group bans")
    silenced_per_group: int = Field(500, ge=1, le=1_000, description="silenced members of a group")
    address_url_bytes: int = Field(2 * 1024, ge=1, description="length of an avatar's address")
    file_bytes: int = Field(100 * 1024 * 1024, ge=1, description="size of an image or file")


class VerificationSettings(SettingsSection):
    """Verification of e-mail addresses (v2: 13, 14, 15)."""

    registration: bool = Field(False, description="every registration must be verified")
    after_failed_logins: int = Field(0, ge=0, description="verify a login after so many failed ones; 0: never")
    time_limit_seconds: float = Field(600.0, gt=0, description="life of a mailed link")
    confirm_button: bool = Field(
        False, description="a mailed link shows a button that verifies; false: opening the link does"
    )


class MailSettings(SettingsSection):
    """Mail: to an SMTP server if `smtp_host` is set, else to files in `outbox`."""

    smtp_host: str = Field("", description="mail server; empty: files in `outbox`")
    smtp_port: int = Field(587, ge=1, le=65535, description="of the mail server")
    smtp_user: str = Field("", description="empty: no login")
    smtp_password: SecretStr = Field(SecretStr(""), description="of `smtp_user`")
    smtp_security: str = Field("starttls", pattern="^(starttls|tls|none)$", description="starttls, tls or none")
    smtp_timeout_seconds: float = Field(10.0, gt=0, description="then the mail is retried later")
    sender: str = Field("Dragoman <no-reply@localhost>", description="From of every mail")
    outbox: Path = Field(Path(".dragoman/outbox"), description="directory of mails as .eml files")


class AuthSettings(SettingsSection):
    keys: Path = Field(Path(".dragoman/keys"), description="directory of Ed25519 private keys, <kid>.pem")
    issuer: str = Field("dragoman", description="`iss` of tokens")
    audience: str = Field("dragoman", description="`aud` of tokens")
    legacy_token_days: float = Field(30.0, gt=0, description="life of tokens that are never refreshed")
    hash_threads: int = Field(2, ge=1, description="argon2 hashes at the same time")
    hash_queue: int = Field(256, ge=1, description="logins waiting for a hash; more are rejected as unavailable")
    argon2_memory_kib: int = Field(19_456, ge=8, description="memory of one password hash")
    argon2_iterations: int = Field(2, ge=1, description="passes of one password hash")
    password_min_characters: int = Field(
        0, ge=0, le=128, description="of a new plain password; clients may send hashes, of which nothing is known"
    )
    sessions_per_account: int = Field(
        0, ge=0, description="logins of an account at once; a further one ends the oldest; 0: any number"
    )
    refuse_common_passwords: bool = Field(False, description="new plain passwords must not be among the most common")
    audit_days: float = Field(90.0, gt=0, description="life of entries in the audit trail (`dragoman admin audit`)")
    recovery: bool = Field(True, description="accounts can be recovered by the answer to a security question")
    lobby: bool = Field(True, description="v0 accounts belong to the public lobby, chat 1")


class CalloutSettings(SettingsSection):
    """For auth: it grants each process of an edge the subjects of its own node (`dragoman secrets --edges`)."""

    key: SecretStr = Field(
        SecretStr(""), description="64 hexadecimal digits; signs grants for nats-server; empty: none are given"
    )
    edge_password_sha256: str = Field(
        "", pattern="^([0-9a-f]{64})?$", description="of the random password that all edges share"
    )

    @field_validator("key")
    @classmethod
    def _check_key(cls, value: SecretStr) -> SecretStr:
        if not re.fullmatch("([0-9a-f]{64})?", value.get_secret_value()):
            raise ValueError("callout.key should be 64 hexadecimal digits")
        return value


class NoticesSettings(SettingsSection):
    """Notices of the operator to users (`dragoman admin notice`)."""

    name: str = Field(
        "Dragoman",
        pattern=r"^[^\s\p{C}|]([^\p{C}|]{0,62}[^\s\p{C}|])?$",
        description="nickname of the system account that sends them",
    )


class MessageDatabase(SettingsSection):
    """One of several databases of message. `partitions`: at first; then the database says which ones it serves."""

    url: DatabaseUrl
    partitions: PartitionRanges = ""


class MessageSettings(SettingsSection):
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
    databases: dict[DatabaseName, MessageDatabase] = Field(
        {},
        description="several databases: for each name its `url`, and at first its `partitions`, as in 0-127; "
        "empty: one database, `database.url`",
    )
    database: str = Field("", description="the one of message.databases that a replica works on")
    retention_days: float = Field(0.0, ge=0, description="life of a message's content; 0: for ever")
    edit_seconds: float = Field(172_800.0, ge=0, description="a sender may edit a message for so long; 0: never")
    recall_seconds: float = Field(172_800.0, ge=0, description="a sender may recall a message for so long; 0: never")
    search: bool = Field(True, description="users search their chats; false: the index is deleted")

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


class EdgeSettings(SettingsSection):
    name: str = Field("edge-1", pattern="^[A-Za-z0-9_-]{1,64}$", description="unique name of this edge")
    host: str = Field("127.0.0.1", description="address clients connect to")
    port: int = Field(8080, ge=0, le=65535, description="port clients connect to")
    tcp_port: int = Field(0, ge=0, le=65535, description="port for plain TCP clients; 0: none")
    tls_certificate: str = Field("", description="file of the certificate of both ports; empty: no TLS")
    tls_key: str = Field("", description="file of its key; empty: it is in the same file")
    redirect_to_tls: bool = Field(
        False, description="pages by http:// lead to https://; never WebSockets, files and avatars"
    )
    hsts_seconds: int = Field(0, ge=0, description="browsers then use https:// alone for this host; 0: not demanded")
    tcp_pacing_ms: float = Field(0.0, ge=0, le=1000, description="between two messages to a TCP client")
    public_url: HttpUrl = Field(
        "", description="http(s)://host[:port] of links, needed with SMTP; empty: the Host of each client"
    )
    websocket: str = Field("picows", pattern="^(picows|websockets)$", description="picows or websockets")
    trusted_proxies: list[Network] = Field(
        [], description="networks whose X-Forwarded-For and PROXY headers are believed"
    )
    allowed_origins: list[Origin] = Field(
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
    demo: str = Field("auto", pattern="^(auto|on|off)$", description="the first page; auto: under `up`, on loopback")
    supervisor_port: int = Field(0, ge=0, le=65535, description="of `dragoman up`, which sets it for the first page")
    drain_seconds: float = Field(10.0, ge=0, description="over which connections are closed (1012) when the edge stops")
    audited_accounts_per_second: float = Field(
        2.0, ge=0, description="whose messages are compared with message's read state, to count lost ones; 0: none"
    )
    lease_seconds: float = Field(10.0, gt=1, description="an edge that is silent for so long counts as dead")


class MediaSettings(SettingsSection):
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
    account_bytes_per_day: int = Field(0, ge=0, description="that an account may store; 0: any number")
    total_bytes: int = Field(0, ge=0, description="that all files may take together; 0: any number")
    retention_days: float = Field(
        0.0, ge=0, description="life of a file, save for avatars; 0: as message.retention_days"
    )
    unposted_days: float = Field(
        0.0, ge=0, description="life of a file that no message or profile shows; 0: as any other"
    )


class Settings(BaseSettings):
    model_config = SettingsConfigDict(
        env_prefix="DRAGOMAN_",
        env_nested_delimiter="__",
        extra="forbid",
        frozen=True,
        nested_model_default_partial_update=True,
    )

    data: Path = Field(Path(".dragoman"), description="directory of the embedded servers, keys and outbox")
    language: Language = Field(
        "zh", description="of the server's texts for users, such as [图片], mails and pages: zh or en"
    )
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
    callout: CalloutSettings = CalloutSettings()
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
        return self._sqlalchemy_url(self.database.url, service)

    def message_database_urls(self) -> dict[str, str]:
        """The SQLAlchemy URLs of message's databases by name; the name is empty if there is one."""
        several = self.message.databases
        urls = {name: one.url for name, one in several.items()} if several else {"": self.database.url}
        return {name: self._sqlalchemy_url(url, "message") for name, url in urls.items()}

    def _sqlalchemy_url(self, url: SecretStr, service: str) -> str:
        return with_tls(sqlalchemy_url(url.get_secret_value(), service), self.database)
