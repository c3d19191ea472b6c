"""Tests the logins of a connection: tokens, revocations, logouts, and the time limit without a login."""

import pytest

from services.edge.canonical.commands import PostMessage
from services.edge.client.connection import PendingVerification, Phase
from services.edge.client.inbox import NOT_LOGGED_IN, RejectedFrame
from services.edge.dialects.base import Request
from services.edge.rate_limit import AccountRequests
from shared.contract.auth import IdentifierKind, Login, Revocation
from shared.contract.bots import TokenScope
from shared.contract.ids import AccountId, ChatId
from shared.contract.model import Scheme, Secret
from shared.tokens import Claims
from tests.unit.services.edge.client.intake import ENTERED, NOW, Intake, post
from tests.unit.services.edge.json_dialect import frame


@pytest.mark.parametrize(("token", "account", "seconds", "shown"), [
    ("good", 0, 100, True),
    ("good", 1, 100, True),
    ("good", 2, 100, False),
    ("good", 1, 101, False),
    ("other", 1, 100, False),
])  # fmt: skip
def test_a_verified_token_is_accepted_again_in_time_for_its_account(
    token: str, account: int, seconds: int, shown: bool
) -> None:
    each = Intake()
    each.connection.token, each.connection.token_expires = "good", 100
    request = Request(PostMessage(ChatId(1), ()), token=token, account=AccountId(account))
    assert each.connection.has_verified_token(request, seconds) is shown
    each.connection.logged_out()
    assert not each.connection.has_verified_token(request, seconds)


@pytest.mark.parametrize(
    ("frames", "pending", "at", "overdue"),
    [
        ([], False, 29, False), ([], False, 31, True), ([b"garbage"], False, 31, True),
        ([frame(do="status")], False, 899, False), ([frame(do="status")], False, 901, True),
        ([frame(do="status")], True, 901, False),
    ],
)  # fmt: skip
def test_a_connection_without_a_login_times_out(frames: list[bytes], pending: bool, at: float, overdue: bool) -> None:
    each = Intake(logged_in=False)
    for text in frames:
        each.receive(text, NOW)
    each.drain()
    if pending:
        login = Login(kind=IdentifierKind.ID, identifier="1", secret=Secret(Scheme.PLAIN, "x"))
        each.connection.pending_verification = PendingVerification(Request(login), "ticket", NOW + 600)
    assert bool(each.connection.timed_out(NOW + at, 30, 900)) == overdue
    each.connection.logged_in(ENTERED, AccountRequests(1, 1, NOW))
    assert not each.connection.timed_out(NOW + at, 30, 900)


def test_after_a_logout_the_connection_is_as_it_was_opened() -> None:
    each = Intake()
    each.connection.logged_out()
    each.receive(post(1), NOW)
    rejected = each.next_work(NOW)
    assert isinstance(rejected, RejectedFrame)
    assert rejected.failure is NOT_LOGGED_IN
    assert each.connection.phase is Phase.OPENED


@pytest.mark.parametrize(
    ("revocation", "token", "ended"),
    [
        (Revocation(4, AccountId(1), "sid", 0), None, True), (Revocation(3, AccountId(1), "sid", 0), None, False),
        (Revocation(4, AccountId(1), "other", 0), None, False), (Revocation(4, AccountId(1), "", 50), None, True),
        (Revocation(4, AccountId(1), "", 50), (99, 3), True), (Revocation(4, AccountId(1), "", 50), (20, 4), False),
    ],
)  # fmt: skip
def test_a_revocation_ends_the_logins_before_it(
    revocation: Revocation, token: tuple[int, int] | None, ended: bool
) -> None:
    """A revocation ends all logins of the account, or one session. It does not end later logins."""
    each = Intake(logged_in=False)
    claims = None
    if token is not None:
        issued, revision = token
        claims = Claims(AccountId(1), "sid", issued, issued + 100, "jti", revision=revision)
    each.connection.logged_in(ENTERED, AccountRequests(1, 1, NOW), claims)
    assert each.connection.is_ended_by(revocation) == ended


@pytest.mark.parametrize(
    ("scopes", "sid", "others", "may"),
    [(None, "other", None, True), ("send", "sid", "send", True), ("send", "other", "send manage", False),
     ("send", "other", None, False), (None, "other", "send", False)],
)  # fmt: skip
def test_a_bot_s_connection_keeps_its_token(scopes: str | None, sid: str, others: str | None, may: bool) -> None:
    """A bot's token can be replaced only by a token of the same session with the same scopes."""

    def claims(sid: str, scopes: str | None) -> Claims:
        granted = None if scopes is None else frozenset(map(TokenScope, scopes.split()))
        return Claims(AccountId(1), sid, 0, 100, "jti", granted)

    each = Intake(logged_in=False)
    assert each.connection.may_replace_token(claims(sid, others))
    each.connection.logged_in(ENTERED, AccountRequests(1, 1, NOW), claims("sid", scopes))
    assert each.connection.may_replace_token(claims(sid, others)) == may
    each.connection.logged_out()
    assert each.connection.scopes is None
