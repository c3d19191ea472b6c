"""A running service. Ann is connected to node A, Bob to A and B, and Cem is offline.

The tests run on SQLite. The store's tests run the statements on both databases.
"""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from shared.settings.limits import LimitsSettings
from tests.support.servers import NatsServer, ValkeyServer
from tests.unit.services.session.service_harness import ANN, BOB, CEM, A, B, BusPeers, running_service, settings_for

ON_BOTH = pytest.mark.parametrize("migrated_url", ["sqlite", "postgresql"], indirect=True)


@pytest.fixture(params=["sqlite"])
def migrated_url(migrated_url: str) -> str:
    return migrated_url


@pytest.fixture
async def peers(
    nats_server: NatsServer, valkey_server: ValkeyServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[BusPeers]:
    monkeypatch.setattr("shared.presence.store._TRUST_SECONDS", 0.0)
    peers = BusPeers(nats_server, valkey_server)
    peers.subscribe(A, B)
    limits = LimitsSettings(chats_per_account=3, members_per_group=4, members_listed=2)
    settings = settings_for(nats_server, valkey_server, f"sqlite:///{tmp_path / 'session.db'}", limits)
    async with peers.running(), running_service(settings):
        await peers.register(ANN, BOB, CEM)
        await peers.presence.beat(A, 10)
        await peers.presence.join(A, [ANN, BOB])
        await peers.presence.join(B, [BOB])
        yield peers
