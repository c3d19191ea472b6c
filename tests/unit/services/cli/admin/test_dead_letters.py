"""Tests commands on dead letters with a real stream. A dead letter is an event that failed at every attempt."""

import asyncio
import logging
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import structlog
from click.testing import CliRunner, Result
from prometheus_client import CollectorRegistry

from dragoman.main import main
from services.cli.admin.dead_letters import open_dead_letters
from shared.bus import durable
from shared.bus.client import Bus
from shared.contract.events import AccountDeleted, MailRequested
from shared.contract.ids import AccountId
from shared.contract.subjects import ACCOUNT_DELETED, MAIL_REQUESTED
from tests.support.servers import NatsServer
from tests.support.waiting import WAIT_SECONDS
from tests.unit.services.cli.admin.recording_auth import RecordingTrail
from tests.unit.services.cli.installed import installed, write_installation

MAIL = MailRequested("ann@example.org", "Confirm", "the secret link", 0)


class FailingAuth:
    """Publishes events and consumes mail requests. These fail while `broken` is true."""

    def __init__(self, server: NatsServer) -> None:
        self.bus = Bus(server.settings("auth"), "auth", CollectorRegistry())
        self.bus.consume(MAIL_REQUESTED, self._work, pauses=())
        self.trail = RecordingTrail(self.bus)
        self.broken = True
        self.attempts: asyncio.Queue[MailRequested] = asyncio.Queue()

    async def _work(self, event: MailRequested) -> None:
        await self.attempts.put(event)
        if self.broken:
            raise ConnectionRefusedError("no mail server")


@pytest.fixture
async def auth(nats_server: NatsServer, tmp_path: Path) -> AsyncIterator[FailingAuth]:
    auth = FailingAuth(nats_server)
    async with installed(nats_server, tmp_path, auth.bus):
        yield auth


async def dragoman(directory: Path, *arguments: str) -> Result:
    command = ["admin", "dead-letters", *arguments, "--data", str(directory)]
    return await asyncio.to_thread(CliRunner().invoke, main, command)


async def create_dead_letters(auth: FailingAuth, directory: Path, count: int) -> None:
    """Publishes mail requests that become dead letters."""
    for number in range(count):
        await auth.bus.publish_event(MAIL_REQUESTED, MAIL, key=str(number))
        await auth.attempts.get()
    async with asyncio.timeout(WAIT_SECONDS):
        while (await dragoman(directory, "list", "--json")).output.count('"number"') < count:
            await asyncio.sleep(0.05)


async def test_dead_letters_are_listed_and_shown_without_secrets(auth: FailingAuth, tmp_path: Path) -> None:
    assert (await dragoman(tmp_path, "list")).output == "there are no dead letters\n"
    await create_dead_letters(auth, tmp_path, 2)
    listed = (await dragoman(tmp_path, "list")).output.splitlines()
    assert [line.split()[0] for line in listed] == ["NUMBER", "1", "2"]
    assert "events.auth.mail_requested" in listed[1]
    assert "no mail server" in listed[1]
    shown = await dragoman(tmp_path, "show", "2")
    assert shown.exit_code == 0
    assert "attempts  1\n" in shown.output
    assert "MailRequested(expires=0, account=0, ***)" in shown.output
    assert "secret" not in shown.output


async def test_retried_event_is_consumed_and_no_longer_listed(auth: FailingAuth, tmp_path: Path) -> None:
    await create_dead_letters(auth, tmp_path, 2)
    auth.broken = False
    retried = await dragoman(tmp_path, "retry", "1")
    assert (retried.exit_code, retried.output) == (0, "1: events.auth.mail_requested is published again\n")
    async with asyncio.timeout(WAIT_SECONDS):
        assert await auth.attempts.get() == MAIL
    assert [line.split()[0] for line in (await dragoman(tmp_path, "list")).output.splitlines()] == ["NUMBER", "2"]


async def test_a_discarded_event_is_not_consumed_and_no_longer_listed(auth: FailingAuth, tmp_path: Path) -> None:
    await create_dead_letters(auth, tmp_path, 2)
    auth.broken = False
    declined = await asyncio.to_thread(
        CliRunner().invoke, main, ["admin", "dead-letters", "discard", "1", "--data", str(tmp_path)], "n\n"
    )
    assert (declined.exit_code, declined.output.splitlines()[0]) == (1, "Discard 1? [y/N]: n")
    discarded = await dragoman(tmp_path, "discard", "1", "--yes")
    assert (discarded.exit_code, discarded.output) == (0, "1: discarded\n")
    assert [line.split()[0] for line in (await dragoman(tmp_path, "list")).output.splitlines()] == ["NUMBER", "2"]
    assert auth.attempts.empty()


async def test_consumer_logs_the_user_of_a_retry(
    auth: FailingAuth, nats_server: NatsServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await create_dead_letters(auth, tmp_path, 1)
    loud = structlog.wrap_logger(None, wrapper_class=structlog.make_filtering_bound_logger(logging.INFO))
    monkeypatch.setattr(durable, "_log", loud)  # the command has limited the level of the module's own logger
    with structlog.testing.capture_logs() as entries:
        async with open_dead_letters(write_installation(nats_server, tmp_path)) as dead_letters:
            await dead_letters.retry(1)
        async with asyncio.timeout(WAIT_SECONDS):
            await auth.attempts.get()
    assert [(entry["act"], entry["by"]) for entry in entries if "act" in entry] == [("retry event", "admin")]


async def test_event_that_fails_again_is_a_dead_letter_again(auth: FailingAuth, tmp_path: Path) -> None:
    await create_dead_letters(auth, tmp_path, 1)
    await dragoman(tmp_path, "retry", "1")
    async with asyncio.timeout(WAIT_SECONDS):
        while '"number": 2' not in (await dragoman(tmp_path, "list", "--json")).output:
            await asyncio.sleep(0.05)


async def test_unknown_dead_letter_is_one_sentence_and_status_1(auth: FailingAuth, tmp_path: Path) -> None:
    await auth.bus.publish_event(ACCOUNT_DELETED, AccountDeleted(AccountId(1)), key="alive")
    for what in (["show", "7"], ["retry", "7"], ["discard", "7", "--yes"]):
        result = await dragoman(tmp_path, *what)
        assert (result.exit_code, result.output) == (
            1, "Error: there is no dead letter 7. `dragoman admin dead-letters list` shows the numbers\n",
        )  # fmt: skip


async def test_wrong_use_is_status_2(tmp_path: Path) -> None:
    for arguments in ("show", "retry", "discard", "show x", "retry 0", "burn"):
        assert (await dragoman(tmp_path, *arguments.split())).exit_code == 2, arguments
