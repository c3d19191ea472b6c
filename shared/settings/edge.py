"""Settings of the edge: its ports, connections and clients."""

import re

from pydantic import Field, SecretStr, field_validator

from shared.setting_types import Host, HttpUrl, Network, Origin, SettingsSection, WebOrigin


class EdgeSettings(SettingsSection):
    name: str = Field(
        "edge-1",
        pattern="^[A-Za-z0-9_-]{1,64}$",
        description="name of this edge, different from those of all other edges",
    )
    host: Host = Field("127.0.0.1", description="address or name that clients connect to; 0.0.0.0: all addresses")
    port: int = Field(8080, ge=0, le=65535, description="port that clients connect to")
    tcp_port: int = Field(0, ge=0, le=65535, description="port for plain TCP clients; 0: none")
    dialects: list[str] = Field(
        [], description="protocols that clients may use, such as ourchat-v2; empty: all of them"
    )
    tls_certificate: str = Field("", description="file with the certificate for both ports; empty: no TLS")
    tls_key: str = Field("", description="file with the certificate's key; empty: it is in the same file")
    redirect_to_tls: bool = Field(
        False, description="pages requested by http:// redirect to https://; WebSockets, files and avatars never do"
    )
    hsts_seconds: int = Field(
        0, ge=0, description="time for which browsers must use only https:// for this host; 0: no such demand"
    )
    tcp_pacing_ms: float = Field(0.0, ge=0, le=1000, description="pause between two messages to a TCP client")
    public_url: HttpUrl = Field(
        "", description="http(s)://host[:port][/path] in links, needed with SMTP; empty: each client's Host header"
    )
    trusted_proxies: list[Network] = Field(
        [], description="networks of proxies whose X-Forwarded-For and PROXY headers are trusted"
    )
    allowed_origins: list[Origin] = Field(
        [], description="origins of web pages that may connect, besides the edge's own: https://chat.example; *: all"
    )
    chat: bool = Field(True, description="serve the web client at /chat")
    chat_embedders: list[WebOrigin] = Field(
        [], description="origins of web pages that may show the web client in a frame: https://intranet.example"
    )
    ping_interval_seconds: float = Field(25.0, gt=0, description="time between pings of a connection")
    pong_timeout_seconds: float = Field(
        10.0, gt=0, description="a connection that does not answer a ping within this time is closed"
    )
    confirm_interval_seconds: float = Field(
        3.0, ge=0, description="time between pings, whose answers confirm pushed messages"
    )
    handling_seconds: float = Field(
        1.0, ge=0, description="messages that a browser received within this time before its close frame stay unread"
    )
    first_frame_seconds: float = Field(
        30.0, gt=0, description="time until a connection without a valid frame is closed"
    )
    unauthenticated_seconds: float = Field(900.0, gt=0, description="time until a connection without a login is closed")
    request_seconds: float = Field(
        8.0, gt=0, description="a request is answered with `unavailable` if it has no result within this time"
    )
    outgoing_bytes: int = Field(
        1024 * 1024, ge=1, description="unsent bytes of one connection; with more it is closed (1013)"
    )
    incoming_frames: int = Field(
        256, ge=1, description="waiting frames of one connection; more stay unread for 1.5 s and are then rejected"
    )
    incoming_bytes: int = Field(
        1024 * 1024, ge=1, description="bytes of waiting frames of one connection; with more its socket is not read"
    )
    transfers_at_once: int = Field(
        200, ge=1, description="images and files sent in packages at the same time; others wait"
    )
    upload_idle_seconds: float = Field(
        60.0, gt=0, description="an incomplete image or file is dropped after this time without new data"
    )
    max_connections: int = Field(20_000, ge=1, description="connections of this edge; more are closed (1013)")
    demo: str = Field(
        "auto",
        pattern="^(auto|on|off)$",
        description="serve the first page; auto: if started by `dragoman up`, on loopback",
    )
    supervisor_port: int = Field(
        0, ge=0, le=65535, description="port of the supervisor; `dragoman up` sets it for the first page"
    )
    drain_seconds: float = Field(
        10.0, ge=0, description="a stopping edge closes its connections (1012) spread over this time"
    )
    audited_accounts_per_second: float = Field(
        2.0, ge=0, description="accounts checked for lost messages per second; 0: none"
    )
    audit_interval_seconds: float = Field(
        3600.0, ge=1, description="shortest time between two checks of one account for lost messages"
    )
    lease_seconds: float = Field(10.0, gt=1, description="an edge counts as dead after this time without a heartbeat")

    @property
    def has_https(self) -> bool:
        """Whether links to this installation begin with https. Browsers need this to subscribe to notifications."""
        return self.public_url.startswith("https://")


class IrcSettings(SettingsSection):
    """Settings of the dialect `irc`."""

    name: str = Field(
        "irc.dragoman.local", pattern=r"^[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+$", max_length=40,
        description="name of the server that IRC clients see; users' host names end with it",
    )  # fmt: skip
    port: int = Field(0, ge=0, le=65535, description="port for IRC without TLS; 0: none")
    host: Host = Field("127.0.0.1", description="address of `irc.port`")
    tls_port: int = Field(0, ge=0, le=65535, description="port for IRC with TLS; 0: none")
    description: str = Field("Dragoman", max_length=100, description="text about the server in LINKS and WHOIS")
    icon: str = Field(
        "", pattern=r"^(https://[!-:<>-~]+)?$", max_length=200,
        description="address of a picture of the server, which IRC clients show (draft/ICON)",
    )  # fmt: skip
    guests: bool = Field(False, description="a user without an account may visit as a guest, until the connection ends")
    guest_password: SecretStr = Field(SecretStr(""), description="password that guests give to the server")
    create: str = Field(
        "all", pattern="^(all|accounts|operators)$",
        description="users whose JOIN creates groups: all, accounts (no guests), operators",
    )  # fmt: skip
    delivery_reads: bool = Field(False, description="messages that an IRC client has received count as read")
    past_guests: int = Field(100, ge=0, le=10_000, description="guests that WHOWAS remembers")
    operators: list[str] = Field(
        [], description="usernames of operators of IRC: OPER with their password permits KILL and WALLOPS"
    )

    sts_port: int = Field(
        0, ge=0, le=65535,
        description="port with TLS to which IRC clients without TLS must move (STS); 0: none",
    )  # fmt: skip
    sts_seconds: int = Field(0, ge=0, description="time for which IRC clients then insist on a valid certificate (STS)")

    @property
    def sts_policy(self) -> str:
        """The value of the capability `sts`; empty: there is none. A client without TLS obeys the port, one with TLS
        the duration."""
        return f"port={self.sts_port},duration={self.sts_seconds}" if self.sts_port else ""

    @field_validator("guest_password")
    @classmethod
    def _check_guest_password(cls, value: SecretStr) -> SecretStr:
        """Checks the password of guests. It has no colon, because the IRC command PASS with a colon names an
        account."""
        if not re.fullmatch(r"[^:\0\r\n]{0,200}", value.get_secret_value()):
            raise ValueError("irc.guest_password must be one line of at most 200 characters without a colon")
        return value
