"""No login continues to be valid after an act that ends it, even if other requests run at the same time.

The requests run on replicas whose clocks differ and stand still. A simulated edge checks all tokens that a user with
the password has received meanwhile.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import pytest
import sqlalchemy as sa
from prometheus_client import CollectorRegistry

from services.auth.tables import logins
from services.edge.login.auth_state import AuthState
from services.edge.login.token_verifier import TokenVerifier
from services.edge.metrics import EdgeMetrics
from shared.bus.client import Bus
from shared.contract.admin import ResetPassword, SetDisabled
from shared.contract.auth import (
    Authenticated,
    ChangePassword,
    DeleteAccount,
    EndLogin,
    ListRevocations,
    Logout,
    Refresh,
    Refreshed,
)
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.ids import AccountId
from shared.contract.recovery import Recover, RecoverByTicket, RequestRecovery
from shared.contract.subjects import DELETE_USER
from shared.database import Database
from shared.tokens import BadToken
from tests.support.waiting import WAIT_SECONDS
from tests.unit.services.auth.cluster import ORIGIN, AuthCluster, EdgeProbe, plain
from tests.unit.services.auth.conftest import MakeCluster, cheap_auth
from tests.unit.services.auth.service.test_mail_recovery import ticket_in

R = TypeVar("R")

pytestmark = pytest.mark.parametrize("tables_url", ["postgresql"], indirect=True)
ROUNDS = 2
KNOWN, NEW = plain("known"), plain("another")
_ahead = ContextVar("_ahead", default=0.0)
"""The seconds by which the clock of the running replica is ahead."""


@pytest.fixture(autouse=True)
def clocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stops the clocks. On this replica, everything happens in one second; on the other one, in another second."""
    now = time.time()
    monkeypatch.setattr("time.time", lambda: now + _ahead.get())
    monkeypatch.setattr("time.time_ns", lambda: int((now + _ahead.get()) * 1e9))
    monkeypatch.setattr("services.auth.adapters.publishing._POLL_SECONDS", 0.05)


@pytest.fixture
async def cluster(make_cluster: MakeCluster, tables_url: str, tmp_path: Path) -> AuthCluster:
    auth = cheap_auth(tmp_path / "keys").model_copy(update={"mail_recovery": "any", "refresh_grace_seconds": 0.0})
    cluster = make_cluster(tables_url, auth=auth)
    for seconds in (0.0, 2.0):
        _ahead.set(seconds)
        cluster.start_auth()
    _ahead.set(0.0)
    for peer in (cluster.session, cluster.message):
        await peer()
    return cluster


@dataclass
class Judge:
    cluster: AuthCluster
    edge: EdgeProbe
    operator: Bus
    state: AuthState
    verifier: TokenVerifier
    mails: int = 0

    async def is_valid(self, token: str) -> bool:
        """Returns whether an edge that has received all revocations accepts the token."""
        self.state.heard()
        self.verifier.revoked((await self.edge.send(ListRevocations())).revocations)
        try:
            await self.verifier.check(token)
        except BadToken:
            return False
        return True

    async def mailed_ticket(self, email: str) -> str:
        self.mails += 1
        await self.edge.send(RequestRecovery(email, ORIGIN))
        return ticket_in(await self.cluster.mail(self.mails))


@pytest.fixture
async def judge(cluster: AuthCluster) -> Judge:
    edge = await cluster.edge()
    state = AuthState()
    verifier = TokenVerifier(edge.bus, EdgeMetrics(CollectorRegistry()), state)
    verifier.revocations_loaded.set()
    return Judge(cluster, edge, await cluster.operator(), state, verifier)


async def granted(request: Awaitable[R]) -> R | None:
    """Returns the reply to a request, or None if the request was rejected as `unauthenticated`."""
    try:
        return await request
    except RequestError as error:
        if error.failure.code != ErrorCode.UNAUTHENTICATED:
            raise
        return None


@dataclass
class Thief:
    """A thief who has the password.

    The thief logs in, refreshes tokens, and sets the same password again, until all of this is rejected.
    """

    edge: EdgeProbe
    email: str
    account: AccountId
    changes: bool
    tokens: list[str] = field(default_factory=list)
    refreshes: list[str] = field(default_factory=list)
    has_some: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self, act_ended: asyncio.Event) -> None:
        while not act_ended.is_set():
            await self._take(self.edge.login(self.email, secret=KNOWN, refreshable=True))
            if self.refreshes:
                await self._take(self.edge.send(Refresh(self.refreshes[-1], ORIGIN)))
            for _ in range(2 if self.changes else 0):
                change = ChangePassword(old=KNOWN, new=KNOWN, actor=self.account, origin=ORIGIN, refreshable=True)
                await self._take(self.edge.send(change))
            if len(self.tokens) > 4:
                self.has_some.set()

    async def _take(self, request: Awaitable[Any]) -> None:
        if (reply := await granted(request)) is not None:
            assert isinstance(reply, Authenticated | Refreshed)
            self.tokens.append(reply.token)
            self.refreshes.append(reply.refresh)


async def change_password(judge: Judge, made: Authenticated, _email: str) -> None:
    """Changes the password. Tries again if the thief has replaced the hash meanwhile."""
    change = ChangePassword(old=KNOWN, new=NEW, actor=made.account, origin=ORIGIN)
    while await granted(judge.edge.send(change)) is None:
        pass


async def recover(judge: Judge, _made: Authenticated, email: str) -> None:
    request = Recover(username=email, question_id=1, answer="blue", secret=NEW, origin=ORIGIN)
    await judge.edge.send(request)


async def recover_by_mail(judge: Judge, _made: Authenticated, email: str) -> None:
    request = RecoverByTicket(await judge.mailed_ticket(email), NEW, ORIGIN)
    await judge.edge.send(request)


async def reset(judge: Judge, made: Authenticated, _email: str) -> None:
    await judge.operator.send(ResetPassword(made.account, NEW.value), seconds=WAIT_SECONDS)


async def disable(judge: Judge, made: Authenticated, _email: str) -> None:
    await judge.operator.send(SetDisabled(made.account, True), seconds=WAIT_SECONDS)


async def delete(judge: Judge, made: Authenticated, _email: str) -> None:
    await judge.edge.send(DeleteAccount(made.account))


async def delete_by_operator(judge: Judge, made: Authenticated, _email: str) -> None:
    await judge.operator.request(DELETE_USER, DeleteAccount(made.account), seconds=WAIT_SECONDS)


async def end_login(judge: Judge, made: Authenticated, _email: str) -> None:
    await judge.edge.send(EndLogin(made.sid, made.account))


async def log_out(judge: Judge, made: Authenticated, _email: str) -> None:
    await judge.edge.send(Logout(made.sid, made.account))


Act = Callable[[Judge, Authenticated, str], Awaitable[None]]


async def race(judge: Judge, act: Act, email: str, *, changes: bool) -> tuple[Authenticated, list[Thief]]:
    made = await judge.edge.register(email, secret=KNOWN, question_id=1, answer="blue", refreshable=True)
    thieves = [Thief(judge.edge, email, made.account, changes) for _ in range(2)]
    ended = asyncio.Event()
    running = [asyncio.create_task(thief.run(ended)) for thief in thieves]
    async with asyncio.timeout(WAIT_SECONDS):
        await thieves[0].has_some.wait()
        await act(judge, made, email)
        ended.set()
        await asyncio.gather(*running)
    return made, thieves


async def assert_nothing_left(judge: Judge, thieves: list[Thief]) -> None:
    for thief in thieves:
        valid = [await judge.is_valid(token) for token in thief.tokens]
        assert not any(valid), f"{sum(valid)} of {len(valid)} tokens"
        for refresh in thief.refreshes:
            with pytest.raises(RequestError, match="refresh token"):
                await judge.edge.send(Refresh(refresh, ORIGIN))


@pytest.mark.parametrize("act", [change_password, recover, recover_by_mail, reset])
async def test_a_new_password_ends_all_logins_before_it_and_none_after(
    judge: Judge, act: Act, database: Database
) -> None:
    """For `recover_by_mail`, the thief does not change the password: that would make the mailed ticket invalid."""
    for number in range(ROUNDS):
        email = f"ann{number}@example.org"
        _, thieves = await race(judge, act, email, changes=act is not recover_by_mail)
        after = await asyncio.gather(*(judge.edge.login(email, secret=NEW, refreshable=True) for _ in range(4)))
        await assert_nothing_left(judge, thieves)
        for login in after:
            assert isinstance(login, Authenticated)
            renewed = await judge.edge.send(Refresh(login.refresh, ORIGIN))
            assert [await judge.is_valid(token) for token in (login.token, renewed.token)] == [True, True]


@pytest.mark.parametrize("act", [disable, delete, delete_by_operator])
async def test_nothing_is_left_of_the_logins_of_a_disabled_or_deleted_account(
    judge: Judge, act: Act, database: Database
) -> None:
    for number in range(ROUNDS):
        made, thieves = await race(judge, act, f"ann{number}@example.org", changes=True)
        await assert_nothing_left(judge, thieves)
        rows = sa.select(sa.func.count()).where(logins.c.account == made.account)
        assert await database.read(lambda connection, rows=rows: connection.execute(rows).scalar_one()) == 0  # type: ignore[misc]


@pytest.mark.parametrize("act", [end_login, log_out])
async def test_the_end_of_one_login_ends_no_other(judge: Judge, act: Act) -> None:
    for number in range(ROUNDS):
        made, thieves = await race(judge, act, f"ann{number}@example.org", changes=False)
        assert not await judge.is_valid(made.token)
        with pytest.raises(RequestError, match="refresh token"):
            await judge.edge.send(Refresh(made.refresh, ORIGIN))
        assert all([await judge.is_valid(token) for thief in thieves for token in thief.tokens])
