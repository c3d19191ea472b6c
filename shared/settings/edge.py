"""The edge's ports, connections and clients."""

from pydantic import Field

from shared.setting_types import Host, HttpUrl, Network, Origin, SettingsSection


class EdgeSettings(SettingsSection):
    name: str = Field("edge-1", pattern="^[A-Za-z0-9_-]{1,64}$", description="unique name of this edge")
    host: Host = Field("127.0.0.1", description="address or name that clients connect to; 0.0.0.0: all addresses")
    port: int = Field(8080, ge=0, le=65535, description="port clients connect to")
    tcp_port: int = Field(0, ge=0, le=65535, description="port for plain TCP clients; 0: none")
    dialects: list[str] = Field([], description="that clients may speak, as ourchat-v2; empty: all of them")
    tls_certificate: str = Field("", description="file of the certificate of both ports; empty: no TLS")
    tls_key: str = Field("", description="file of its key; empty: it is in the same file")
    redirect_to_tls: bool = Field(
        False, description="pages by http:// lead to https://; never WebSockets, files and avatars"
    )
    hsts_seconds: int = Field(0, ge=0, description="browsers then use https:// alone for this host; 0: not demanded")
    tcp_pacing_ms: float = Field(0.0, ge=0, le=1000, description="between two messages to a TCP client")
    public_url: HttpUrl = Field(
        "", description="http(s)://host[:port] of links and pages, needed with SMTP; empty: the Host of each client"
    )
    trusted_proxies: list[Network] = Field(
        [], description="networks whose X-Forwarded-For and PROXY headers are believed"
    )
    allowed_origins: list[Origin] = Field(
        [], description="web pages that may connect, beside those of the edge: https://chat.example; *: all"
    )
    ping_interval_seconds: float = Field(25.0, gt=0, description="between pings of a connection")
    pong_timeout_seconds: float = Field(10.0, gt=0, description="a connection that does not answer in time is closed")
    confirm_interval_seconds: float = Field(3.0, ge=0, description="between pings that confirm pushes")
    handling_seconds: float = Field(
        1.0, ge=0, description="what reached a web page's machine so shortly before its close frame stays unread"
    )
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
    audit_interval_seconds: float = Field(300.0, ge=1, description="an account is not audited more often")
    lease_seconds: float = Field(10.0, gt=1, description="an edge that is silent for so long counts as dead")
