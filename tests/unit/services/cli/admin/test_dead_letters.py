"""Events that were given up, in the real stream."""

import asyncio
import logging
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import structlog
from click.testing import CliRunner, Result
from prometheus_client import CollectorRegistry

from services.cli.admin.dead_letters import open_dead_letters
from services.cli.main import main
from shared.bus import durable
from shared.bus.client import Bus
from shared.contract.events import AccountDeleted, MailRequested
from shared.contract.ids import AccountId
from shared.contract.subjects import ACCOUNT_DELETED, MAIL_REQUESTED
from tests.support.servers import NatsServer
from tests.unit.services.cli.installed import beside

MAIL = MailRequested("ann@example.org", "Confirm", "the secret link", 0)


class Auth:
    """Emits events, and works on mails: in vain, as long as it is `broken`."""

    def __init__(self, server: NatsServer) -> None:
        self.bus = Bus(server.settings("auth"), "auth", CollectorRegistry())
        self.bus.consume(MAIL_REQUESTED, self._work, pauses=())
        self.broken = True
        self.tried: asyncio.Queue[MailRequested] = asyncio.Queue()

    async def _work(self, event: MailRequested) -> None:
        await self.tried.put(event)
        if self.broken:
            raise ConnectionRefusedError("no mail server")


@pytest.fixture
async def auth(nats_server: NatsServer, tmp_path: Path) -> AsyncIterator[Auth]:
    beside(nats_server, tmp_path)
    auth = Auth(nats_server)
    await auth.bus.start()
    yield auth
    await auth.bus.stop()


async def dragoman(directory: Path, *arguments: str) -> Result:
    command = ["admin", "dead-letters", *arguments, "--data", str(directory)]
    return await asyncio.to_thread(CliRunner().invoke, main, command)


async def given_up(auth: Auth, directory: Path, count: int) -> None:
    """So many mails."""
    for number in range(count):
        await auth.bus.publish_event(MAIL_REQUESTED, MAIL, key=str(number))
        await auth.tried.get()
    async with asyncio.timeout(10):
        while (await dragoman(directory, "list", "--json")).output.count('"number"') < count:
            await asyncio.sleep(0.05)


async def test_what_was_given_up_is_listed_and_shown_without_its_secrets(auth: Auth, tmp_path: Path) -> None:
    assert (await dragoman(tmp_path, "list")).output == "there are no dead letters\n"
    await given_up(auth, tmp_path, 2)
    listed = (await dragoman(tmp_path, "list")).output.splitlines()
    assert [line.split()[0] for line in listed] == ["NUMBER", "1", "2"]
    assert "events.auth.mail_requested" in listed[1]
    assert "no mail server" in listed[1]
    shown = await dragoman(tmp_path, "show", "2")
    assert shown.exit_code == 0
    assert "attempts  1\n" in shown.output
    assert "MailRequested(expires=0, ***)" in shown.output
    assert "secret" not in shown.output


async def test_what_is_retried_is_worked_on_and_listed_no_more(auth: Auth, tmp_path: Path) -> None:
    await given_up(auth, tmp_path, 2)
    auth.broken = False
    retried = await dragoman(tmp_path, "retry", "1")
    assert (retried.exit_code, retried.output) == (0, "1: events.auth.mail_requested is published again\n")
    async with asyncio.timeout(10):
        assert await auth.tried.get() == MAIL
    assert [line.split()[0] for line in (await dragoman(tmp_path, "list")).output.splitlines()] == ["NUMBER", "2"]


async def test_who_works_on_it_again_logs_who_wanted_it(
    auth: Auth, nats_server: NatsServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await given_up(auth, tmp_path, 1)
    loud = structlog.wrap_logger(None, wrapper_class=structlog.make_filtering_bound_logger(logging.INFO))
    monkeypatch.setattr(durable, "_log", loud)  # the module's own is as quiet as the command
    with structlog.testing.capture_logs() as entries:
        async with open_dead_letters(beside(nats_server, tmp_path)) as letters:
            await letters.retry(1)
        async with asyncio.timeout(10):
            await auth.tried.get()
    assert [(entry["act"], entry["by"]) for entry in entries if "act" in entry] == [("retry event", "admin")]


async def test_what_fails_again_is_a_dead_letter_again(auth: Auth, tmp_path: Path) -> None:
    await given_up(auth, tmp_path, 1)
    await dragoman(tmp_path, "retry", "1")
    async with asyncio.timeout(10):
        while '"number": 2' not in (await dragoman(tmp_path, "list", "--json")).output:
            await asyncio.sleep(0.05)


async def test_an_unknown_one_is_one_sentence_and_status_1(auth: Auth, tmp_path: Path) -> None:
    await auth.bus.publish_event(ACCOUNT_DELETED, AccountDeleted(AccountId(1)), key="alive")
    for what in ("show", "retry"):
        result = await dragoman(tmp_path, what, "7")
        assert (result.exit_code, result.output) == (1, "Error: there is no dead letter 7\n")


@pytest.mark.parametrize("arguments", [["show"], ["retry"], ["show", "x"], ["retry", "0"], ["burn"]])
async def test_a_wrong_use_is_status_2(tmp_path: Path, arguments: list[str]) -> None:
    assert (await dragoman(tmp_path, *arguments)).exit_code == 2
