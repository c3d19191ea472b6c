"""The plan of `dragoman up`. Its pure functions make processes and their environments from the settings."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr

from local import valkey
from local.credentials import Credentials
from local.fork_server import COMMAND
from local.nats import SETUP
from local.options import variable
from local.settings_table import leaves
from shared.settings import Settings
from shared.settings.edge import EdgeSettings
from shared.settings.servers import NatsSettings

SERVICES = ("auth", "session", "message")
_LOOPBACK = ("127.0.0.1", "::1", "localhost")
_PREFIX = "DRAGOMAN_"
_DRAIN_SECONDS = 2.0
"""The time for draining an edge. It is short, because the whole system stops, and the clients have no other edge to
connect to."""
_ESCAPED = {ord(character): f"%{ord(character):02X}" for character in "%?{}"}
"""The characters of a path that have another meaning in the URL of a database."""


def defaults(data: Path, edge: EdgeSettings) -> dict[str, str]:
    """The settings that `up` uses unless the user sets them."""
    values = {
        "database.url": f"sqlite:///{str(data).translate(_ESCAPED)}/{{service}}.db",
        "mail.outbox": str(data / "outbox"),
        "auth.keys": str(data / "keys"),
        "media.directory": str(data / "media"),
        "search.directory": str(data / "search"),
        "edge.drain_seconds": str(_DRAIN_SECONDS),
    }
    # without a fixed port, links contain the host from the Host header of the connection
    if edge.host in _LOOPBACK and edge.port:
        values["edge.public_url"] = f"{_scheme('http', edge)}://{authority(edge.host, edge.port)}"
    return values


@dataclass(frozen=True)
class PlannedProcess:
    """A process of the product, which is a service or an edge. `port`: its port for clients with WebSockets.
    `tcp_port`: its port for clients with plain TCP. Both are 0 if it does not have such a port."""

    name: str
    service: str
    ops: int
    port: int = 0
    tcp_port: int = 0

    @property
    def command(self) -> list[str]:
        return [*COMMAND, self.service]


@dataclass(frozen=True)
class UpPlan:
    """`nats_port` and `valkey_port` are the ports of the embedded servers, or 0 if an external server is used."""

    settings: Settings
    credentials: Credentials
    nats_port: int
    valkey_port: int
    processes: tuple[PlannedProcess, ...]
    control_port: int = 0
    """The port on which the supervisor answers the first page, or 0 if it does not."""
    dashboard_port: int = 0
    """The port on loopback of the dashboard of the whole system, or 0 without a dashboard."""

    @property
    def first_page(self) -> str:
        """The address of the first page. It is empty if the edges do not serve the page."""
        edge = self.settings.edge
        is_end_to_end = bool(self.nats_port) and edge.host in _LOOPBACK
        served = is_end_to_end if edge.demo == "auto" else edge.demo == "on"
        return f"{_scheme('http', edge)}://{authority(self._host, self.edges[0].port)}/" if served else ""

    @property
    def linked_dashboard(self) -> int:
        """The dashboard's port, if the browsers that show the first page can certainly reach it. Otherwise 0, for
        example in a container."""
        return self.dashboard_port if self.settings.edge.host in _LOOPBACK else 0

    @property
    def edges(self) -> list[PlannedProcess]:
        return [part for part in self.processes if part.service == "edge"]

    def address(self, edge: PlannedProcess) -> str:
        """The URL by which clients connect to an edge."""
        return f"{_scheme('ws', self.settings.edge)}://{authority(self._host, edge.port)}"

    def tcp_address(self, edge: PlannedProcess) -> str:
        """The URL for clients with plain TCP. It is empty if the edge has no such port."""
        return f"tcp://{authority(self._host, edge.tcp_port)}" if edge.tcp_port else ""

    def irc_ports(self, edge: PlannedProcess) -> tuple[int, int]:
        """The ports of an edge for IRC without and with TLS, or 0. The ports of the edges are consecutive."""
        number, irc = self.edges.index(edge), self.settings.irc
        return irc.port and irc.port + number, irc.tls_port and irc.tls_port + number

    def irc_addresses(self, edge: PlannedProcess) -> list[str]:
        """The URLs for IRC alone."""
        places = zip(("irc", "ircs"), (self.settings.irc.host, self._host), self.irc_ports(edge), strict=True)
        return [f"{scheme}://{authority(host, port)}" for scheme, host, port in places if port]

    def _origins(self) -> list[str]:
        """The origins of the pages of all edges, because a page of one edge may connect to another edge."""
        hosts = dict.fromkeys((self._host, *_LOOPBACK) if self._host in _LOOPBACK else (self._host,))
        scheme = _scheme("http", self.settings.edge)
        return [f"{scheme}://{authority(host, edge.port)}" for edge in self.edges for host in hosts]

    @property
    def _host(self) -> str:
        host = self.settings.edge.host
        return "127.0.0.1" if host in ("0.0.0.0", "::") else host  # noqa: S104

    def nats(self, user: str) -> NatsSettings:
        """The settings of NATS for this user."""
        if not self.nats_port:
            return self.settings.nats
        return self.settings.nats.model_copy(
            update={
                "url": f"nats://127.0.0.1:{self.nats_port}",
                "user": user,
                "password": SecretStr(self.credentials.nats[user]),
            }
        )

    @property
    def setup(self) -> NatsSettings:
        return self.nats(SETUP)

    def environment(self, part: PlannedProcess, inherited: Mapping[str, str] = os.environ) -> dict[str, str]:
        """The environment of a process. It has the inherited variables, but the variables DRAGOMAN_… are replaced by
        the resolved settings."""
        settings, redis = self.settings, self.settings.redis
        if self.valkey_port and part.service in self.credentials.valkey:
            url = valkey.url(self.valkey_port, part.service, self.credentials.valkey[part.service])
            redis = redis.model_copy(update={"url": SecretStr(url)})
        update = {
            "nats": self.nats(part.service),
            "redis": redis,
            "ops": settings.ops.model_copy(update={"port": part.ops}),
            "log": settings.log.model_copy(update={"json_lines": False}),
        }
        if part.service == "session" and not settings.push.key.get_secret_value():
            update["push"] = settings.push.model_copy(update={"key": SecretStr(self.credentials.push_key)})
        if part.port:
            origins = [*settings.edge.allowed_origins, *self._origins()]
            own = {"name": part.name, "port": part.port, "tcp_port": part.tcp_port, "allowed_origins": origins}
            demo = {
                "demo": "on" if self.first_page else "off",
                "supervisor_port": self.control_port if self.first_page else 0,
            }
            update["edge"] = settings.edge.model_copy(update=own | demo)
            port, tls_port = self.irc_ports(part)
            update["irc"] = settings.irc.model_copy(update={"port": port, "tls_port": tls_port})
        others = {name: value for name, value in inherited.items() if not name.startswith(_PREFIX)}
        return others | variables(settings.model_copy(update=update))


def variables(settings: Settings) -> dict[str, str]:
    """The environment variables from which these settings can be loaded."""
    plain = {name: value for name, value, _ in leaves(Settings())}
    return {variable(name): _text(value) for name, value, _ in leaves(settings) if value != plain[name]}


def _scheme(plain: str, edge: EdgeSettings) -> str:
    return f"{plain}s" if edge.tls_certificate else plain


def authority(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _text(value: object) -> str:
    match value:
        case SecretStr():
            return value.get_secret_value()
        case list() | bool():
            return json.dumps(value)
        case dict():
            return json.dumps(
                {name: {leaf: _text(one) for leaf, one, _ in leaves(section)} for name, section in value.items()}
            )
        case _:
            return str(value)
