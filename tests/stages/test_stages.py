"""Every stage does its work. The tests do not check its speed."""

from pathlib import Path

from tests.stages.stages import stages
from tests.stages.timing import microseconds
from tests.support.servers import NatsServer, ValkeyServer
from tests.unit.services.edge.dialects.all_dialects import ALL_DIALECTS


async def test_every_stage_does_its_work(tmp_path: Path, nats_server: NatsServer, valkey_server: ValkeyServer) -> None:
    """Runs every stage, also with one more dialect that has no client codec."""
    found = stages(tmp_path, nats_server, valkey_server, ALL_DIALECTS)
    assert len(found) == 5 + 2 * len(ALL_DIALECTS)
    for name, stage in found.items():
        async with stage as work:
            assert await microseconds(work, 0.0) > 0, name
