"""The servers that the other tests rest on."""

import nats
import sqlalchemy as sa
from redis import Redis

from shared.database import make_engine
from tests.support.servers import NatsServer, ValkeyServer


async def test_nats_comes_back_on_the_same_port_with_its_streams(nats_server: NatsServer) -> None:
    port = nats_server.port
    nats_server.restart()
    settings = nats_server.settings("setup")
    client = await nats.connect(
        f"nats://127.0.0.1:{port}",
        user=settings.user,
        password=settings.password.get_secret_value(),
        inbox_prefix="inbox.setup",
    )
    assert (await client.jetstream().stream_info("EVENTS")).state.messages == 0
    await client.close()


def test_valkey_forgets_on_flush(valkey_server: ValkeyServer) -> None:
    with Redis.from_url(valkey_server.settings("edge").url.get_secret_value()) as client:
        client.set("generation", "x")
        valkey_server.flush()
        assert client.get("generation") is None


def test_each_database_is_empty(database_url: str) -> None:
    engine = make_engine(database_url)
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE TABLE chats (id BIGINT)"))
    engine.dispose()


def test_each_database_is_fresh(database_url: str) -> None:
    engine = make_engine(database_url)
    assert sa.inspect(engine).get_table_names() == []
    engine.dispose()
