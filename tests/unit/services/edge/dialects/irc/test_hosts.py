"""Tests CHGHOST, which shows that a user has another user or host in its names."""

import pytest

from shared.contract.auth import Authenticated, Login
from shared.contract.edge import ProfileChanged
from shared.contract.errors import ErrorCode, Failure
from shared.contract.model import Profile
from tests.unit.services.edge.dialects.irc.test_session import OTHER, IrcConnection, joined


@pytest.mark.parametrize(("capabilities", "shown"), [("chghost account-notify", True), ("account-notify", False)])
def test_others_see_that_a_registered_guest_has_another_user(capabilities: str, shown: bool) -> None:
    connection = IrcConnection(lambda _: Failure(ErrorCode.UNAVAILABLE, "later"), capabilities)
    profile = Profile(id=OTHER, uuid="u", nickname="Gus Gray", nick="gus")
    lines = connection.push(ProfileChanged(profile, registered=True, former_guest="~g"))
    moved = [":gus!~g@34.irc.dragoman.local CHGHOST u34 34.irc.dragoman.local"]
    account = [":gus!u34@34.irc.dragoman.local ACCOUNT gus"]
    assert lines == [*(moved if shown else ()), *account]


def test_a_user_sees_that_another_login_changes_its_host() -> None:
    connection = joined()
    connection.send("CAP REQ chghost")
    reply = Authenticated(account=OTHER, sid="s", token="t", expires=0, uuid="u", nickname="Bob")
    connection.answer = lambda command: reply if isinstance(command, Login) else Failure(ErrorCode.UNAVAILABLE, "later")
    connection.send("AUTHENTICATE PLAIN")
    lines = connection.send("AUTHENTICATE AGFubgBvcmFuZ2U=")
    assert ":Bob|34!u12@12.irc.dragoman.local CHGHOST u34 34.irc.dragoman.local" in lines
