"""The operator's requests on accounts, over NATS."""

from collections.abc import Iterator

import pytest
import structlog
from structlog.typing import EventDict

from services.auth.domain import MAX_DELAY_SECONDS
from services.auth.service import administration
from shared.bus.client import Bus
from shared.contract.admin import FindUser, Kick, ResetPassword, SetDisabled, UserView
from shared.contract.auth import Authenticated, DeleteAccount, IdentifierKind, ListRevocations, VerificationNeeded
from shared.contract.edge import Kicked, Revoked
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.ids import AccountId
from shared.contract.model import Scheme, Secret
from shared.contract.recovery import Recover
from shared.contract.subjects import DELETE_USER
from shared.settings.accounts import VerificationSettings
from tests.unit.services.auth.cluster import AuthCluster, EdgeProbe, plain, rejection, rejection_code
from tests.unit.services.auth.conftest import ON_BOTH, StartCluster

UUID = "00000000-0000-4000-8000-000000000001"
NOBODY = AccountId(99)


@pytest.fixture
async def operator(cluster: AuthCluster, edge: EdgeProbe) -> Bus:
    return await cluster.operator()


@pytest.fixture
def audit(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[EventDict]]:
    # the module's own logger is already bound to another output
    monkeypatch.setattr(administration, "_log", structlog.get_logger())
    with structlog.testing.capture_logs() as entries:
        yield entries


async def rejected_login(edge: EdgeProbe, email: str, password: str = "secret") -> RequestError:
    return await rejection(edge.login(email, password))


async def test_an_account_is_found_by_every_identifier(edge: EdgeProbe, operator: Bus) -> None:
    made = await edge.register("ann@example.org", username="ann", uuid=UUID, answer="blue")
    view = UserView(
        account=made.account, uuid=UUID, email="ann@example.org", username="ann", nickname="Ann", created=made.created,
        disabled=False, schemes=["md5", "plain", "sha256"], recoverable=True,
    )  # fmt: skip
    for identifier in ("Ann@Example.org", "ann", f"{made.account:010d}"):
        assert await operator.send(FindUser(IdentifierKind.ANY, identifier)) == view
    assert await operator.send(FindUser(IdentifierKind.UUID, UUID)) == view


async def test_a_disabled_account_is_disconnected_and_rejected_like_a_wrong_secret(
    edge: EdgeProbe, operator: Bus
) -> None:
    ann = await edge.register("ann@example.org")
    await operator.send(SetDisabled(ann.account, True))
    [revocation] = (await edge.receive(Revoked)).revocations
    assert (revocation.account, revocation.sid) == (ann.account, "")
    assert (await edge.send(ListRevocations())).revocations == [revocation]
    disabled = await rejected_login(edge, "ann@example.org")
    wrong = await rejected_login(edge, "ann@example.org", "wrong")
    assert (disabled.failure, disabled.failure.code) == (wrong.failure, ErrorCode.UNAUTHENTICATED)
    assert (await operator.send(FindUser(IdentifierKind.ANY, "ann@example.org"))).disabled


async def test_a_disabled_account_cannot_be_recovered(edge: EdgeProbe, operator: Bus) -> None:
    ann = await edge.register("ann@example.org", question_id=1, answer="blue")
    await operator.send(SetDisabled(ann.account, True))
    recovery = Recover(username="ann@example.org", question_id=1, answer="blue", secret=plain("new"))
    assert await rejection_code(edge.send(recovery)) == ErrorCode.UNAUTHENTICATED
    await operator.send(SetDisabled(ann.account, False))
    await edge.send(recovery)


async def test_an_enabled_account_logs_in_again_with_valid_tokens(edge: EdgeProbe, operator: Bus) -> None:
    ann = await edge.register("ann@example.org")
    await operator.send(SetDisabled(ann.account, True))
    await operator.send(SetDisabled(ann.account, False))
    login = await edge.login("ann@example.org")
    assert isinstance(login, Authenticated)
    assert login.revision == (await edge.send(ListRevocations())).last


async def test_a_reset_password_replaces_the_old_one(edge: EdgeProbe, operator: Bus) -> None:
    ann = await edge.register("ann@example.org")
    await operator.send(ResetPassword(ann.account, "brand-new"))
    assert [one.account for one in (await edge.receive(Revoked)).revocations] == [ann.account]
    assert (await rejected_login(edge, "ann@example.org")).failure.code == ErrorCode.UNAUTHENTICATED
    assert isinstance(await edge.login("ann@example.org", "brand-new"), Authenticated)


async def test_a_password_reset_resets_the_failed_logins(start: StartCluster) -> None:
    cluster, edge = await start(verification=VerificationSettings(after_failed_logins=1))
    operator = await cluster.operator()
    ann = await edge.register("ann@example.org")
    await rejected_login(edge, "ann@example.org", "wrong")
    assert isinstance(await edge.login("ann@example.org"), VerificationNeeded)
    await operator.send(ResetPassword(ann.account, "brand-new"))
    assert isinstance(await edge.login("ann@example.org", "brand-new"), Authenticated)


async def test_a_password_reset_removes_the_security_question(edge: EdgeProbe, operator: Bus) -> None:
    ann = await edge.register("ann@example.org", question_id=1, answer="blue")
    await operator.send(ResetPassword(ann.account, "brand-new"))
    recovery = Recover(username="ann@example.org", question_id=1, answer="blue", secret=plain("new"))
    assert await rejection_code(edge.send(recovery)) == ErrorCode.UNAUTHENTICATED
    assert not (await operator.send(FindUser(IdentifierKind.ANY, "ann@example.org"))).recoverable


async def test_a_service_client_s_new_secret_is_no_password(edge: EdgeProbe, operator: Bus) -> None:
    robot = await edge.register("robot@example.org", secret=Secret(Scheme.SERVICE, "old"), uuid=UUID)
    await operator.send(ResetPassword(robot.account, "brand-new"))
    assert (await rejected_login(edge, "robot@example.org", "brand-new")).failure.code == ErrorCode.UNAUTHENTICATED
    login = await edge.login("robot@example.org", secret=Secret(Scheme.SERVICE, "brand-new"))
    assert isinstance(login, Authenticated)


async def test_a_kick_notifies_every_edge(edge: EdgeProbe, operator: Bus) -> None:
    ann = await edge.register("ann@example.org")
    await operator.send(Kick(ann.account))
    assert await edge.receive(Kicked) == Kicked(ann.account)
    assert isinstance(await edge.login("ann@example.org"), Authenticated)


async def test_an_operator_deletes_an_account_as_its_user_does(
    cluster: AuthCluster, edge: EdgeProbe, operator: Bus
) -> None:
    session, message = await cluster.session(), await cluster.message()
    ann = await edge.register("ann@example.org")
    await operator.request(DELETE_USER, DeleteAccount(ann.account))
    assert session.erased == message.erased == [ann.account]
    assert (await session.deleted.get()).account == ann.account
    assert await rejection_code(operator.send(FindUser(IdentifierKind.ID, str(ann.account)))) == ErrorCode.NOT_FOUND


async def test_an_unknown_account_is_not_found(operator: Bus) -> None:
    for work in (
        operator.send(FindUser(IdentifierKind.ANY, "nobody")),
        operator.send(SetDisabled(NOBODY, True)),
        operator.send(SetDisabled(NOBODY, False)),
        operator.send(ResetPassword(NOBODY, "new")),
        operator.send(Kick(NOBODY)),
    ):
        assert await rejection_code(work) == ErrorCode.NOT_FOUND


async def test_only_an_operator_may_send_these_requests(edge: EdgeProbe, operator: Bus) -> None:
    ann = await edge.register("ann@example.org")
    unheard = edge.bus.send(SetDisabled(ann.account, True), seconds=MAX_DELAY_SECONDS)
    assert await rejection_code(unheard) == ErrorCode.UNAVAILABLE
    assert isinstance(await edge.login("ann@example.org"), Authenticated)


@ON_BOTH
async def test_every_act_is_logged_without_secrets(edge: EdgeProbe, operator: Bus, audit: list[EventDict]) -> None:
    ann = await edge.register("ann@example.org")
    await operator.send(FindUser(IdentifierKind.ANY, "ann@example.org"))
    await operator.send(SetDisabled(ann.account, True))
    await operator.send(SetDisabled(ann.account, False))
    await operator.send(ResetPassword(ann.account, "brand-new"))
    await operator.send(Kick(ann.account))
    await operator.request(DELETE_USER, DeleteAccount(ann.account))
    acts = [entry for entry in audit if entry["event"] == "operator acts"]
    assert [entry["act"] for entry in acts] == ["find", "disable", "enable", "reset password", "kick", "delete"]
    assert {(entry["by"], entry["account"]) for entry in acts} == {("admin", ann.account)}
    assert "brand-new" not in str(audit)
    assert "brand-new" not in repr(ResetPassword(ann.account, "brand-new"))
