"""The operator records frames on real edges, by requests over a real NATS."""

from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from services.cli.admin import record
from services.cli.admin.bus_client import USER, AdminClient
from services.cli.record_file import read
from services.edge.app import Edge
from services.edge.recording import SecretMasks
from shared.bus.client import Bus
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.ids import AccountId
from shared.contract.records import (
    EdgeRecording,
    ListRecordings,
    ReadRecording,
    RecordedClose,
    RecordedFrame,
    RecordedLogin,
    RecordedOpening,
    StartRecording,
    StopRecording,
)
from shared.contract.subjects import recording
from tests.unit.services.cli.admin.recording_auth import RecordingTrail
from tests.unit.services.edge.conftest import EdgeCluster
from tests.unit.services.edge.edge_client import EdgeClient


async def operator(cluster: EdgeCluster) -> AdminClient:
    trail = Bus(cluster.nats.settings("auth"), "auth", CollectorRegistry())
    RecordingTrail(trail)
    bus = Bus(cluster.nats.settings(USER), USER, CollectorRegistry())
    await cluster.run(trail, bus)
    return AdminClient(bus)


def wanted(id: str = "r1", **fields: Any) -> StartRecording:
    return StartRecording(**{"id": id, "seconds": 60, "bytes": 100_000, **fields})


async def state_of(client: AdminClient, edge: Edge) -> EdgeRecording:
    (found,) = [one for one in await client.request_all(ListRecordings.route, ListRecordings()) if one.node == edge.id]
    return found


async def test_an_account_is_recorded_from_its_first_frame_and_nobody_else(
    cluster: EdgeCluster, edge: Edge, tmp_path: Path
) -> None:
    admin = await operator(cluster)
    await admin.request_all(StartRecording.route, wanted(account=1))
    ann, bob = EdgeClient(edge.endpoint), EdgeClient(edge.endpoint)
    assert await ann.request(do="login", account=1, secret="right") == 1
    assert await bob.request(do="login", account=2, secret="right") == 2
    assert bob.client.tap is None
    ann.socket.leave()
    content, _ = await record.fetch(admin, "r1")
    assert b"right" not in content
    path = tmp_path / "r1.record"
    path.write_bytes(content)
    events = read(path).events
    opening, login, answered, *_, close = events
    assert isinstance(opening, RecordedOpening)
    assert opening.dialect == "lines"
    assert isinstance(login, RecordedFrame)
    assert login.text == '{"ref":1,"do":"login","account":1,"secret":"<secret-1>"}'
    assert answered == RecordedLogin(answered.at, opening.connection, AccountId(1))
    assert isinstance(close, RecordedClose)
    assert {event.connection for event in events} == {1}
    await record.drop(admin, "r1")
    assert (await state_of(admin, edge)).recording is None


async def test_a_recording_ends_when_it_is_full_and_taps_nobody_then(cluster: EdgeCluster, edge: Edge) -> None:
    admin = await operator(cluster)
    client = await cluster.client(1)
    await admin.request_all(StartRecording.route, wanted(dialect="lines", bytes=600))
    for _ in range(10):
        await client.request(do="ping")
    found = (await state_of(admin, edge)).recording
    assert found is not None
    assert (found.ended, found.bytes <= 600, found.events > 1) == ("size", True, True)
    assert client.client.tap is None
    assert EdgeClient(edge.endpoint).client.tap is None


async def test_one_recording_at_a_time_and_pages(cluster: EdgeCluster, edge: Edge) -> None:
    admin = await operator(cluster)
    assert len(await admin.request_all(StartRecording.route, wanted(dialect="lines"))) == 1
    assert await admin.request_all(StartRecording.route, wanted("r2", dialect="lines")) == []
    client = await cluster.client(1)
    await client.request(do="ping")
    page = await admin.request(recording(edge.id), ReadRecording("r1"))
    rest = await admin.request(recording(edge.id), ReadRecording("r1", 2))
    assert (rest.lines, rest.more) == (page.lines[2:], False)
    with pytest.raises(RequestError) as rejected:
        await admin.request(recording(edge.id), ReadRecording("r2"))
    assert rejected.value.failure.code is ErrorCode.NOT_FOUND
    await admin.request_all(StopRecording.route, StopRecording("r1"))
    assert len(await admin.request_all(StartRecording.route, wanted("r2", dialect="lines"))) == 1


def test_masks_keep_the_form_of_their_secrets() -> None:
    masks = SecretMasks()
    assert masks.mask("hunter2") == masks.mask("hunter2") == "<secret-1>"
    assert masks.mask("ab" * 16) == f"{2:032x}"
    assert masks.mask("eyJh.eyJi.sig") == "eyJ-secret-3.masked.masked"
    text = masks.mask_tokens("my token is eyJh.eyJi.sig, eyJ-secret-3.masked.masked")
    assert text == "my token is eyJ-secret-3.masked.masked, eyJ-secret-3.masked.masked"
