"""The connections between the parts of a system, each through a proxy of its own that can harm it."""

from collections.abc import Iterator, Mapping

from pydantic import SecretStr

from shared.settings import Settings
from tests.support.proxy import TcpProxy

CLIENTS = "clients"


class Links:
    """Proxies by the name of a process and of its server, as in ("edge-1", "nats"). ("edge-1", CLIENTS) is the way of
    the clients to an edge."""

    def __init__(self) -> None:
        self._proxies: dict[tuple[str, str], TcpProxy] = {}

    async def open(self, process: str, other: str, port: int) -> int:
        """Returns the port at which the link to `port` begins."""
        proxy = self._proxies[process, other] = TcpProxy(port)
        await proxy.start()
        return proxy.port

    async def open_all(self, process: str, servers: Mapping[str, int]) -> Mapping[int, int]:
        """Returns the port at which the link to each server begins, by the server's port."""
        return {port: await self.open(process, server, port) for server, port in servers.items()}

    def select(self, process: str, other: str) -> Iterator[TcpProxy]:
        """`process` is its name, or that of its service."""
        for (name, server), proxy in self._proxies.items():
            if server == other and process in (name, name.rpartition("-")[0]):
                yield proxy

    async def close(self) -> None:
        for proxy in self._proxies.values():
            await proxy.close()


def reroute(settings: Settings, ports: Mapping[int, int]) -> Settings:
    """The settings with other ports of NATS, Valkey and PostgreSQL. Clients then come by proxies, too."""

    def moved(url: str) -> str:
        for real, first in ports.items():
            if f":{real}" in url:
                return url.replace(f":{real}", f":{first}")
        return url

    if not ports:
        return settings
    nats, redis, database = settings.nats, settings.redis, settings.database
    return settings.model_copy(
        update={
            "edge": settings.edge.model_copy(update={"trusted_proxies": ["127.0.0.1/32"]}),
            "nats": nats.model_copy(update={"url": moved(nats.url)}),
            "redis": redis.model_copy(update={"url": SecretStr(moved(redis.url.get_secret_value()))}),
            "database": database.model_copy(update={"url": SecretStr(moved(database.url.get_secret_value()))}),
        }
    )
