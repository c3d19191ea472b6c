"""Registrations are pending until the user opens the link in a mail (codes 13, 14 and 15). The mail server is real."""

from collections.abc import Iterator

import pytest

from tests.support.cluster import RELAXED, Cluster
from tests.system.conftest import Dial
from tests.system.mail import Postbox, visit
from tests.system.users import V2User, new_account

pytestmark = pytest.mark.xdist_group("verification")

LIMIT_SECONDS = 6


@pytest.fixture(scope="module")
def verifying(tmp_path_factory: pytest.TempPathFactory, postbox: Postbox) -> Iterator[Cluster]:
    flags = postbox.flags(f"verification.time_limit_seconds={LIMIT_SECONDS}")
    with Cluster(tmp_path_factory.mktemp("verifying") / "data", *RELAXED, *flags) as cluster:
        yield cluster


@pytest.fixture
def applicant(verifying: Cluster, dial: Dial) -> V2User:
    """A user who has requested a registration and its mail."""
    client = dial(verifying.edges[0])
    assert client.request(client.registration(client.account), 13, 5) == {"code": 13}
    client.send({"code": 14})
    return client


def test_the_link_completes_the_registration(applicant: V2User, postbox: Postbox, verifying: Cluster) -> None:
    applicant.receive_nothing()
    assert visit(postbox.link(applicant.account.email)) == 200
    assert applicant.read() == {"code": 15, "status": 0}
    registered = applicant.read()
    assert (registered["code"], registered["status"]) == (5, 0)
    own = {"code": 10, "ocid": registered["ocid"], "request_values": ["nickname"]}
    assert applicant.request(own, 11)["data"] == {"nickname": applicant.account.name}


@pytest.mark.parametrize(("path", "key"), [("/ws/ourchat-v0", "mail"), ("/ws/ourchat-v1", "email")])
def test_clients_without_verification_get_the_mail_and_try_again(
    verifying: Cluster, postbox: Postbox, dial: Dial, path: str, key: str
) -> None:
    client, account = dial(verifying.edges[0], path=path), new_account()
    data = {key: account.email, "password": account.secret, "name": "x"}
    rejected = client.request({"code": 4, "time": 0, "data": data}, 5)
    assert (rejected["data"]["state"], "a mail was sent" in rejected["data"]["details"]) == (1, True)
    assert visit(postbox.link(account.email)) == 200
    client.receive_nothing()
    assert client.request({"code": 4, "time": 0, "data": data}, 5)["data"]["state"] == 0
