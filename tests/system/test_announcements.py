"""An operator's announcement.

Users of each dialect see it once, also after an absence, and also if the command is repeated.
"""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from shared.contract.ids import SYSTEM_ACCOUNT
from tests.support.cluster import Cluster
from tests.system.operating import admin
from tests.system.users import DialectUser

pytestmark = pytest.mark.xdist_group("system")

TEXT = "Closed from ten to eleven"


class AnnouncementRecipients:
    """The recipients: one user of each dialect. Their edges alternate."""

    def __init__(self, system: Cluster, stack: ExitStack) -> None:
        self._system = system
        dialects = ("ourchat-v0", "ourchat-v1", "ourchat-v2", "pipe", "service")
        edges = enumerate(dialects)
        users = [stack.enter_context(DialectUser(system.edges[at % 2], dialect)).register() for at, dialect in edges]
        self.zoe, self.vic, self.wil, self.pat, self.sue = users

    def announce(self, text: str, *users: DialectUser) -> str:
        named = [part for one in users for part in ("--to", str(one.number))]
        return admin(self._system, "announce", text, "--yes", *named)

    def back(self, one: DialectUser, edge: int) -> DialectUser:
        """Logs the user in again in v1, at this edge."""
        again = DialectUser(self._system.edges[edge], "ourchat-v1")
        again.login_v1(one.number, one.tag)
        return again

    def ping(self, *users: DialectUser) -> None:
        """Sends a message of another user after everything else.

        A client that has received this message has received everything before it.
        """
        members = [str(one.number) for one in users]
        made = self.wil.request({"code": 8, "members": members, "name": "s"}, '"code":9,"status":0')
        sender = {"session_id": json.loads(made)["session_id"]}
        self.wil.request({"code": 0, "sender": sender, "msg": [{"type": 0, "text": "ping"}]}, '"code":0', "ping")
        for one in users:
            one.receive("ping")


@pytest.fixture
def recipients(system: Cluster) -> Iterator[AnnouncementRecipients]:
    with ExitStack() as stack:
        yield AnnouncementRecipients(system, stack)


def data(frame: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(frame)["data"]
    return found


def announcements(one: DialectUser) -> list[str]:
    """Returns the announcements among the frames that have arrived."""
    return [frame for frame in one.pending if TEXT in frame]


def test_every_dialect_shows_an_announcement_as_a_private_message(recipients: AnnouncementRecipients) -> None:
    output = recipients.announce(TEXT, recipients.zoe, recipients.vic, recipients.wil, recipients.pat, recipients.sue)
    assert output.startswith("5 of 5 accounts have the announcement ")
    assert data(recipients.zoe.receive(TEXT))["sender_id"] == str(SYSTEM_ACCOUNT)
    assert data(recipients.vic.receive(TEXT))["sender"] == {"ocid": SYSTEM_ACCOUNT, "private_id": recipients.vic.number}
    assert recipients.pat.receive(TEXT).startswith(f"message|0|{SYSTEM_ACCOUNT}|")
    message = json.loads(recipients.wil.receive(TEXT))
    assert message["sender"]["ocid"] == str(SYSTEM_ACCOUNT)
    session = message["sender"]["session_id"]
    recipients.wil.receive('"code":9', f'"session_id":"{session}"')
    chats = recipients.sue.request({"service_code": 4, "content": {"token": recipients.sue.token}}, '"values"')
    (chat,) = json.loads(chats)["content"]["values"]
    assert (chat["type"], chat["name"], len(chat["usrs"])) == ("service", "Dragoman", 2)


def test_an_announcement_arrives_once_and_at_the_next_login_of_an_absent_account(
    recipients: AnnouncementRecipients,
) -> None:
    late = recipients.zoe
    away = recipients.vic
    away.connection.close()
    for _ in range(2):
        assert recipients.announce(TEXT, recipients.pat, away, recipients.wil).startswith(
            "3 of 3 accounts have the announcement "
        )
    recipients.pat.receive(TEXT)
    recipients.wil.receive('"code":9')
    recipients.wil.receive(TEXT)
    with recipients.back(away, edge=1) as back:
        back.receive(TEXT)
        assert recipients.announce(TEXT, recipients.pat, back, recipients.wil, late).startswith("4 of 4 ")
        late.receive(TEXT)
        recipients.ping(back, recipients.pat, late)
        assert [announcements(one) for one in (back, recipients.pat, recipients.wil, late)] == [[]] * 4
        back.connection.close()
    recipients.announce(TEXT, away)
    with recipients.back(away, edge=0) as again:
        recipients.ping(again)
        assert announcements(again) == []
