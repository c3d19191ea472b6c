"""The connections between the parts of a system, each through a proxy of its own that can harm it."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from functools import partial

from pydantic import SecretStr

from shared.settings import Settings
from tests.support.far_network import FarNetwork
from tests.support.proxy import TcpProxy
from tests.support.stack import ChangeSettings

CLIENTS = "clients"


class Links:
    """Proxies by the name of a process and of its server, as in ("edge-1", "nats"). ("edge-1", CLIENTS) is the proxy
    between clients and an edge."""

    proxied = True
    """Whether edges trust the proxies of clients."""

    def __init__(self) -> None:
        self._proxies: dict[tuple[str, str], TcpProxy] = {}

    async def connect(self, process: str, servers: Mapping[str, int]) -> ChangeSettings:
        """Opens the links of a process to its servers on these ports."""
        return partial(_reroute, ports={port: await self._open(process, name, port) for name, port in servers.items()})

    async def admit(self, edge: str, port: int) -> int:
        """Returns the port at which the clients' way to an edge begins."""
        return await self._open(edge, CLIENTS, port)

    async def _open(self, process: str, other: str, port: int) -> int:
        proxy = self._proxies[process, other] = TcpProxy(port)
        await proxy.start()
        return proxy.port

    def select(self, process: str, other: str) -> Iterator[TcpProxy]:
        """`process` is its name, or its service's name."""
        for (name, server), proxy in self._proxies.items():
            if server == other and process in (name, name.rpartition("-")[0]):
                yield proxy

    async def close(self) -> None:
        for proxy in self._proxies.values():
            await proxy.close()


class FarLinks(Links):
    """The clients of one edge are in a far network. All other connections are direct."""

    proxied = False

    def __init__(self, network: FarNetwork, edge: str) -> None:
        super().__init__()
        self.network = network
        self._edge = edge
        self._proxy = ExitStack()

    async def connect(self, process: str, servers: Mapping[str, int]) -> ChangeSettings:
        return _listen_everywhere

    async def admit(self, edge: str, port: int) -> int:
        return self._proxy.enter_context(self.network.proxy(port)) if edge == self._edge else port

    async def close(self) -> None:
        self._proxy.close()


def _listen_everywhere(settings: Settings) -> Settings:
    return settings.model_copy(update={"edge": settings.edge.model_copy(update={"host": "0.0.0.0"})})


def _reroute(settings: Settings, ports: Mapping[int, int]) -> Settings:
    """The settings with other ports of NATS, Valkey and PostgreSQL. Clients then come by proxies, too."""

    def moved(url: str) -> str:
        for real, first in ports.items():
            if f":{real}" in url:
                return url.replace(f":{real}", f":{first}")
        return url

    nats, redis, database = settings.nats, settings.redis, settings.database
    return settings.model_copy(
        update={
            "edge": settings.edge.model_copy(update={"trusted_proxies": ["127.0.0.1/32"]}),
            "nats": nats.model_copy(update={"url": moved(nats.url)}),
            "redis": redis.model_copy(update={"url": SecretStr(moved(redis.url.get_secret_value()))}),
            "database": database.model_copy(update={"url": SecretStr(moved(database.url.get_secret_value()))}),
        }
    )
