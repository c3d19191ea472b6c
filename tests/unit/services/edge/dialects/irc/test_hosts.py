"""Tests CHGHOST, which shows that a user has another user or host in its names."""

import pytest
from msgspec.structs import replace

from shared.contract.auth import Login
from shared.contract.edge import ProfileChanged
from shared.contract.model import Profile
from tests.unit.services.edge.dialects.irc.test_session import ENTERED, OTHER, IrcConnection, joined, unavailable


@pytest.mark.parametrize(("capabilities", "shown"), [("chghost account-notify", True), ("account-notify", False)])
def test_others_see_that_a_registered_guest_has_another_user(capabilities: str, shown: bool) -> None:
    connection = IrcConnection(capabilities=capabilities)
    profile = Profile(id=OTHER, uuid="u", nickname="Gus Gray", nick="gus")
    lines = connection.push(ProfileChanged(profile, registered=True, former_guest="~g"))
    moved = [":gus!~g@34.irc.dragoman.local CHGHOST u34 34.irc.dragoman.local"]
    account = [":gus!u34@34.irc.dragoman.local ACCOUNT gus"]
    assert lines == [*(moved if shown else ()), *account]


def test_a_user_sees_that_another_login_changes_its_host() -> None:
    connection = joined()
    connection.send("CAP REQ chghost")
    reply = replace(ENTERED, account=OTHER, nickname="Bob")
    connection.answer = lambda command: reply if isinstance(command, Login) else unavailable(command)
    lines = connection.log_in_by_sasl()
    assert ":Bob|34!u12@12.irc.dragoman.local CHGHOST u34 34.irc.dragoman.local" in lines
