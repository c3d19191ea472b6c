"""Some settings or server configurations make a NATS server unusable. Tests how this is detected."""

import asyncio
import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from prometheus_client import CollectorRegistry

from dragoman.main import main
from local.installation import Server
from local.ports import free_port
from services.cli.doctor import broker
from shared.bus.client import Bus
from shared.bus.nats_client import PAYLOAD_BYTES, UnfitServer, connect
from shared.contract.errors import ErrorCode, Failure, RequestError
from shared.contract.ids import AccountId, ChatId, NodeId, Nonce
from shared.contract.message import Draft, PostMessages, PostResults
from shared.settings.servers import NatsSettings
from tests.support.servers import NatsServer
from tests.support.waiting import WAIT_SECONDS
from tests.unit.services.cli.installed import write_installation

PASSWORD = "p@:/?#%w"
ENCODED = "p%40%3A%2F%3F%23%25w"


def give_password(configuration: dict[str, Any]) -> None:
    (admin,) = [one for one in configuration["authorization"]["users"] if one["user"] == "admin"]
    admin["password"] = PASSWORD


def shrink(configuration: dict[str, Any]) -> None:
    configuration["max_payload"] = 64_000


def widen(configuration: dict[str, Any]) -> None:
    configuration["max_payload"] = 2 * PAYLOAD_BYTES


async def lower(server: NatsServer, payload_bytes: int) -> None:
    """Lowers the server's payload limit. Connections stay open, and the server does not tell them the new limit."""
    configuration = json.loads(server.config.read_bytes()) | {"max_payload": payload_bytes}
    server.config.write_text(json.dumps(configuration))
    os.kill(server.pid, signal.SIGHUP)
    async with asyncio.timeout(WAIT_SECONDS):
        while True:
            client = await connect(server.settings("edge"))
            offered = client._server_info["max_payload"]
            await client.close()
            if offered == payload_bytes:
                return


def posting(body_bytes: int, reply_bytes: int = 1) -> PostMessages:
    """A service that replies with this number of bytes."""
    draft = Draft(AccountId(reply_bytes), ChatId(1), Nonce(1), 0, b"x" * body_bytes)
    return PostMessages(NodeId("edge-1"), [draft])


async def reply_as_wanted(request: PostMessages) -> PostResults:
    return PostResults([None], {0: Failure(ErrorCode.INTERNAL, "x" * request.drafts[0].sender)})


def remove_jetstream(configuration: dict[str, Any]) -> None:
    del configuration["jetstream"]


async def test_a_password_in_the_url_is_decoded(nats_server: NatsServer) -> None:
    settings = NatsSettings(url=f"nats://admin:{ENCODED}@127.0.0.1:{nats_server.port}")
    with nats_server.configured(give_password):
        bus = Bus(settings, "admin", CollectorRegistry())
        await bus.start()
        await bus.check()
        await bus.stop()
        (found,) = await broker.check(settings, Server.ELSEWHERE)
        assert "rejects" not in found.text


@pytest.mark.filterwarnings("ignore:parameter 'timeout' of type 'float':DeprecationWarning")  # of nats-py
async def test_the_connection_may_be_a_websocket(nats_server: NatsServer) -> None:
    port = free_port()

    def offer_websockets(configuration: dict[str, Any]) -> None:
        configuration["websocket"] = {"port": port, "no_tls": True}

    settings = nats_server.settings("edge").model_copy(update={"url": f"ws://127.0.0.1:{port}"})
    with nats_server.configured(offer_websockets):
        edge = Bus(settings, "edge", CollectorRegistry())
        await edge.start()
        await edge.check(WAIT_SECONDS)
        await edge.stop()


async def test_room_for_few_bytes_is_named_at_the_start_and_by_doctor(nats_server: NatsServer) -> None:
    settings = nats_server.settings("session")
    with nats_server.configured(shrink):
        with pytest.raises(UnfitServer, match=r"max_payload of NATS is 64000 bytes.*nats\.url"):
            await Bus(settings, "session", CollectorRegistry()).start()
        (found,) = await broker.check(settings, Server.ELSEWHERE)
    assert (found.good, "set max_payload to 1MB" in found.text) == (False, True)


@pytest.mark.parametrize("is_lowered", [True, False])
async def test_what_nats_has_no_room_for_is_an_error_that_lasts_and_ends_no_connection(
    nats_server: NatsServer, is_lowered: bool
) -> None:
    """nats-server ends a connection that sends too many bytes, including headers."""
    most = PAYLOAD_BYTES + 5_000
    edge = Bus(nats_server.settings("edge"), "edge", CollectorRegistry())
    message = Bus(nats_server.settings("message"), "message", CollectorRegistry())
    message.serve(PostMessages.route, reply_as_wanted, queue="message")
    with nats_server.configured(widen):
        if not is_lowered:
            await lower(nats_server, most)
        await asyncio.gather(edge.start(), message.start())
        if is_lowered:
            await lower(nats_server, most)
        for too_large in (posting(most + 1), posting(most - 100), posting(1, most + 1)):
            with pytest.raises(RequestError) as error:
                await edge.send(too_large, seconds=WAIT_SECONDS, retry=True)
            assert error.value.failure.code is ErrorCode.TOO_LARGE
            await edge.send(posting(500_000, 500_000), seconds=WAIT_SECONDS, retry=True)
        await asyncio.gather(edge.stop(), message.stop())


async def test_nats_without_jetstream_is_named_by_migrate_and_doctor(nats_server: NatsServer, tmp_path: Path) -> None:
    write_installation(nats_server, tmp_path)
    with nats_server.configured(remove_jetstream):
        migrated = await asyncio.to_thread(CliRunner().invoke, main, ["migrate", "--data", str(tmp_path), "streams"])
        found = await broker.check(nats_server.settings("setup"), Server.ELSEWHERE)
    assert (migrated.exit_code, "NATS runs without JetStream. Start nats-server with -js" in migrated.output) == (
        1,
        True,
    )
    (streams,) = [one for one in found if one.what == "streams"]
    assert (streams.good, "NATS runs without JetStream" in streams.text) == (False, True)
