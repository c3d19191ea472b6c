"""The connections between the parts of a system. Each connection has its own proxy, which can disturb it."""

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
    """Proxies, by the name of a process and the name of its server, such as ("edge-1", "nats").

    The proxy between clients and an edge is ("edge-1", CLIENTS).
    """

    proxied = True
    """Whether edges trust the proxies between them and the clients."""

    def __init__(self) -> None:
        self._proxies: dict[tuple[str, str], TcpProxy] = {}

    async def connect(self, process: str, servers: Mapping[str, int]) -> ChangeSettings:
        """Opens proxies between a process and its servers, which listen on these ports."""
        return partial(_reroute, ports={port: await self._open(process, name, port) for name, port in servers.items()})

    async def admit(self, edge: str, port: int) -> int:
        """Opens a proxy between clients and an edge. Returns the port to which clients connect."""
        return await self._open(edge, CLIENTS, port)

    async def _open(self, process: str, other: str, port: int) -> int:
        proxy = self._proxies[process, other] = TcpProxy(port)
        await proxy.start()
        return proxy.port

    def select(self, process: str, other: str) -> Iterator[TcpProxy]:
        """Yields proxies. `process` is the name of a process, or of its service."""
        for (name, server), proxy in self._proxies.items():
            if server == other and process in (name, name.rpartition("-")[0]):
                yield proxy

    async def close(self) -> None:
        for proxy in self._proxies.values():
            await proxy.close()


class FarLinks(Links):
    """The connections of a system in which the clients of one edge are in a distant network.

    All other connections have no proxy.
    """

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
    """Returns the settings with other ports of NATS, Valkey and PostgreSQL.

    Makes the edge expect that clients connect through proxies.
    """

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
