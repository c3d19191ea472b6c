"""The databases of an installation belong together.

If one is lost, older or from elsewhere, the error names it and a remedy.
"""

import pytest

from shared.contract.ids import AccountId, ChatId
from shared.contract.installation import DatabaseState
from shared.installation import DatabasesApart, require_together


def state(
    installation: str = "", agreed: bool = False, account: int = 0, account_time: int = 0, chat: int = 0
) -> DatabaseState:
    return DatabaseState(installation, agreed, AccountId(account), account_time, ChatId(chat))


NEW = {name: state() for name in ("auth", "session", "message")}
OLD = {"auth": state(account=6), "session": state(account=6, chat=9), "message": state(account=5, chat=8)}
USED = {
    "auth": state("us", True, account=6),
    "session": state("us", True, account=6, account_time=1_764_274_260_000, chat=9),
    "message": state("us", True, account=5, chat=8),
}


@pytest.mark.parametrize("states", [NEW, OLD, USED])
def test_new_former_and_agreed_databases_belong_together(states: dict[str, DatabaseState]) -> None:
    require_together(states)


def test_an_identity_that_is_not_agreed_yet_proves_no_loss() -> None:
    require_together(USED | {"auth": state("us", account=6)})
    require_together({"auth": state("us"), "session": state(), "message": state("us")})


@pytest.mark.parametrize("lost", ["auth", "session", "message"])
def test_a_lost_database_is_named(lost: str) -> None:
    with pytest.raises(DatabasesApart, match=f"of {lost} is new, and .* lost or replaced. .*--only {lost} DIR"):
        require_together(USED | {lost: state()})


def test_a_database_of_another_installation_is_named() -> None:
    with pytest.raises(DatabasesApart, match="auth and session are of different installations"):
        require_together(USED | {"auth": state("them", True, account=9)})


@pytest.mark.parametrize("states", [OLD, USED])
def test_an_older_database_is_named(states: dict[str, DatabaseState]) -> None:
    older = states["auth"]
    with pytest.raises(
        DatabasesApart, match=r"of auth is older than that of session: it ends with account 3, but .* 6"
    ):
        require_together(states | {"auth": state(older.installation, older.agreed, account=3)})
    with pytest.raises(
        DatabasesApart, match=r"of session is older than that of message: it ends with chat 7, .* chat 8"
    ):
        require_together(states | {"session": state(older.installation, older.agreed, account=5, chat=7)})


def test_the_backup_to_restore_is_newer_than_the_highest_number() -> None:
    with pytest.raises(DatabasesApart, match="account 6 of 2025-11-27 20:11:00 UTC"):
        require_together(USED | {"auth": state("us", True, account=5)})
