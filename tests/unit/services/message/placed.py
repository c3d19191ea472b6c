"""Several databases of message: their settings, and what is in them."""

import contextlib
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack

import sqlalchemy as sa
from pydantic import SecretStr

from services.cli.migrations import migrate_service
from services.cli.ports import free_port
from shared.contract.ids import ChatId
from shared.database import make_engine
from shared.partitions import partition_of
from shared.settings import MessageDatabase, MessageSettings, OpsSettings, Settings
from tests.support.servers import NatsServer, ValkeyServer
from tests.unit.services.message.environment import running_replica

HALVES = {"main": "0-127", "second": "128-255"}


def placed_settings(
    nats_server: NatsServer, valkey_server: ValkeyServer, urls: Mapping[str, str], ranges: Mapping[str, str] = HALVES
) -> dict[str, Settings]:
    """Settings of one replica for each database, which has its tables and its partitions."""
    databases = {name: MessageDatabase(url=SecretStr(url), partitions=ranges[name]) for name, url in urls.items()}
    found = {
        name: Settings(
            nats=nats_server.settings("message"),
            redis=valkey_server.settings("message"),
            ops=OpsSettings(port=free_port()),
            message=MessageSettings(databases=databases, database=name),
        )
        for name in urls
    }
    migrate_service("message", next(iter(found.values())))
    return found


@contextlib.asynccontextmanager
async def running_replicas(settings: Mapping[str, Settings]) -> AsyncIterator[None]:
    async with AsyncExitStack() as stack:
        for one in settings.values():
            await stack.enter_async_context(running_replica(one))
        yield


def stored(url: str) -> list[tuple[int, int, int]]:
    """Chat, index and id of each message in a database."""
    engine = make_engine(url)
    try:
        with engine.connect() as connection:
            rows = connection.execute(sa.text('SELECT chat_id, "index", id FROM messages ORDER BY chat_id, "index"'))
            return [(chat, index, number) for chat, index, number in rows]
    finally:
        engine.dispose()


def is_in_main(chat: ChatId) -> bool:
    """By HALVES."""
    return partition_of(chat, 256) < 128
