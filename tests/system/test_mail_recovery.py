"""A forgotten password is replaced with a ticket in a mail, over WebSocket and over HTTP. The mail server is real."""

import json
from collections.abc import Iterator

import pytest

from dragoman_client.errors import ConnectionEnded
from tests.support.cluster import RELAXED, Cluster
from tests.system.mail import Postbox, visit
from tests.system.operating import admin
from tests.system.users import NativeUser, new_account

pytestmark = pytest.mark.xdist_group("mail_recovery")


@pytest.fixture(scope="module")
def mailing(tmp_path_factory: pytest.TempPathFactory, postbox: Postbox) -> Iterator[Cluster]:
    with Cluster(tmp_path_factory.mktemp("mailing") / "data", *RELAXED, *postbox.flags()) as cluster:
        yield cluster


def secret(word: str) -> dict[str, str]:
    return {"scheme": "plain", "value": word}


@pytest.fixture
def ann(mailing: Cluster, postbox: Postbox) -> Iterator[NativeUser]:
    """The user Ann with a verified address, the password `orange`, and a named device."""
    with NativeUser(mailing.edges[0]) as ann:
        ann.account = new_account()
        members = {"nickname": "Ann", "email": ann.account.email, "device": "Ann's phone"}
        assert "verify" in ann.call("register", secret=secret("orange"), **members)
        ann.do("verify_mail")
        assert visit(postbox.link(ann.account.email)) == 200
        login = json.loads(ann.receive('{"re":1,"account"'))
        ann.account.number, ann.account.token = login["account"], login["token"]
        yield ann


def test_a_forgotten_password_is_replaced_by_a_mailed_ticket(
    ann: NativeUser, mailing: Cluster, postbox: Postbox
) -> None:
    email, before = ann.account.email, len(postbox.mails)
    with NativeUser(mailing.edges[1]) as forgetful:
        forgetful.do("recover", identifier=email)
        ticket = postbox.ticket(email, before)
        forgetful.do("recover", ticket=ticket, secret=secret("apple"))
        assert ann.event("bye")["code"] == "unauthenticated"
        with pytest.raises(ConnectionEnded):
            ann.read()
        again = forgetful.call("recover", ticket=ticket, secret=secret("pear"))["error"]
        assert (again["code"], again["field"]) == ("unauthenticated", "ticket")
        assert forgetful.call("login", identifier=email, secret=secret("orange"))["error"]["code"] == "unauthenticated"
        login = forgetful.call("login", identifier=email, secret=secret("apple"), device="tablet")
        assert login["account"] == ann.account.number
        assert [one["device"] for one in forgetful.call("sessions")["sessions"]] == ["tablet"]
        assert forgetful.call("export")["email_verified"] is True
    assert "by mail" in admin(mailing, "audit", email, "--act", "recover")
