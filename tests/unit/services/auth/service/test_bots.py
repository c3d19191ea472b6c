"""Bots are created, listed and deleted. Their tokens are created, used, and ended in several ways."""

import asyncio
import time
from functools import partial
from typing import Any

import jwt
import msgspec
import pytest
import sqlalchemy as sa

from services.auth import tables
from services.auth.adapters import housekeeping
from services.auth.store import bots, revocations
from shared.contract.admin import ResetPassword, SearchTrail, SetDisabled
from shared.contract.auth import (
    DeleteAccount,
    FindInactive,
    GetKeys,
    IdentifierKind,
    ListRevocations,
    Login,
    Revocation,
    Revocations,
)
from shared.contract.bots import (
    BotView,
    CreateBot,
    CreateBotToken,
    CreatedBot,
    CreatedBotToken,
    CreateWebhookAccount,
    DeleteBot,
    DeleteBotToken,
    ListBots,
    TokenScope,
)
from shared.contract.edge import Revoked
from shared.contract.errors import ErrorCode
from shared.contract.ids import NO_ACCOUNT, AccountId
from shared.contract.subjects import CREATE_ANY_BOT_TOKEN, CREATE_OPERATOR_BOT, DELETE_ANY_BOT_TOKEN, LIST_ALL_BOTS
from shared.database import Database
from shared.settings.accounts import AuthSettings
from shared.settings.limits import LimitsSettings
from shared.tokens import BOT_TYPE, Verifier
from tests.unit.services.auth.cluster import ORIGIN, AuthCluster, EdgeProbe, plain, rejection, rejection_code
from tests.unit.services.auth.conftest import ON_BOTH, MakeCluster

EMAIL = "ann@example.org"
DAY = 86_400
LIMITS = LimitsSettings(rates=False, bots_per_account=2, tokens_per_bot=2)


class Owner:
    """A user who owns a bot. The user is on one edge."""

    def __init__(self, edge: EdgeProbe, account: AccountId, bot: CreatedBot) -> None:
        self.edge = edge
        self.account = account
        self.bot = bot.account

    async def token(self, *scopes: str, **more: Any) -> CreatedBotToken:
        request = CreateBotToken(self.bot, "server", [*(scopes or ("send",))], actor=self.account, **more)
        return await self.edge.send(request)

    async def listed(self) -> list[BotView]:
        return (await self.edge.send(ListBots(self.account))).bots

    async def revocations(self) -> list[Revocation]:
        reply: Revocations = await self.edge.send(ListRevocations())
        return reply.revocations

    async def revoked(self) -> set[str]:
        """Returns the revoked tokens of the bot."""
        return {one.sid for one in await self.revocations() if one.account == self.bot and one.sid}


async def enter(cluster: AuthCluster) -> Owner:
    cluster.start_auth()
    edge = await cluster.edge()
    account = (await edge.register(EMAIL)).account
    bot = await edge.send(CreateBot("Weather", account, ORIGIN))
    return Owner(edge, account, bot)


@pytest.fixture
async def owner(make_cluster: MakeCluster, tables_url: str) -> Owner:
    return await enter(make_cluster(tables_url, limits=LIMITS))


async def test_a_token_of_a_bot_has_a_type_and_scopes_of_its_own(owner: Owner) -> None:
    made = await owner.token("send", "read", "send", days=7)
    header = jwt.get_unverified_header(made.token)
    claims = Verifier(await owner.edge.send(GetKeys())).verify(made.token, time.time())
    assert header["typ"] == BOT_TYPE
    assert (claims.account, claims.sid, claims.scopes) == (
        owner.bot,
        made.sid,
        frozenset({TokenScope.SEND, TokenScope.READ}),
    )
    assert claims.expires == made.expires
    assert abs(made.expires - time.time() - 7 * DAY) < 60
    [listed] = await owner.listed()
    [token] = listed.tokens
    assert (listed.account, listed.owner, listed.nickname) == (owner.bot, owner.account, "Weather")
    assert (token.sid, token.name, token.scopes, token.expires) == (made.sid, "server", ["read", "send"], made.expires)
    assert made.token not in repr(made)


async def test_a_bot_of_a_user_does_not_imitate_the_operator(cluster: AuthCluster) -> None:
    owner, operator = await enter(cluster), await cluster.operator()
    imitating = CreateBot("DRAGOMAN ", owner.account, ORIGIN)
    assert (await rejection(owner.edge.send(imitating))).failure.field == "nickname"
    assert (await operator.request(CREATE_OPERATOR_BOT, imitating)).account


async def test_no_token_lives_longer_than_permitted(owner: Owner) -> None:
    for days in (0, 36_500):
        made = await owner.token(days=days)
        assert abs(made.expires - time.time() - 365 * DAY) < 60


async def test_nothing_of_a_token_is_stored(owner: Owner, database: Database) -> None:
    made = await owner.token()

    def stored(connection: sa.Connection) -> str:
        rows = [connection.execute(sa.select(table)).all() for table in (tables.bot_tokens, tables.trail)]
        return repr(rows)

    text = await database.read(stored)
    assert made.sid in text
    assert not any(part in text for part in made.token.split("."))


async def test_a_bot_belongs_to_its_owner(owner: Owner) -> None:
    made = await owner.token()
    eve = (await owner.edge.register("eve@example.org")).account
    for work in (
        owner.edge.send(CreateBotToken(owner.bot, "x", ["send"], actor=eve)),
        owner.edge.send(DeleteBotToken(owner.bot, made.sid, eve)),
        owner.edge.send(DeleteBot(owner.bot, eve)),
        owner.edge.send(DeleteBot(owner.account, owner.account)),
        owner.edge.send(CreateBotToken(owner.account, "x", ["send"], actor=owner.account)),
    ):
        assert await rejection_code(work) is ErrorCode.NOT_FOUND
    assert (await owner.edge.send(ListBots(eve))).bots == []
    assert len(await owner.listed()) == 1
    for request in (CreateBot("Bot of a bot", owner.bot, ORIGIN), CreateBot("Bot", NO_ACCOUNT, ORIGIN)):
        code = await rejection_code(owner.edge.send(request))
        assert code in (ErrorCode.FORBIDDEN, ErrorCode.UNAUTHENTICATED)


async def test_a_bot_has_no_secret(owner: Owner) -> None:
    for identifier in (str(owner.bot), "Weather"):
        login = Login(kind=IdentifierKind.ANY, identifier=identifier, secret=plain("secret"), origin=ORIGIN)
        assert await rejection_code(owner.edge.send(login)) is ErrorCode.UNAUTHENTICATED


async def test_bots_and_tokens_are_limited(owner: Owner) -> None:
    second = await owner.edge.send(CreateBot("Second", owner.account, ORIGIN))
    third = CreateBot("Third", owner.account, ORIGIN)
    rejected = await rejection(owner.edge.send(third))
    assert (rejected.failure.code, rejected.failure.field) == (ErrorCode.LIMIT, "")
    await owner.edge.send(DeleteBot(second.account, owner.account))
    await owner.edge.send(third)
    made = await owner.token()
    await owner.token()
    rejected = await rejection(owner.token())
    assert (rejected.failure.code, rejected.failure.field) == (ErrorCode.LIMIT, "account")
    await owner.edge.send(DeleteBotToken(owner.bot, made.sid, owner.account))
    await owner.token()


async def test_a_malformed_token_is_rejected(owner: Owner) -> None:
    good = CreateBotToken(owner.bot, "x", ["send"], actor=owner.account)
    for field, value in (("scopes", ["admin"]), ("scopes", []), ("days", -1), ("name", ""), ("name", "a\nb")):
        error = await rejection(owner.edge.send(msgspec.structs.replace(good, **{field: value})))
        assert (error.failure.code, error.failure.field) == (ErrorCode.INVALID, field)
    nameless = await rejection(owner.edge.send(CreateBot("", owner.account, ORIGIN)))
    assert (nameless.failure.code, nameless.failure.field) == (ErrorCode.INVALID, "nickname")


@ON_BOTH
async def test_a_revoked_token_is_revoked_at_all_edges_as_long_as_it_would_live(
    owner: Owner, database: Database
) -> None:
    made, other = await owner.token(), await owner.token()
    await owner.edge.send(DeleteBotToken(owner.bot, made.sid, owner.account))
    [revocation] = (await owner.edge.receive(Revoked)).revocations
    assert (revocation.account, revocation.sid) == (owner.bot, made.sid)
    [listed] = await owner.listed()
    assert [one.sid for one in listed.tokens] == [other.sid]
    again = DeleteBotToken(owner.bot, made.sid, owner.account)
    assert await rejection_code(owner.edge.send(again)) is ErrorCode.NOT_FOUND
    await database.write(partial(revocations.purge, before_seconds=made.expires - 1))
    assert await owner.revoked() == {made.sid}


@ON_BOTH
async def test_what_ends_a_bot_ends_its_tokens(owner: Owner, cluster: AuthCluster) -> None:
    disabled, deleted = await owner.token(), await owner.token("manage")
    operator = await cluster.operator()
    await operator.send(SetDisabled(owner.bot, True))
    assert await owner.revoked() == {disabled.sid, deleted.sid}
    assert await rejection_code(owner.token()) is ErrorCode.FORBIDDEN
    await operator.send(SetDisabled(owner.bot, False))
    made = await owner.token()
    claims = Verifier(await owner.edge.send(GetKeys())).verify(made.token, time.time())
    [revocation] = [one for one in await owner.revocations() if one.account == owner.bot and not one.sid]
    assert claims.issued >= revocation.time
    await owner.edge.send(DeleteBot(owner.bot, owner.account))
    assert made.sid in await owner.revoked()
    assert await owner.listed() == []


@ON_BOTH
async def test_a_disabled_account_does_not_act_by_its_bots(owner: Owner, cluster: AuthCluster) -> None:
    made = await owner.token()
    operator, session = await cluster.operator(), await cluster.session()
    both = FindInactive([owner.account, owner.bot, AccountId(999)])
    assert (await session.bus.send(both)).accounts == [AccountId(999)]
    await operator.send(SetDisabled(owner.account, True))
    assert (await session.bus.send(both)).accounts == both.accounts
    assert await owner.revoked() == {made.sid}
    assert await rejection_code(owner.token()) is ErrorCode.FORBIDDEN, "a request that was on its way"
    by_operator = CreateBotToken(owner.bot, "x", ["send"])
    assert await rejection_code(operator.request(CREATE_ANY_BOT_TOKEN, by_operator)) is ErrorCode.FORBIDDEN
    await operator.send(SetDisabled(owner.account, False))
    assert (await owner.token()).sid not in await owner.revoked()


async def test_the_deletion_of_an_account_deletes_its_bots(owner: Owner) -> None:
    made = await owner.token()
    await owner.edge.send(DeleteAccount(owner.account))
    assert await owner.revoked() == {made.sid}
    assert {one.account for one in await owner.revocations() if not one.sid} == {owner.account, owner.bot}


@ON_BOTH
async def test_expired_tokens_are_forgotten(owner: Owner, database: Database) -> None:
    await owner.token()
    expired = tables.bot_tokens.update().values(expires=int(time.time()) - 1)
    await database.write(lambda connection: connection.execute(expired))
    assert (await owner.listed())[0].tokens == []
    await housekeeping.purge_expired(database, AuthSettings())
    rows = await database.read(lambda connection: connection.execute(sa.select(tables.bot_tokens)).all())
    assert rows == []


@ON_BOTH
async def test_bots_made_at_once_do_not_exceed_the_limit(owner: Owner) -> None:
    request = CreateBot("Another", owner.account, ORIGIN)
    made = await asyncio.gather(*(owner.edge.send(request) for _ in range(4)), return_exceptions=True)
    assert sum(isinstance(one, CreatedBot) for one in made) == 1


async def test_bots_count_as_registrations(make_cluster: MakeCluster, sqlite_url: str) -> None:
    limits = LimitsSettings(registrations_per_minute=3)
    owner = await enter(make_cluster(sqlite_url, limits=limits))
    await owner.edge.send(CreateBot("Second", owner.account, ORIGIN))
    third = owner.edge.send(CreateBot("Third", owner.account, ORIGIN))
    assert await rejection_code(third) is ErrorCode.RATE_LIMITED


@ON_BOTH
async def test_an_operator_has_bots_of_its_own_and_all_others(cluster: AuthCluster) -> None:
    owner = await enter(cluster)
    operator = await cluster.operator()
    own = await operator.request(CREATE_OPERATOR_BOT, CreateBot("Alerts"))
    listed = await operator.request(LIST_ALL_BOTS, ListBots())
    assert [(one.account, one.owner) for one in listed.bots] == [
        (owner.bot, owner.account), (own.account, NO_ACCOUNT),
    ]  # fmt: skip
    for bot in (owner.bot, own.account):
        made = await operator.request(CREATE_ANY_BOT_TOKEN, CreateBotToken(bot, "x", ["send"]))
        await operator.request(DELETE_ANY_BOT_TOKEN, DeleteBotToken(bot, made.sid))
    assert [one.account for one in await owner.listed()] == [owner.bot]
    reset = operator.send(ResetPassword(owner.bot, "secret of a bot"))
    assert await rejection_code(reset) is ErrorCode.INVALID
    acts = (await operator.send(SearchTrail(account=owner.bot))).acts
    assert [(act.act, act.by) for act in acts] == [
        ("delete bot token", "admin"), ("create bot token", "admin"), ("create bot", "user"),
    ]  # fmt: skip


async def test_a_page_of_bots_is_followed_by_another(cluster: AuthCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bots, "LISTED", 1)
    owner = await enter(cluster)
    operator = await cluster.operator()
    await operator.request(CREATE_OPERATOR_BOT, CreateBot("Alerts"))
    first = await operator.request(LIST_ALL_BOTS, ListBots())
    second = await operator.request(LIST_ALL_BOTS, ListBots(after=first.bots[-1].account))
    assert (first.more, len(first.bots), len(second.bots)) == (True, 1, 1)
    assert first.bots[0].account == owner.bot != second.bots[0].account


async def test_the_account_of_a_webhook_is_no_bot_of_its_maker_and_logs_in_nowhere(
    owner: Owner, cluster: AuthCluster
) -> None:
    session = await cluster.session()
    made = await session.bus.send(CreateWebhookAccount("Grafana", "webhook", owner.account))
    assert made.account not in [one.account for one in await owner.listed()]
    token = CreateBotToken(made.account, "server", ["send"], actor=owner.account)
    assert await rejection_code(owner.edge.send(token)) is ErrorCode.NOT_FOUND
    login = Login(identifier=str(made.account), secret=plain("x"), origin=ORIGIN, kind=IdentifierKind.ID)
    assert await rejection_code(owner.edge.send(login)) is ErrorCode.UNAUTHENTICATED
    for name in ("", "a" * 65, "a\nb"):
        request = CreateWebhookAccount(name, "webhook", owner.account)
        assert await rejection_code(session.bus.send(request)) is ErrorCode.INVALID
