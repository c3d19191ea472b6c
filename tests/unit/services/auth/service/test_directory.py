"""Users find other users by name, by requests over NATS."""

import pytest

from shared.contract.contacts import LookUpAccounts
from shared.contract.errors import ErrorCode
from shared.contract.ids import NO_ACCOUNT, AccountId
from shared.settings.limits import LimitsSettings
from tests.unit.services.auth.cluster import AuthCluster, EdgeProbe, rejection_code
from tests.unit.services.auth.conftest import ON_BOTH, MakeCluster

CALLER = AccountId(7)


async def look_up(edge: EdgeProbe, identifier: str, actor: AccountId = CALLER) -> list[AccountId]:
    return (await edge.bus.send(LookUpAccounts(identifier, actor))).accounts


@pytest.fixture
def cluster(make_cluster: MakeCluster, tables_url: str) -> AuthCluster:
    return make_cluster(tables_url, limits=LimitsSettings(searches_per_account=8))


@ON_BOTH
async def test_only_whole_names_find_an_account_and_searches_are_limited(edge: EdgeProbe) -> None:
    ann = (await edge.register("ann@example.org", username="ann")).account
    number = f"{ann}"
    bob = (await edge.register("bob@example.org", username="bob")).account
    assert [await look_up(edge, name) for name in ("ann", "Ann@Example.org", number)] == [[ann]] * 3
    assert [await look_up(edge, name) for name in ("an", "%", "ann@example", "999")] == [[]] * 4
    assert await look_up(edge, "bob") == [bob]
    assert await rejection_code(look_up(edge, "bob")) is ErrorCode.RATE_LIMITED
    assert await look_up(edge, "bob", actor=AccountId(8)) == [bob]
    for name in ("", "x" * 1_000):
        assert await rejection_code(look_up(edge, name, actor=AccountId(8))) is ErrorCode.INVALID
    assert await rejection_code(look_up(edge, "bob", actor=NO_ACCOUNT)) is ErrorCode.UNAUTHENTICATED


def test_a_request_shows_no_name_in_logs() -> None:
    assert "ann" not in repr(LookUpAccounts("ann@example.org", CALLER))
