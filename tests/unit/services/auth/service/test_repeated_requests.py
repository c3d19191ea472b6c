"""Every command of auth has one effect and one reply, even if it is repeated.

It may be repeated after a lost reply, after its replica was killed after any of its commits, and by two attempts at the
same time.
"""

import asyncio
from collections.abc import Awaitable, Callable
from itertools import count
from secrets import token_hex
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa

from local.ports import free_port
from services.auth.domain import digest
from services.auth.store import recoveries
from services.auth.store.recoveries import NewTicket
from services.auth.tables import AuthBase, requests
from shared.bus.client import Bus
from shared.clock import now_ms
from shared.contract import subjects as on
from shared.contract.admin import (
    FindUser,
    Kick,
    ListDuplicates,
    OperatorAct,
    RecordAct,
    RecordOperatorAct,
    ResetPassword,
    SearchTrail,
    SetDisabled,
    SetMaintenance,
)
from shared.contract.auth import (
    Authenticated,
    ChangePassword,
    DeleteAccount,
    DescribeVerification,
    EndLogin,
    FindInactive,
    GetKeys,
    ListDeletedAccounts,
    ListLogins,
    ListRevocations,
    Login,
    Logout,
    OpenVerification,
    RecordTokenLogins,
    Refresh,
    Register,
    SendVerification,
    VerificationNeeded,
)
from shared.contract.bots import (
    CreateBot,
    CreateBotToken,
    CreatedBot,
    CreateWebhookAccount,
    DeleteBot,
    DeleteBotToken,
    ListBots,
)
from shared.contract.contacts import LookUpAccounts
from shared.contract.errors import RequestError
from shared.contract.events import MailRequested
from shared.contract.guests import KeepGuests, RegisterGuest, RenameGuest
from shared.contract.ids import AccountId
from shared.contract.made import EndMade, ExportLogins
from shared.contract.push import FindEndedLogins
from shared.contract.recovery import Recover, RecoverByTicket, RequestRecovery, SetSecurity
from shared.contract.routes import Route
from shared.database import Database
from shared.request_nonce import request_nonce
from shared.run_once import NONCE_USED
from shared.settings.accounts import VerificationSettings
from shared.settings.edge import IrcSettings
from shared.settings.servers import OpsSettings
from tests.support.waiting import WAIT_SECONDS
from tests.unit.services.auth.cluster import ELSEWHERE, ORIGIN, AuthCluster, EdgeProbe, plain, registration, rejection
from tests.unit.services.auth.conftest import ON_BOTH, MakeCluster, cheap_auth
from tests.unit.services.auth.service.test_verification import BASE, link_in, parse_link

READS = {
    ListLogins.route, ExportLogins.route, DescribeVerification.route, ListDeletedAccounts.route, LookUpAccounts.route,
    FindInactive.route, ListRevocations.route, GetKeys.route, on.DESCRIBE_AUTH_DATABASE, ListBots.route,
    ListDuplicates.route, FindUser.route, on.LIST_USER_LOGINS, SearchTrail.route, on.LIST_ALL_BOTS,
    FindEndedLogins.route,
}  # fmt: skip
"""Requests that only read. Some of them are in the audit trail, where a repeated one may be twice."""
NOT_REPEATED = {Login.route}
"""A request that is not repeated: a client logs in again.

The login whose reply was lost stays in the list of logins.
"""
TWICE_IS_ONCE = {RecordTokenLogins.route, KeepGuests.route}
COMPARED = [table for table in AuthBase.metadata.sorted_tables if table.name not in ("requests", "health", "outbox")]
SIZES = sa.union_all(*(sa.select(sa.literal(table.name), sa.func.count()).select_from(table) for table in COMPARED))


class Users:
    """Makes new accounts, with bots and webhooks, for each tested request."""

    def __init__(self, edge: EdgeProbe, buses: dict[str, Bus], cluster: AuthCluster, database: Database) -> None:
        self.edge = edge
        self.buses = buses
        """The connections to NATS, by user. Some requests are permitted to one user only."""
        self._cluster = cluster
        self._database = database
        self._numbers = count(1)

    def email(self) -> str:
        return f"user{next(self._numbers)}@example.org"

    async def user(self, **more: Any) -> Authenticated:
        return await self.edge.register(self.email(), **more)

    async def account(self) -> AccountId:
        return (await self.user()).account

    def guest(self) -> RegisterGuest:
        return RegisterGuest(nick=f"guest{next(self._numbers)}", guest="~guest", origin=ORIGIN)

    async def bot(self) -> tuple[AccountId, CreatedBot]:
        owner = await self.account()
        return owner, await self.edge.send(CreateBot("Weather", owner, ORIGIN))

    async def bot_token(self) -> tuple[AccountId, AccountId, str]:
        owner, bot = await self.bot()
        made = await self.edge.send(CreateBotToken(bot.account, "x", ["send"], actor=owner))
        return owner, bot.account, made.sid

    async def ticket(self) -> str:
        """Returns the ticket of a login that needs a verification, because another login has failed before."""
        email = self.email()
        await self.edge.register(email)
        await rejection(self.edge.login(email, "wrong"))
        needed = await self.edge.login(email)
        assert isinstance(needed, VerificationNeeded)
        return needed.ticket

    async def mailed(self, ticket: str) -> Any:
        """Requests the mail of this ticket. Returns the link in the mail."""
        await self.edge.send(SendVerification(ticket, ORIGIN, BASE))
        async with asyncio.timeout(WAIT_SECONDS):
            while True:
                for path in self._cluster.settings.mail.outbox.glob("*.eml"):
                    if ticket in (mail := path.read_text()):
                        return parse_link(link_in(mail.replace("=\n", "").replace("=3D", "=")))
                await asyncio.sleep(0.01)

    async def recovery(self) -> str:
        """Returns a ticket for a new password."""
        email, ticket = self.email(), token_hex(16)
        account = (await self.edge.register(email)).account
        new = NewTicket(digest(ticket), account, MailRequested(email, "", "", now_ms() + 60_000))
        await self._database.write(lambda connection: recoveries.request_mail(connection, new, now_ms()))
        return ticket

    async def dump(self) -> dict[str, list[Any]]:
        """Returns all stored data, except results of requests and events in flight."""

        def read(connection: sa.Connection) -> dict[str, list[Any]]:
            return {
                table.name: sorted(map(tuple, connection.execute(sa.select(table))), key=repr) for table in COMPARED
            }

        return await self._database.read(read)

    async def sizes(self) -> dict[str, int]:
        def read(connection: sa.Connection) -> dict[str, int]:
            return {name: size for name, size in connection.execute(SIZES)}

        return await self._database.read(read)

    async def results(self) -> str:
        stored = sa.select(requests.c.result)
        return await self._database.read(lambda connection: str(connection.execute(stored).scalars().all()))


Prepare = Callable[[Users], Awaitable[Any]]


async def password(users: Users) -> ChangePassword:
    user = await users.user()
    return ChangePassword(
        old=plain("secret"), new=plain("another"), actor=user.account, origin=ORIGIN, refreshable=True,
        caller_sid=user.sid,
    )  # fmt: skip


async def new_user(users: Users) -> Any:
    return registration(users.email(), refreshable=True)


async def recover(users: Users) -> Recover:
    email = users.email()
    await users.edge.register(email, question_id=1, answer="blue")
    return Recover(username=email, question_id=1, answer="blue", secret=plain("another"), origin=ORIGIN)


async def renamed_guest(users: Users) -> RenameGuest:
    guest = await users.edge.send(users.guest())
    return RenameGuest(users.guest().nick, guest.account)


async def ended(users: Users) -> EndLogin:
    user = await users.user()
    return EndLogin(user.sid, user.account)


async def logged_out(users: Users) -> Logout:
    user = await users.user()
    return Logout(user.sid, user.account)


async def deleted_bot(users: Users) -> DeleteBot:
    owner, bot = await users.bot()
    return DeleteBot(bot.account, owner)


async def new_token(users: Users) -> CreateBotToken:
    owner, bot = await users.bot()
    return CreateBotToken(bot.account, "server", ["send", "read"], 7, owner)


async def deleted_token(users: Users) -> DeleteBotToken:
    owner, bot, sid = await users.bot_token()
    return DeleteBotToken(bot, sid, owner)


async def ended_tokens(users: Users) -> EndMade:
    return EndMade((await users.bot_token())[0])


async def refreshed(users: Users) -> Refresh:
    return Refresh((await users.user(refreshable=True)).refresh, ORIGIN)


async def mail_requested(users: Users) -> RequestRecovery:
    email = users.email()
    await users.edge.register(email)
    return RequestRecovery(email, ORIGIN)


async def link_sent(users: Users) -> SendVerification:
    return SendVerification(await users.ticket(), ORIGIN, BASE)


async def link_opened(users: Users) -> Any:
    return await users.mailed(await users.ticket())


async def by_ticket(users: Users) -> RecoverByTicket:
    return RecoverByTicket(await users.recovery(), plain("another"), ORIGIN)


async def deleted(users: Users) -> DeleteAccount:
    return DeleteAccount(await users.account(), plain("secret"), ORIGIN)


async def ready(request: Any) -> Any:
    return request


async def of(account: Awaitable[AccountId], kind: Callable[..., Any], *rest: Any) -> Any:
    return kind(await account, *rest)


OPERATIONS: list[tuple[Route[Any, Any], Prepare]] = [
    (Register.route, new_user),
    (RegisterGuest.route, lambda users: ready(users.guest())),
    (RenameGuest.route, renamed_guest),
    (ChangePassword.route, password),
    (Refresh.route, refreshed),
    (EndLogin.route, ended),
    (Logout.route, logged_out),
    (SendVerification.route, link_sent),
    (OpenVerification.route, link_opened),
    (Recover.route, recover),
    (RequestRecovery.route, mail_requested),
    (RecoverByTicket.route, by_ticket),
    (SetSecurity.route, lambda users: of(users.account(), lambda account: SetSecurity(2, "red", actor=account))),
    (DeleteAccount.route, deleted),
    (CreateBot.route, lambda users: of(users.account(), lambda account: CreateBot("Weather", account, ORIGIN))),
    (
        CreateWebhookAccount.route,
        lambda users: of(users.account(), lambda maker: CreateWebhookAccount("Hook", "", maker)),
    ),
    (DeleteBot.route, deleted_bot),
    (CreateBotToken.route, new_token),
    (DeleteBotToken.route, deleted_token),
    (on.END_BOT_TOKENS, ended_tokens),
    (SetMaintenance.route, lambda _: ready(SetMaintenance(False))),
    (SetDisabled.route, lambda users: of(users.account(), SetDisabled, True)),
    (SetDisabled.route, lambda users: of(users.account(), SetDisabled, False)),
    (ResetPassword.route, lambda users: of(users.account(), ResetPassword, "another")),
    (Kick.route, lambda users: of(users.account(), Kick)),
    (on.END_USER_LOGIN, ended),
    (on.DELETE_USER, lambda users: of(users.account(), DeleteAccount)),
    (RecordAct.route, lambda users: of(users.account(), lambda account: RecordAct("delete webhook", account))),
    (
        RecordOperatorAct.route,
        lambda users: of(
            users.account(), lambda account: RecordOperatorAct(OperatorAct.KILL, account, AccountId(9), ORIGIN)
        ),
    ),
    (on.CREATE_OPERATOR_BOT, lambda _: ready(CreateBot("Weather"))),
    (on.CREATE_ANY_BOT_TOKEN, new_token),
    (on.DELETE_ANY_BOT_TOKEN, deleted_token),
]
OF_THE_OPERATOR = "auth.admin.", "auth.maintenance"


def test_the_operations_are_all_of_auth() -> None:
    routes = {one for one in on.ROUTES if one.subject.startswith("auth.")}
    made = {route for route, _ in OPERATIONS}
    assert made | READS | NOT_REPEATED | TWICE_IS_ONCE == routes
    assert not made & (READS | NOT_REPEATED | TWICE_IS_ONCE)


@pytest.fixture
async def users(make_cluster: MakeCluster, tables_url: str, database: Database, tmp_path: Any) -> Users:
    """Users of a cluster with two replicas of auth."""
    auth = cheap_auth(tmp_path / "keys").model_copy(update={"mail_recovery": "any"})
    cluster = make_cluster(
        tables_url, auth=auth, verification=VerificationSettings(after_failed_logins=1),
        irc=IrcSettings(guests=True),
    )  # fmt: skip
    cluster.start_auth()
    cluster.settings = cluster.settings.model_copy(update={"ops": OpsSettings(port=free_port())})
    cluster.start_auth()
    edge = await cluster.edge()
    buses = {"edge": edge.bus, "admin": await cluster.operator(), "session": (await cluster.session()).bus}
    return Users(edge, buses, cluster, database)


def bus_of(users: Users, route: Route[Any, Any]) -> Bus:
    if route is CreateWebhookAccount.route:
        return users.buses["session"]
    return users.buses["admin" if route.subject.startswith(OF_THE_OPERATOR) else "edge"]


@ON_BOTH
async def test_a_repeated_request_has_one_effect_and_one_reply(users: Users) -> None:
    """Its stored result holds no secret."""
    for route, prepare in OPERATIONS:
        request, nonce, bus = await prepare(users), token_hex(32), bus_of(users, route)
        both = [bus.request(route, request, seconds=WAIT_SECONDS, nonce=nonce) for _ in range(2)]
        replies = await asyncio.gather(*both)
        stored = await users.dump()
        replies.append(await bus.request(route, request, seconds=WAIT_SECONDS, nonce=nonce))
        assert replies[1:] == replies[:-1], route.label
        assert await users.dump() == stored, route.label
        results = await users.results()
        for secret in (getattr(replies[0], "token", ""), *getattr(replies[0], "refresh", "").split(".")):
            assert not secret or secret not in results, route.label


async def test_a_request_with_a_replica_that_dies_after_a_commit_is_finished_by_another(
    users: Users, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A death before the next commit leaves the same data."""
    write = Database.write
    for route, prepare in OPERATIONS:
        request, bus, sizes = await prepare(users), bus_of(users, route), await users.sizes()
        await bus.request(route, request, seconds=WAIT_SECONDS, nonce=token_hex(32))
        undisturbed = grown(sizes, await users.sizes())
        for killed_at in count(1):
            request, nonce, sizes, commits = await prepare(users), token_hex(32), await users.sizes(), count(1)

            async def killed(
                database: Database, *args: Any, commits: Any = commits, killed_at: int = killed_at, **more: Any
            ) -> Any:
                dies = request_nonce.get() and next(commits) == killed_at
                result = await write(database, *args, **more)
                if dies:
                    raise RuntimeError("killed")
                return result

            monkeypatch.setattr(Database, "write", killed)
            try:
                await bus.request(route, request, seconds=WAIT_SECONDS, nonce=nonce)
            except RequestError:
                monkeypatch.setattr(Database, "write", write)
            else:
                break
            reply = await bus.request(route, request, seconds=WAIT_SECONDS, nonce=nonce)
            assert grown(sizes, await users.sizes()) == undisturbed, (route.label, killed_at)
            assert await bus.request(route, request, seconds=WAIT_SECONDS, nonce=nonce) == reply, route.label
            assert grown(sizes, await users.sizes()) == undisturbed, (route.label, killed_at)
        monkeypatch.setattr(Database, "write", write)
        assert killed_at > 1, route.label


def grown(before: dict[str, int], after: dict[str, int]) -> dict[str, int]:
    return {name: after[name] - size for name, size in before.items()}


async def test_what_a_client_names_is_made_once_whatever_connection_repeats_it(users: Users) -> None:
    owner = await users.account()
    request, nonce = CreateBot("Weather", owner, ORIGIN, "weather"), token_hex(32)
    first = await users.edge.bus.send(request, nonce=nonce)
    elsewhere = msgspec.structs.replace(request, origin=ELSEWHERE)
    assert await users.edge.bus.send(elsewhere, nonce=nonce) == first
    other = msgspec.structs.replace(request, nickname="News")
    assert (await rejection(users.edge.bus.send(other, nonce=nonce))).failure == NONCE_USED
