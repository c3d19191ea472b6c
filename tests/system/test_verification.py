"""Registrations are pending until the user opens the link in a mail (codes 13, 14 and 15). The mail server is real."""

from collections.abc import Iterator
from urllib.parse import urlsplit

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


def on(edge: str, link: str) -> str:
    """Returns the same link, but to another edge."""
    return link.replace(urlsplit(link).netloc, urlsplit(edge).netloc)


def test_the_link_completes_the_registration(applicant: V2User, postbox: Postbox, verifying: Cluster) -> None:
    applicant.receive_nothing()
    assert visit(postbox.link(applicant.account.email)) == 200
    assert applicant.read() == {"code": 15, "status": 0}
    registered = applicant.read()
    assert (registered["code"], registered["status"]) == (5, 0)
    own = {"code": 10, "ocid": registered["ocid"], "request_values": ["nickname"]}
    assert applicant.request(own, 11)["data"] == {"nickname": applicant.account.name}


def test_any_edge_serves_the_link(applicant: V2User, postbox: Postbox, verifying: Cluster) -> None:
    assert visit(on(verifying.edges[1], postbox.link(applicant.account.email))) == 200
    assert [applicant.read()["code"], applicant.read()["code"]] == [15, 5]


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


def test_an_account_exists_only_after_the_link(
    applicant: V2User, postbox: Postbox, verifying: Cluster, dial: Dial
) -> None:
    """Until a link is opened, the address is free.

    Another user may register with it, and the first opened link gets it.
    """
    login = {"code": 6, "login_type": 0, "account": applicant.account.email, "password": applicant.account.secret}
    other = dial(verifying.edges[1])
    assert other.request(login, 7, 13) == {"code": 7, "status": 1}
    assert other.request(V2User.registration(applicant.account), 13, 5) == {"code": 13}


def test_a_link_opened_when_the_connection_is_gone_counts_for_the_next_attempt(
    verifying: Cluster, postbox: Postbox, dial: Dial
) -> None:
    account = new_account()
    with V2User(verifying.edges[0]) as client:
        assert client.request(client.registration(account), 13) == {"code": 13}
        client.send({"code": 14})
        link = postbox.link(account.email)
    assert visit(link) == 200
    again = dial(verifying.edges[1])
    assert again.request(again.registration(account), 13, 5)["status"] == 0
