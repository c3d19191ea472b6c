"""The rules alone."""

from collections.abc import Callable

import pytest

from services.session.domain import Candidate, check_account, check_seed, default_name, heir, new_chat, new_values
from shared.contract.errors import ErrorCode, Refused
from shared.contract.ids import NOBODY, AccountId
from shared.contract.model import ChatKind, Role
from shared.contract.session import CreateChat, EnsureProfile, SetProfile
from shared.settings import Limits

ANN, BOB, CEM = AccountId(1), AccountId(2), AccountId(3)
LIMITS = Limits()


def refusal(action: Callable[[], object]) -> tuple[ErrorCode, str]:
    with pytest.raises(Refused) as caught:
        action()
    return caught.value.failure.code, caught.value.failure.field


@pytest.mark.parametrize(
    ("candidates", "expected"),
    [
        ([], None),
        ([Candidate(ANN, Role.MEMBER, 4)], ANN),
        ([Candidate(ANN, Role.MEMBER, 4), Candidate(BOB, Role.MEMBER, 2)], BOB),
        ([Candidate(ANN, Role.MEMBER, 1), Candidate(BOB, Role.ADMIN, 7), Candidate(CEM, Role.ADMIN, 5)], CEM),
    ],
)
def test_a_chat_goes_to_the_oldest_admin_else_the_oldest_member(
    candidates: list[Candidate], expected: AccountId | None
) -> None:
    best = heir(candidates)
    assert (best and best.account) == expected


@pytest.mark.parametrize(
    ("nicknames", "name"),
    [
        (["Ann"], "Ann"),
        (["Ann", "Bob"], "Ann、Bob"),
        (["Ann", "Bob", "Cem", "Dan"], "Ann、Bob、Cem"),
        (["x" * 64] * 3, "x" * 64 + "、" + "x" * 63),
    ],
)
def test_a_chat_without_a_name_is_called_by_its_first_members(nicknames: list[str], name: str) -> None:
    assert default_name(nicknames, 128) == name


def test_a_new_chat_has_its_creator_first_and_everybody_once() -> None:
    assert new_chat(CreateChat(members=[CEM, BOB, ANN, CEM], actor=ANN), LIMITS) == [ANN, CEM, BOB]
    assert new_chat(CreateChat(members=[], actor=ANN), LIMITS) == [ANN]


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (CreateChat(members=[BOB]), (ErrorCode.UNAUTHENTICATED, "")),
        (CreateChat(members=[BOB], actor=ANN, kind=ChatKind.PRIVATE), (ErrorCode.INVALID, "kind")),
        (CreateChat(members=[NOBODY], actor=ANN), (ErrorCode.NOT_FOUND, "members")),
        (CreateChat(members=[AccountId(2**63)], actor=ANN), (ErrorCode.NOT_FOUND, "members")),
        (CreateChat(members=[], actor=ANN, name="x" * 129), (ErrorCode.TOO_LARGE, "name")),
        (CreateChat(members=[], actor=ANN, name="a\0b"), (ErrorCode.INVALID, "name")),
        (CreateChat(members=[], actor=ANN, avatar="javascript:x"), (ErrorCode.INVALID, "avatar")),
        (CreateChat(members=[], actor=ANN, avatar_hash="x" * 129), (ErrorCode.TOO_LARGE, "avatar_hash")),
        (CreateChat(members=[BOB, CEM], actor=ANN), (ErrorCode.LIMIT, "members")),
    ],
)
def test_a_chat_that_may_not_be_made(request_: CreateChat, expected: tuple[ErrorCode, str]) -> None:
    limits = Limits(members_per_group=2)
    assert refusal(lambda: new_chat(request_, limits)) == expected


def test_limits_of_a_new_chat_are_inclusive() -> None:
    request = CreateChat(members=[BOB, BOB, ANN], actor=ANN, name="群" * 128, avatar_hash="f" * 128)
    assert new_chat(request, Limits(members_per_group=2)) == [ANN, BOB]


def test_only_what_is_given_is_set() -> None:
    request = SetProfile(ANN, nickname="Ann", status=2, actor=ANN)
    assert new_values(request, LIMITS) == {"nickname": "Ann", "status": 2}
    assert new_values(SetProfile(ANN, actor=ANN), LIMITS) == {}
    address = "https://" + "x" * (2048 - 8)
    every = SetProfile(ANN, nickname="名" * 64, avatar=address, avatar_hash="", status=2**53 - 1, actor=ANN)
    assert set(new_values(every, LIMITS)) == {"nickname", "avatar", "avatar_hash", "status"}
    for picture in ("", "http://a/b.png", "/avatar/1", "/media/0f"):
        assert new_values(SetProfile(ANN, avatar=picture, actor=ANN), LIMITS) == {"avatar": picture}


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (SetProfile(ANN, nickname="x"), (ErrorCode.UNAUTHENTICATED, "")),
        (SetProfile(ANN, nickname="x", actor=BOB), (ErrorCode.FORBIDDEN, "account")),
        (SetProfile(ANN, nickname="", actor=ANN), (ErrorCode.INVALID, "nickname")),
        (SetProfile(ANN, nickname="x" * 65, actor=ANN), (ErrorCode.TOO_LARGE, "nickname")),
        (SetProfile(ANN, nickname="\0", actor=ANN), (ErrorCode.INVALID, "nickname")),
        (SetProfile(ANN, avatar="ftp://x", actor=ANN), (ErrorCode.INVALID, "avatar")),
        (SetProfile(ANN, avatar="/verify/x", actor=ANN), (ErrorCode.INVALID, "avatar")),
        (SetProfile(ANN, avatar="/etc/passwd", actor=ANN), (ErrorCode.INVALID, "avatar")),
        (SetProfile(ANN, avatar="https://" + "像" * 681, actor=ANN), (ErrorCode.TOO_LARGE, "avatar")),
        (SetProfile(ANN, avatar_hash="x" * 129, actor=ANN), (ErrorCode.TOO_LARGE, "avatar_hash")),
        (SetProfile(ANN, status=-1, actor=ANN), (ErrorCode.INVALID, "status")),
        (SetProfile(ANN, status=2**53, actor=ANN), (ErrorCode.INVALID, "status")),
    ],
)
def test_what_may_not_be_set(request_: SetProfile, expected: tuple[ErrorCode, str]) -> None:
    assert refusal(lambda: new_values(request_, LIMITS)) == expected


@pytest.mark.parametrize(
    ("account", "nickname", "icon", "code"),
    [
        (AccountId(0), "x", 0, ErrorCode.NOT_FOUND),
        (ANN, "x" * 65, 0, ErrorCode.TOO_LARGE),
        (ANN, "x\0", 0, ErrorCode.INVALID),
        (ANN, "x", 2**63, ErrorCode.INVALID),
    ],
)
def test_a_profile_that_cannot_be_kept(account: AccountId, nickname: str, icon: int, code: ErrorCode) -> None:
    profile = EnsureProfile(account=account, uuid="u", nickname=nickname, icon_id=icon)
    assert refusal(lambda: check_seed(profile, LIMITS))[0] == code


@pytest.mark.parametrize("number", [0, -1, 2**63])
def test_nobody_has_an_id_that_cannot_be_stored(number: int) -> None:
    assert refusal(lambda: check_account(AccountId(number))) == (ErrorCode.NOT_FOUND, "account")
