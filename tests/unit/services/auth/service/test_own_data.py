"""A user exports the data that auth stores about the user's account."""

from shared.contract.admin import SearchTrail
from shared.contract.auth import ListLogins
from shared.contract.errors import ErrorCode
from shared.contract.ids import AccountId
from shared.contract.made import ExportLogins
from shared.settings.limits import LimitsSettings
from tests.unit.services.auth.cluster import ELSEWHERE, EdgeProbe, rejection_code
from tests.unit.services.auth.conftest import ON_BOTH, StartCluster

EMAIL = "ann@example.org"


@ON_BOTH
async def test_an_account_gets_its_own_data_and_no_secret(start: StartCluster) -> None:
    cluster, edge = await start()
    operator = await cluster.operator()
    made = await edge.register(
        EMAIL, username="ann", question_id=3, answer="the answer", refreshable=True, device="tablet"
    )
    await edge.register("bob@example.org")
    record = await edge.send(ExportLogins(made.account, ELSEWHERE))
    assert (record.email, record.username, record.question_id) == (EMAIL, "ann", 3)
    assert record.created == made.created
    assert record.logins == (await edge.send(ListLogins(made.account))).logins
    assert [(one.sid, one.device) for one in record.logins] == [(made.sid, "tablet")]
    assert EMAIL not in repr(record)
    found = (await operator.send(SearchTrail(act="export"))).acts
    assert [(one.account, one.by, one.address) for one in found] == [(made.account, "user", ELSEWHERE.address)]


async def test_exports_are_limited_for_each_account(start: StartCluster) -> None:
    _, edge = await start(limits=LimitsSettings(exports_per_account=2))
    ann, bob = await edge.register(EMAIL), await edge.register("bob@example.org")
    for _ in range(2):
        await edge.send(ExportLogins(ann.account))
    assert await rejection_code(edge.send(ExportLogins(ann.account))) == ErrorCode.RATE_LIMITED
    assert (await edge.send(ExportLogins(bob.account))).email == "bob@example.org"


async def test_no_account(edge: EdgeProbe) -> None:
    for account, code in ((0, ErrorCode.UNAUTHENTICATED), (10**6, ErrorCode.NOT_FOUND)):
        assert await rejection_code(edge.send(ExportLogins(AccountId(account)))) == code
