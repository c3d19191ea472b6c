"""Settings of the edge: its ports, connections and clients."""

import re

from pydantic import SecretStr, field_validator

from shared.setting_types import Host, HttpUrl, Network, Origin, SettingsSection, WebOrigin, setting

LONGEST_DRAIN_SECONDS = 60.0
"""Compose, Kubernetes and systemd wait longer than this before they kill an edge."""


class EdgeSettings(SettingsSection):
    name: str = setting(
        "edge-1", "name of this edge, different from those of all other edges", pattern="^[A-Za-z0-9_-]{1,64}$"
    )
    host: Host = setting("127.0.0.1", "address or name that clients connect to; 0.0.0.0: all addresses")
    port: int = setting(8080, "port that clients connect to", ge=0, le=65535)
    tcp_port: int = setting(0, "port for plain TCP clients; 0: none", ge=0, le=65535)
    dialects: list[str] = setting([], "protocols that clients may use, such as ourchat-v2; empty: all of them")
    tls_certificate: str = setting("", "file with the certificate for both ports; empty: no TLS")
    tls_key: str = setting("", "file with the certificate's key; empty: it is in the same file")
    redirect_to_tls: bool = setting(
        False, "pages requested by http:// redirect to https://; WebSockets, files and avatars never do"
    )
    hsts_seconds: int = setting(
        0, "time for which browsers must use only https:// for this host; 0: no such demand", ge=0
    )
    tcp_pacing_ms: float = setting(0.0, "pause between two messages to a TCP client", ge=0, le=1000)
    public_url: HttpUrl = setting(
        "", "http(s)://host[:port][/path] in links, needed with SMTP; empty: each client's Host header"
    )
    trusted_proxies: list[Network] = setting(
        [], "networks of proxies whose X-Forwarded-For and PROXY headers are trusted"
    )
    allowed_origins: list[Origin] = setting(
        [], "origins of web pages that may connect, besides the edge's own: https://chat.example; *: all"
    )
    chat: bool = setting(True, "serve the web client at /chat")
    chat_embedders: list[WebOrigin] = setting(
        [], "origins of web pages that may show the web client in a frame: https://intranet.example"
    )
    ping_interval_seconds: float = setting(25.0, "time between pings of a connection", gt=0)
    pong_timeout_seconds: float = setting(
        10.0, "a connection that does not answer a ping within this time is closed", gt=0
    )
    confirm_interval_seconds: float = setting(3.0, "time between pings, whose answers confirm pushed messages", ge=0)
    handling_seconds: float = setting(
        1.0, "messages that a browser received within this time before its close frame stay unread", ge=0
    )
    first_frame_seconds: float = setting(30.0, "time until a connection without a valid frame is closed", gt=0)
    unauthenticated_seconds: float = setting(900.0, "time until a connection without a login is closed", gt=0)
    request_seconds: float = setting(
        8.0, "a request is answered with `unavailable` if it has no result within this time", gt=0
    )
    outgoing_bytes: int = setting(1024 * 1024, "unsent bytes of one connection; with more it is closed (1013)", ge=1)
    incoming_frames: int = setting(
        256, "waiting frames of one connection; more stay unread for 1.5 s and are then rejected", ge=1
    )
    incoming_bytes: int = setting(
        1024 * 1024, "bytes of waiting frames of one connection; with more its socket is not read", ge=1
    )
    transfers_at_once: int = setting(200, "images and files sent in packages at the same time; others wait", ge=1)
    upload_idle_seconds: float = setting(
        60.0, "an incomplete image or file is dropped after this time without new data", gt=0
    )
    max_connections: int = setting(20_000, "connections of this edge; more are closed (1013)", ge=1)
    demo: str = setting(
        "auto", "serve the first page; auto: if started by `dragoman up`, on loopback", pattern="^(auto|on|off)$"
    )
    supervisor_port: int = setting(
        0, "port of the supervisor; `dragoman up` sets it for the first page", ge=0, le=65535
    )
    drain_seconds: float = setting(
        10.0,
        "a stopping edge closes its connections (1012) spread over this time, at most 60 seconds",
        ge=0,
        le=LONGEST_DRAIN_SECONDS,
    )
    audited_accounts_per_second: float = setting(2.0, "accounts checked for lost messages per second; 0: none", ge=0)
    audit_interval_seconds: float = setting(
        3600.0, "shortest time between two checks of one account for lost messages", ge=1
    )
    lease_seconds: float = setting(10.0, "an edge counts as dead after this time without a heartbeat", gt=1)

    @property
    def has_https(self) -> bool:
        """Whether links to this installation begin with https. Browsers need this to subscribe to notifications."""
        return self.public_url.startswith("https://")


class IrcSettings(SettingsSection):
    """Settings of the dialect `irc`."""

    name: str = setting(
        "irc.dragoman.local",
        "name of the server that IRC clients see; users' host names end with it",
        pattern=r"^[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+$",
        max_length=40,
    )
    port: int = setting(0, "port for IRC without TLS; 0: none", ge=0, le=65535)
    host: Host = setting("127.0.0.1", "address of `irc.port`")
    tls_port: int = setting(0, "port for IRC with TLS; 0: none", ge=0, le=65535)
    description: str = setting("Dragoman", "text about the server in LINKS and WHOIS", max_length=100)
    icon: str = setting(
        "",
        "address of a picture of the server, which IRC clients show (draft/ICON)",
        pattern=r"^(https://[!-:<>-~]+)?$",
        max_length=200,
    )
    guests: bool = setting(False, "a user without an account may visit as a guest, until the connection ends")
    guest_password: SecretStr = setting(SecretStr(""), "password that guests give to the server")
    create: str = setting(
        "all",
        "users whose JOIN creates groups: all, accounts (no guests), operators",
        pattern="^(all|accounts|operators)$",
    )
    delivery_reads: bool = setting(False, "messages that an IRC client has received count as read")
    past_guests: int = setting(100, "guests that WHOWAS remembers", ge=0, le=10_000)
    operators: list[str] = setting(
        [], "usernames of operators of IRC: OPER with their password permits KILL and WALLOPS"
    )

    sts_port: int = setting(
        0, "port with TLS to which IRC clients without TLS must move (STS); 0: none", ge=0, le=65535
    )
    sts_seconds: int = setting(0, "time for which IRC clients then insist on a valid certificate (STS)", ge=0)

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
