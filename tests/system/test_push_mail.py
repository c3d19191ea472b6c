"""An account without a device is notified by mail: from a message of OurChat v2 to a real mail server.

One click in a mail ends these mails.
"""

import json
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from tests.support.cluster import RELAXED, Cluster
from tests.system.mail import Postbox, fetch, visit
from tests.system.operating import admin
from tests.system.users import NativeUser, V2User, new_account

pytestmark = pytest.mark.xdist_group("mail_recovery")

PUBLIC = "https://chat.example"


@pytest.fixture(scope="module")
def mailing(tmp_path_factory: pytest.TempPathFactory, postbox: Postbox) -> Iterator[Cluster]:
    flags = postbox.flags(
        "push.mail_minutes=0.03", "push.delay_seconds=0.5", "language=en", f"edge.public_url={PUBLIC}"
    )
    with Cluster(tmp_path_factory.mktemp("mailing") / "data", *RELAXED, *flags) as cluster:
        yield cluster


def at(edge: str, link: str) -> str:
    return link.replace(PUBLIC, f"http://{urlsplit(edge).netloc}")


def registered(user: NativeUser | V2User, edge: str, postbox: Postbox) -> str:
    """Completes a registration by opening the mailed link on this edge. Returns the e-mail address."""
    address = user.account.email
    link = postbox.link(address)
    assert visit(at(edge, link)) == 200
    return address


def test_what_nobody_reads_is_mailed_until_one_click_ends_it(mailing: Cluster, postbox: Postbox) -> None:
    here, there = mailing.edges[:2]
    with NativeUser(here) as ann, V2User(there) as bob:
        ann.account = new_account()
        secret = {"scheme": "plain", "value": "orange"}
        assert "verify" in ann.call("register", secret=secret, nickname="Ann", email=ann.account.email)
        ann.do("verify_mail")
        address = registered(ann, here, postbox)
        ann.account.number = json.loads(ann.receive('{"re":1,"account"'))["account"]
        assert ann.call("push_key")["mail_minutes"] == 0.03
        number = ann.call("subscribe", kind="mail")["subscription"]

        bob.account = new_account()
        assert bob.request(bob.registration(bob.account), 13, 5) == {"code": 13}
        bob.send({"code": 14})
        registered(bob, there, postbox)
        bob.account.number = int(bob.receive_where(lambda frame: frame["code"] == 5)["ocid"])
        chat = ann.call("open", account=bob.account.number)["chat"]
        bob.list_session(chat)
        before = len(postbox.mails)
        bob.post(chat, "Hello")
        mail = postbox.message(address, before)
        assert mail["Subject"] == "1 unread message"
        assert mail.get_content().startswith(f"1 unread message from {bob.account.name} since ")
        assert "Hello" not in mail.get_content()
        noted_by = time.monotonic() + 10
        while "last_ok" not in (listed := ann.call("subscriptions")["subscriptions"][0]):
            assert time.monotonic() < noted_by, "the acceptance of a mail is noted soon after it"
        assert (listed["kind"], listed["subscription"]) == ("mail", number)
        assert "mailto:" in admin(mailing, "push", "list", str(ann.account.number))

        assert mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
        link = mail["List-Unsubscribe"].strip("<>")
        assert link.startswith(f"{PUBLIC}/unsubscribe/")
        assert fetch(at(there, link), b"List-Unsubscribe=One-Click")[0] == 200
        assert ann.call("subscriptions")["subscriptions"] == []
