"""The operator's bots: they are created, listed in pages, given tokens that are printed once, and revoked."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from shared.bus.client import Bus
from shared.contract.bots import (
    BotList,
    BotTokenView,
    BotView,
    CreateBot,
    CreateBotToken,
    CreatedBot,
    CreatedBotToken,
    DeleteBotToken,
    ListBots,
)
from shared.contract.ids import NO_ACCOUNT, AccountId
from shared.contract.routes import Ack
from shared.contract.subjects import CREATE_ANY_BOT_TOKEN, CREATE_OPERATOR_BOT, DELETE_ANY_BOT_TOKEN, LIST_ALL_BOTS
from tests.support.servers import NatsServer
from tests.unit.services.cli.admin.test_command import admin
from tests.unit.services.cli.installed import installed

TOKEN = BotTokenView("b1", "server", ["read", "send"], 0, 1_800_000_000)
BOTS = [
    BotView(AccountId(7), AccountId(3), "Wea\nther", 0, [TOKEN]), BotView(AccountId(9), NO_ACCOUNT, "Alerts", 0, []),
]  # fmt: skip


class FakeBots:
    """A fake of auth's list of bots, with one bot on each page."""

    def __init__(self, server: NatsServer) -> None:
        self.bus = Bus(server.settings("auth"), "auth", CollectorRegistry())
        self.requests: list[object] = []
        self.bus.serve(CREATE_OPERATOR_BOT, self._create)
        self.bus.serve(LIST_ALL_BOTS, self._list)
        self.bus.serve(CREATE_ANY_BOT_TOKEN, self._create_token)
        self.bus.serve(DELETE_ANY_BOT_TOKEN, self._delete_token)

    async def _create(self, request: CreateBot) -> CreatedBot:
        self.requests.append(request)
        return CreatedBot(AccountId(9), "u", request.nickname, 0)

    async def _list(self, request: ListBots) -> BotList:
        found = [bot for bot in BOTS if bot.account > request.after]
        return BotList(found[:1], len(found) > 1)

    async def _create_token(self, request: CreateBotToken) -> CreatedBotToken:
        self.requests.append(request)
        return CreatedBotToken("b2", "h.p.s", 1_800_000_000)

    async def _delete_token(self, request: DeleteBotToken) -> Ack:
        self.requests.append(request)
        return Ack()


@pytest.fixture
async def auth(nats_server: NatsServer, tmp_path: Path) -> AsyncIterator[FakeBots]:
    auth = FakeBots(nats_server)
    async with installed(nats_server, tmp_path, auth.bus):
        yield auth


async def test_a_bot_gets_a_token_that_is_printed_once(auth: FakeBots, tmp_path: Path) -> None:
    assert (await admin(tmp_path, "bot", "create", "Alerts")).output.startswith("the bot 9 is made")
    scopes = ("--scope", "send", "--scope", "read", "--days", "30")
    made = await admin(tmp_path, "bot", "token", "9", "server", *scopes)
    assert made.output.splitlines() == ["the token b2, until 2027-01-15 08:00:00 UTC:", "h.p.s"]
    assert (await admin(tmp_path, "bot", "revoke", "9", "b2", "--yes")).output == "the token b2 is revoked\n"
    assert auth.requests == [
        CreateBot("Alerts"), CreateBotToken(AccountId(9), "server", ["send", "read"], 30),
        DeleteBotToken(AccountId(9), "b2"),
    ]  # fmt: skip


async def test_a_token_needs_a_scope_that_there_is(auth: FakeBots, tmp_path: Path) -> None:
    for scopes in ((), ("--scope", "everything")):
        assert (await admin(tmp_path, "bot", "token", "9", "server", *scopes)).exit_code == 2
    assert auth.requests == []


async def test_all_pages_of_bots_are_listed(auth: FakeBots, tmp_path: Path) -> None:
    heads, *rows = (await admin(tmp_path, "bot", "list")).output.splitlines()
    assert heads.split() == ["BOT", "OWNER", "NAME", "TOKEN", "FOR", "SCOPES", "EXPIRES"]
    assert [row.split()[:4] for row in rows] == [
        ["0000000007", "0000000003", "Wea\N{REPLACEMENT CHARACTER}ther", "b1"],
        ["0000000009", "operator", "Alerts", "-"],
    ]  # fmt: skip
    listed = json.loads((await admin(tmp_path, "bot", "list", "--json")).output)
    assert [bot["account"] for bot in listed] == [7, 9]
