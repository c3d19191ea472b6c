"""Tests the pure rules of session."""

from collections.abc import Callable
from functools import partial

import pytest

from services.session.domain import (
    LOBBY,
    check_account,
    check_capacity,
    check_chat_count,
    check_member_count,
    check_peer,
    check_request_text,
    check_seed,
    default_name,
    group_changes,
    new_group_members,
    profile_changes,
    webhook_signature,
)
from services.session.list_limits import in_int64, take_fitting
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.ids import NO_ACCOUNT, AccountId, ChatId
from shared.contract.members import SetChat
from shared.contract.model import ChatKind, JoinPolicy
from shared.contract.session import CreateChat, EnsureProfile, SetProfile
from shared.settings.limits import LimitsSettings

ANN, BOB, CEM = AccountId(1), AccountId(2), AccountId(3)
LIMITS = LimitsSettings()


def rejection(action: Callable[[], object]) -> tuple[ErrorCode, str]:
    with pytest.raises(RequestError) as caught:
        action()
    return caught.value.failure.code, caught.value.failure.field


@pytest.mark.parametrize(
    ("nicknames", "name"),
    [
        (["Ann"], "Ann"),
        (["Ann", "Bob"], "Ann、Bob"),
        (["Ann", "Bob", "Cem", "Dan"], "Ann、Bob、Cem"),
        (["x" * 64] * 3, "x" * 64 + "、" + "x" * 63),
    ],
)
def test_default_name_joins_the_first_nicknames(nicknames: list[str], name: str) -> None:
    assert default_name(nicknames, 128) == name


def test_group_lists_creator_first_and_each_member_once() -> None:
    assert new_group_members(CreateChat(members=[CEM, BOB, ANN, CEM], actor=ANN), LIMITS) == [ANN, CEM, BOB]
    assert new_group_members(CreateChat(members=[], actor=ANN), LIMITS) == [ANN]


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (CreateChat(members=[BOB], actor=ANN, kind=ChatKind.PRIVATE), (ErrorCode.INVALID, "kind")),
        (CreateChat(members=[NO_ACCOUNT], actor=ANN), (ErrorCode.NOT_FOUND, "members")),
        (CreateChat(members=[AccountId(2**63)], actor=ANN), (ErrorCode.NOT_FOUND, "members")),
        (CreateChat(members=[], actor=ANN, name="x" * 129), (ErrorCode.TOO_LARGE, "name")),
        (CreateChat(members=[], actor=ANN, name="a\0b"), (ErrorCode.INVALID, "name")),
        (CreateChat(members=[], actor=ANN, name="a\u200bb"), (ErrorCode.INVALID, "name")),
        (CreateChat(members=[], actor=ANN, avatar="javascript:x"), (ErrorCode.INVALID, "avatar")),
        (CreateChat(members=[], actor=ANN, avatar_hash="x" * 129), (ErrorCode.TOO_LARGE, "avatar_hash")),
        (CreateChat(members=[BOB, CEM], actor=ANN), (ErrorCode.LIMIT, "members")),
    ],
)
def test_invalid_group_is_rejected(request_: CreateChat, expected: tuple[ErrorCode, str]) -> None:
    limits = LimitsSettings(members_per_group=2)
    assert rejection(lambda: new_group_members(request_, limits)) == expected


def test_limits_of_a_new_group_are_inclusive() -> None:
    request = CreateChat(members=[BOB, BOB, ANN], actor=ANN, name="群" * 128, avatar_hash="f" * 128)
    assert new_group_members(request, LimitsSettings(members_per_group=2)) == [ANN, BOB]


def test_profile_changes_contain_only_given_fields() -> None:
    request = SetProfile(ANN, nickname="Zoe\u0308", status=2, actor=ANN)
    assert profile_changes(request, LIMITS) == {"nickname": "Zoë", "status": 2}
    assert profile_changes(SetProfile(ANN, actor=ANN), LIMITS) == {}
    address = "https://" + "x" * (2048 - 8)
    every = SetProfile(
        ANN, nickname="名" * 64, avatar=address, avatar_hash="", status=2**53 - 1, icon_id=0, signature="签" * 1_024,
        actor=ANN,
    )  # fmt: skip
    assert set(profile_changes(every, LIMITS)) == {
        "nickname",
        "avatar",
        "avatar_hash",
        "status",
        "icon_id",
        "signature",
    }
    for picture in ("", "http://a/b.png", "/avatar/1", "/media/0f"):
        assert profile_changes(SetProfile(ANN, avatar=picture, actor=ANN), LIMITS) == {"avatar": picture}


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (SetProfile(ANN, nickname="x", actor=BOB), (ErrorCode.FORBIDDEN, "account")),
        (SetProfile(ANN, nickname="", actor=ANN), (ErrorCode.INVALID, "nickname")),
        (SetProfile(ANN, nickname="x" * 65, actor=ANN), (ErrorCode.TOO_LARGE, "nickname")),
        (SetProfile(ANN, nickname="\0", actor=ANN), (ErrorCode.INVALID, "nickname")),
        (SetProfile(ANN, nickname="a\u202eb", actor=ANN), (ErrorCode.INVALID, "nickname")),
        (SetProfile(ANN, nickname="\u3000", actor=ANN), (ErrorCode.INVALID, "nickname")),
        (SetProfile(ANN, nickname="a\u200bb", actor=ANN), (ErrorCode.INVALID, "nickname")),
        (SetProfile(ANN, avatar="ftp://x", actor=ANN), (ErrorCode.INVALID, "avatar")),
        (SetProfile(ANN, avatar="/verify/x", actor=ANN), (ErrorCode.INVALID, "avatar")),
        (SetProfile(ANN, avatar="/etc/passwd", actor=ANN), (ErrorCode.INVALID, "avatar")),
        (SetProfile(ANN, avatar="https://" + "像" * 681, actor=ANN), (ErrorCode.TOO_LARGE, "avatar")),
        (SetProfile(ANN, avatar_hash="x" * 129, actor=ANN), (ErrorCode.TOO_LARGE, "avatar_hash")),
        (SetProfile(ANN, status=-1, actor=ANN), (ErrorCode.INVALID, "status")),
        (SetProfile(ANN, status=2**53, actor=ANN), (ErrorCode.INVALID, "status")),
        (SetProfile(ANN, icon_id=-1, actor=ANN), (ErrorCode.INVALID, "icon_id")),
        (SetProfile(ANN, icon_id=2**53, actor=ANN), (ErrorCode.INVALID, "icon_id")),
        (SetProfile(ANN, signature="x" * 1_025, actor=ANN), (ErrorCode.TOO_LARGE, "signature")),
        (SetProfile(ANN, signature="\0", actor=ANN), (ErrorCode.INVALID, "signature")),
        (SetProfile(ANN, signature=webhook_signature(BOB), actor=ANN), (ErrorCode.INVALID, "signature")),
    ],
)
def test_invalid_profile_change_is_rejected(request_: SetProfile, expected: tuple[ErrorCode, str]) -> None:
    assert rejection(lambda: profile_changes(request_, LIMITS)) == expected


@pytest.mark.parametrize(
    ("account", "nickname", "icon", "code"),
    [
        (AccountId(0), "x", 0, ErrorCode.NOT_FOUND),
        (ANN, "x" * 65, 0, ErrorCode.TOO_LARGE),
        (ANN, "x\0", 0, ErrorCode.INVALID),
        (ANN, "x", 2**63, ErrorCode.INVALID),
    ],
)
def test_invalid_seed_is_rejected(account: AccountId, nickname: str, icon: int, code: ErrorCode) -> None:
    profile = EnsureProfile(account=account, uuid="u", nickname=nickname, icon_id=icon)
    assert rejection(lambda: check_seed(profile, LIMITS))[0] == code


@pytest.mark.parametrize("number", [0, -1, 2**63])
def test_id_outside_int64_is_an_unknown_account(number: int) -> None:
    assert rejection(lambda: check_account(AccountId(number))) == (ErrorCode.NOT_FOUND, "account")


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (SetChat(ChatId(2), "", actor=ANN), (ErrorCode.INVALID, "name")),
        (SetChat(ChatId(2), "\0", actor=ANN), (ErrorCode.INVALID, "name")),
        (SetChat(ChatId(2), "a\nb", actor=ANN), (ErrorCode.INVALID, "name")),
        (SetChat(ChatId(2), "a\u2067b", actor=ANN), (ErrorCode.INVALID, "name")),
        (SetChat(ChatId(2), "x" * 129, actor=ANN), (ErrorCode.TOO_LARGE, "name")),
        (SetChat(ChatId(2), topic="\0", actor=ANN), (ErrorCode.INVALID, "topic")),
        (SetChat(ChatId(2), topic="a\nb", actor=ANN), (ErrorCode.INVALID, "topic")),
        (SetChat(ChatId(2), topic="x" * 1_025, actor=ANN), (ErrorCode.TOO_LARGE, "topic")),
        (SetChat(ChatId(2), handle="a\u202eb", actor=ANN), (ErrorCode.INVALID, "handle")),
        (SetChat(ChatId(2), handle="fruit\u200b", actor=ANN), (ErrorCode.INVALID, "handle")),
        (SetChat(ChatId(2), handle="a\x9bb", actor=ANN), (ErrorCode.INVALID, "handle")),
        (SetChat(ChatId(2), edit_seconds=-1, actor=ANN), (ErrorCode.INVALID, "edit_seconds")),
        (SetChat(ChatId(2), recall_seconds=2**31, actor=ANN), (ErrorCode.INVALID, "recall_seconds")),
        (SetChat(ChatId(2), avatar="ftp://a", actor=ANN), (ErrorCode.INVALID, "avatar")),
        (SetChat(ChatId(2), avatar="http://" + "a" * 5_000, actor=ANN), (ErrorCode.TOO_LARGE, "avatar")),
        (SetChat(ChatId(2), avatar_hash="x" * 129, actor=ANN), (ErrorCode.TOO_LARGE, "avatar_hash")),
    ],
)
def test_invalid_change_of_a_group_is_rejected(request_: SetChat, expected: tuple[ErrorCode, str]) -> None:
    assert rejection(lambda: group_changes(request_, LIMITS)) == expected


def test_changes_of_a_group_are_columns() -> None:
    name = "群|👩\u200d🚀" * 25
    assert group_changes(SetChat(ChatId(2), name, actor=ANN), LIMITS) == {"name": name}
    changed = SetChat(ChatId(2), receipts=False, actor=ANN, avatar="", topic="", join_policy=JoinPolicy.OPEN)
    expected = {"receipts": False, "avatar": "", "topic": "", "join_policy": JoinPolicy.OPEN}
    assert group_changes(changed, LIMITS) == expected
    times = SetChat(ChatId(2), edit_seconds=None, recall_seconds=0, actor=ANN)
    assert group_changes(times, LIMITS) == {"edit_seconds": None, "recall_seconds": 0}
    assert group_changes(SetChat(ChatId(2), actor=ANN), LIMITS) == {}


@pytest.mark.parametrize(
    ("actor", "other", "expected"),
    [
        (ANN, NO_ACCOUNT, (ErrorCode.NOT_FOUND, "account")),
        (ANN, ANN, (ErrorCode.INVALID, "account")),
    ],
)
def test_request_needs_another_account(actor: AccountId, other: AccountId, expected: tuple[ErrorCode, str]) -> None:
    assert rejection(lambda: check_peer(actor, other)) == expected
    check_peer(ANN, BOB)


def test_request_text_is_limited() -> None:
    check_request_text("字" * 1_000)
    assert rejection(lambda: check_request_text("x" * 1_001)) == (ErrorCode.TOO_LARGE, "text")
    assert rejection(lambda: check_request_text("\0")) == (ErrorCode.INVALID, "text")


def test_group_size_is_limited_except_in_the_lobby() -> None:
    limits = LimitsSettings(members_per_group=2, chats_per_account=2)
    check_capacity(ChatId(2), 1, limits)
    assert rejection(lambda: check_capacity(ChatId(2), 2, limits)) == (ErrorCode.LIMIT, "members")
    check_capacity(LOBBY, 10**6, limits)
    check_chat_count(1, limits)
    assert rejection(lambda: check_chat_count(2, limits)) == (ErrorCode.LIMIT, "chats")
    texts = set[str]()
    for check in (check_chat_count, partial(check_member_count, is_friend=True)):
        with pytest.raises(RequestError) as error:
            check(2, limits)
        texts.add(error.value.failure.text)
    assert texts == {"an account has at most 2 chats"}


@pytest.mark.parametrize(("most", "expected"), [(0, []), (2, ["a"]), (5, ["a"]), (6, ["a", "bcd"]), (99, ["a", "bcd"])])
def test_take_fitting_stops_at_the_byte_limit(most: int, expected: list[str]) -> None:
    assert take_fitting(["a", "bcd"], most) == expected


def test_in_int64_sorts_and_drops_impossible_ids() -> None:
    assert in_int64([5, 0, 2**63, 1, 5, -3, 2**63 - 1]) == [1, 5, 2**63 - 1]
