"""Each wrong frame gets the error reply of its dialect, and has no other effect.

The frames are the table in tests/system/bad_input.py.
"""

import json
import re
import secrets
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from string import Template

import pytest

from services.auth.adapters.signing_keys import SigningKeys
from shared.contract.ids import AccountId
from shared.settings.accounts import AuthSettings
from tests.support.cluster import Cluster
from tests.support.waiting import WAIT_SECONDS
from tests.system.bad_input import ROWS, Row
from tests.system.users import DialectUser, posting

pytestmark = pytest.mark.xdist_group("system")

DIALECTS = ("ourchat-v0", "ourchat-v1", "ourchat-v2", "pipe", "service", "native")
NOBODY = 9_000_000_000
_RECEIPTS = '{"ev":"receipts"'
_LONG_AGO_SECONDS = 31 * 24 * 3600
_TEXTS = {
    "missing": str(NOBODY), "huge": "x" * (64 * 1024 + 1), "deep": "[" * 40 + "]" * 40,
    "segments65": ", ".join(['{"type": 0, "text": "x"}'] * 65),
}  # fmt: skip


class BadInputFixture:
    """A user of each dialect, in a chat with a bystander. The bystander uses v2 on the other edge.

    The class also has the values for the names in the frames of the table.
    """

    def __init__(self, system: Cluster, elsewhere: Path, stack: ExitStack) -> None:
        self._edge = system.edges[0]
        self.bystander = stack.enter_context(DialectUser(system.edges[1], "ourchat-v2")).register()
        closed = self._session()
        self.users = {one: stack.enter_context(DialectUser(self._edge, one)).register() for one in DIALECTS}
        self.commons = {one: self._session(user.number) for one, user in self.users.items()}
        self._mine = self._own_group()
        gone = self._without_tokens(stack.enter_context(DialectUser(self._edge, "pipe")).register())
        self._shared = _TEXTS | {
            "other": str(self.bystander.number), "closed": str(closed), "other_uuid": str(uuid.uuid4()),
            "gone": str(gone.number), "revoked": gone.token,
        }  # fmt: skip
        self._keys = SigningKeys(AuthSettings(keys=system.data / "keys")), SigningKeys(AuthSettings(keys=elsewhere))
        self._settle()

    def _session(self, *members: int) -> int:
        frame = {"code": 8, "members": [str(one) for one in members]}
        return int(json.loads(self.bystander.request(frame, '"code":9,"status":0'))["session_id"])

    def _own_group(self) -> int:
        pat = self.users["pipe"]
        created = pat.request(f"create_group|{pat.number}|x|{pat.token}", "create_group_succ|")
        return int(created.split("|")[1])

    def _without_tokens(self, gone: DialectUser) -> DialectUser:
        """Sets a new password, which makes all earlier tokens invalid."""
        profile = f"update_profile|{gone.number}|{gone.token}|{gone.tag}|1||1|answer"
        gone.request(profile, "update_profile_succ|")
        gone.request(f"forget_passwd|{gone.tag}|1|answer|{gone.md5}", "up_pass_succ|")
        deadline = time.monotonic() + WAIT_SECONDS
        while True:
            with DialectUser(self._edge, "pipe") as fresh:
                if "_error|" in fresh.request(f"get_user_friend|{gone.number}|{gone.token}", "|"):
                    return gone
            assert time.monotonic() < deadline

    def _settle(self) -> None:
        """Waits until the events of the setup have arrived: the session is listed in v2, and v1 has its
        notifications."""
        listed = {"code": 1, "session_id": str(self.commons["ourchat-v2"]), "request_values": ["session_id"]}
        self.users["ourchat-v2"].request(listed, '"code":2')
        self.users["ourchat-v1"].receive(f'"group_id":{self.commons["ourchat-v1"]}')
        self.users["native"].receive('{"ev":"chat"')
        for one in DIALECTS:
            self.check(one)
            self.users[one].pending.clear()

    def frame(self, row: Row) -> str | bytes:
        if isinstance(row.frame, bytes):
            return row.frame
        user, (own, alien) = self.users[row.dialect], self._keys
        other = self.users["pipe" if row.dialect == "service" else "service"]
        account = AccountId(user.number)
        return Template(row.frame).substitute(
            self._shared, me=user.number, common=self.commons[row.dialect], mine=self._mine,
            mail=user.mail, tag=user.tag, uuid=user.uuid, token=user.token, foreign=other.token,
            tampered=user.token[:-8] + "AAAAAAAA", expired=own.issue(account, time.time() - _LONG_AGO_SECONDS, 0).text,
            alien=alien.issue(account, time.time(), 0).text,
        )  # fmt: skip

    def check(self, dialect: str) -> None:
        """Checks that the user of the wrong frame is still logged in and can post.

        The user gets the bystander's next message, and nothing else.
        """
        user, chat = self.users[dialect], self.commons[dialect]
        _send(user, chat, secrets.token_hex(6))
        text = secrets.token_hex(6)  # the bystander needs another text than the user, to recognise the echo
        sender = {"session_id": str(chat)}
        self.bystander.request({"code": 0, "time": 0, "sender": sender, "msg": [{"type": 0, "text": text}]}, text)
        if dialect == "service":
            newest = {"token": user.token, "chat": chat, "index": -1, "count": 1}
            user.request({"service_code": 3, "content": newest}, text)
        else:
            user.receive(text)
        self.bystander.pending.clear()

    def fresh(self, dialect: str) -> DialectUser:
        return DialectUser(self._edge, dialect)


def _send(user: DialectUser, chat: int, text: str) -> None:
    """Sends a message, and waits until it is acknowledged."""
    acknowledged = {"pipe": "send_message_succ|", "service": '"index"', "native": '{"re":1,"chat"'}
    user.request(posting(user, chat, text), acknowledged.get(user.dialect, text))


def _read_answer(user: DialectUser) -> str:
    """Returns the next frame that is not a receipt.

    Receipts arrive at any time, when the bystander has read a message.
    """
    while (frame := user.read()).startswith(_RECEIPTS):
        pass
    return frame


def _unexpected(user: DialectUser) -> list[str]:
    return [frame for frame in user.pending if not frame.startswith(_RECEIPTS)]


def check_holds(answer: str, held: str) -> None:
    assert re.search(".+".join(map(re.escape, held.split("…"))), answer), answer[:500]


@pytest.fixture(scope="module")
def fixture(system: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[BadInputFixture]:
    with ExitStack() as stack:
        yield BadInputFixture(system, tmp_path_factory.mktemp("alien"), stack)


@pytest.mark.parametrize("row", [row for row in ROWS if not row.fresh], ids=lambda row: f"{row.dialect}: {row.wrong}")
def test_a_wrong_frame_gets_its_error_and_nothing_else_is_lost(fixture: BadInputFixture, row: Row) -> None:
    user = fixture.users[row.dialect]
    user.send(fixture.frame(row))
    for held in row.answers:
        check_holds(_read_answer(user), held)
    fixture.check(row.dialect)
    assert _unexpected(user) == []


@pytest.mark.parametrize("row", [row for row in ROWS if row.fresh], ids=lambda row: f"{row.dialect}: {row.wrong}")
def test_a_wrong_frame_before_the_login_does_not_prevent_it(fixture: BadInputFixture, row: Row) -> None:
    with fixture.fresh(row.dialect) as stranger:
        stranger.send(fixture.frame(row))
        for held in row.answers:
            check_holds(stranger.read(), held)
        stranger.register()
        assert stranger.pending == []
