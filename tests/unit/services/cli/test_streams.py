"""Streams and their consumers are created and updated."""

import nats
import pytest
from nats.js.api import DiscardPolicy, RetentionPolicy, StorageType

from services.cli.streams import NotReachable, provision
from shared.contract.permissions import BUS_USERS
from shared.contract.subjects import DEAD_LETTERS, STREAM, durable
from shared.settings.servers import NatsSettings
from tests.support.servers import NatsServer


async def test_provisioning_creates_streams_and_is_idempotent(nats_server: NatsServer) -> None:
    nats_server.make_bare()
    settings = nats_server.settings("setup")
    await provision(settings)
    await provision(settings)
    async with await nats.connect(
        settings.url, user="setup", password=settings.password.get_secret_value(), inbox_prefix="inbox.setup"
    ) as client:
        stream = client.jetstream()
        for name, retention in ((STREAM, RetentionPolicy.INTEREST), (DEAD_LETTERS, RetentionPolicy.LIMITS)):
            config = (await stream.stream_info(name)).config
            assert (config.storage, config.discard, config.retention) == (
                StorageType.FILE,
                DiscardPolicy.NEW,
                retention,
            )
            assert config.duplicate_window == 600
        for service, peer in BUS_USERS.items():
            for topic in peer.consumes:
                info = await stream.consumer_info(STREAM, durable(service, topic))
                assert info.config is not None
                assert info.config.filter_subject == topic.subject


async def test_error_without_permission(nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.cli.streams._REQUEST_SECONDS", 0.1)
    with pytest.raises(NotReachable, match="may not create streams"):
        await provision(nats_server.settings("edge"))


async def test_error_for_an_unreachable_broker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.cli.streams._SECONDS", 0.3)
    with pytest.raises(NotReachable, match="does not answer"):
        await provision(NatsSettings(url="nats://127.0.0.1:1"))
