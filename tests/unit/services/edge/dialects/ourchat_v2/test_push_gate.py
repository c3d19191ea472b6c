"""When a v2 connection is told what: one scene each, by the clock."""

from typing import Any

import pytest

from services.edge.dialects.ourchat_v2.push_gate import APART, SECOND
from shared.contract.ids import AccountId
from tests.unit.services.edge.dialects.ourchat_v2.playbook import Playbook

HOME = 5
NEW = 7
START = 100.0


@pytest.fixture
def plain() -> Playbook:
    """Logged in at START, with a 10 that is not of the family."""
    playbook = Playbook()
    playbook.log_in(HOME)
    playbook.ask_account()
    return playbook


@pytest.fixture
def family() -> Playbook:
    playbook = Playbook()
    playbook.log_in(HOME)
    playbook.ask_account(family=True)
    return playbook


def times(playbook: Playbook, chat: int | None = None) -> list[Any]:
    """Seconds after START at which messages came."""
    return [pytest.approx(at - START) for at, _, _ in playbook.messages(chat)]


# Before the first 10


def test_nothing_is_pushed_before_the_first_10_for_a_second() -> None:
    playbook = Playbook()
    playbook.log_in(HOME)
    playbook.hear(HOME)
    playbook.appear(NEW)
    playbook.maintenance(True)
    playbook.wait(0.99)
    assert playbook.codes() == [7]
    playbook.wait(2)
    assert playbook.codes() == [7, 12, 9, 0]
    assert times(playbook) == [SECOND]


def test_the_first_10_opens_and_what_needs_it_leaves_a_little_later() -> None:
    playbook = Playbook()
    playbook.log_in(HOME)
    playbook.appear(NEW)
    playbook.wait(0.2)
    playbook.ask_account()
    assert playbook.announced() == []
    playbook.wait(1)
    ((at, chat),) = playbook.announced()
    assert chat == NEW
    assert at - START == pytest.approx(0.2 + APART)


def test_a_10_that_is_not_answered_opens_nothing_before_the_second() -> None:
    playbook = Playbook()
    playbook.log_in(HOME)
    playbook.dialect.decode(b'{"code":10,"ocid":"12","request_values":["nickname"]}', playbook.now)
    playbook.hear(HOME)
    playbook.wait(0.99)
    assert playbook.messages() == []
    playbook.wait(0.02)
    assert len(playbook.messages()) == 1


def test_a_later_10_changes_nothing(plain: Playbook) -> None:
    plain.wait(5)
    plain.ask_account()
    plain.appear(NEW)
    assert plain.announced() == [(START + 5, NEW)]


def test_no_chat_is_spoken_of_before_the_sync() -> None:
    playbook = Playbook()
    playbook.log_in(known=False)
    playbook.ask_account()
    playbook.appear(NEW)
    playbook.hear(HOME)
    playbook.wait(3)
    assert playbook.codes() == [7, 11]
    playbook.know(HOME)
    playbook.wait(0)
    assert playbook.codes() == [7, 11, 9, 0]
    assert playbook.announced() == [(START + 3, NEW)]


def test_a_chat_made_just_after_the_login_is_announced_though_the_sync_found_it(family: Playbook) -> None:
    """What the client has asked for before did not show it."""
    family.ask_account(family=True)
    family.wait(2)
    family.appear(HOME)
    assert family.announced() == [(START + 2, HOME)]
    family.appear(HOME)
    assert len(family.announced()) == 1


def test_more_pages_of_the_sync_make_more_chats_known(plain: Playbook) -> None:
    plain.know(NEW)
    plain.wait(1)
    plain.hear(NEW)
    plain.hear(HOME)
    assert plain.announced() == []
    assert len(plain.messages()) == 2


def test_the_second_begins_with_the_reply_to_the_login() -> None:
    playbook = Playbook()
    playbook.dialect.logged_in(AccountId(12), playbook.now)
    playbook.know(HOME)
    playbook.hear(HOME)
    playbook.wait(5)
    assert playbook.codes() == []
    playbook.log_in(HOME)
    playbook.hear(HOME)
    playbook.wait(0.99)
    assert playbook.codes() == [7]


# A client that is not of the family


def test_messages_come_a_second_after_the_login_in_order(plain: Playbook) -> None:
    for _ in range(3):
        plain.hear(HOME)
        plain.wait(0.1)
    plain.wait(2)
    plain.hear(HOME)
    assert [index for _, _, index in plain.messages()] == [1, 2, 3, 4]
    assert times(plain) == [SECOND] * 3 + [pytest.approx(2.3)]


def test_messages_come_at_once_when_their_session_was_asked_for(plain: Playbook) -> None:
    plain.hear(HOME)
    plain.wait(0.2)
    plain.ask_session(HOME)
    assert plain.messages() == []
    plain.wait(0.1)
    assert times(plain) == [0.2]
    plain.hear(HOME)
    assert times(plain) == [0.2, pytest.approx(0.3)]


def test_asking_for_one_session_is_not_asking_for_another(plain: Playbook) -> None:
    plain.know(NEW)
    plain.ask_session(NEW)
    plain.hear(HOME)
    plain.hear(NEW)
    plain.wait(2)
    assert times(plain, NEW) == [APART]
    assert times(plain, HOME) == [SECOND]


def test_a_new_session_is_announced_and_its_messages_come_a_second_later(plain: Playbook) -> None:
    plain.wait(3)
    plain.hear(NEW)
    plain.wait(0.5)
    plain.hear(NEW)
    plain.wait(1)
    assert plain.announced() == [(START + 3, NEW)]
    assert times(plain) == [4.0, 4.0]


def test_a_session_that_was_announced_is_not_announced_again(plain: Playbook) -> None:
    plain.wait(3)
    plain.appear(NEW)
    plain.appear(NEW)
    plain.hear(NEW)
    plain.wait(5)
    plain.hear(NEW)
    plain.appear(NEW)
    assert plain.announced() == [(START + 3, NEW)]
    assert times(plain) == [4.0, 8.0]


def test_messages_of_a_new_session_come_at_once_when_it_was_asked_for_after_the_9(plain: Playbook) -> None:
    plain.wait(3)
    plain.hear(NEW)
    plain.wait(0.2)
    plain.ask_session(NEW)
    plain.wait(0.2)
    assert times(plain) == [3.2]


def test_a_session_asked_for_unannounced_needs_no_9(plain: Playbook) -> None:
    plain.ask_session(NEW)
    plain.appear(NEW)
    plain.wait(2)
    plain.hear(NEW)
    assert plain.announced() == []
    assert len(plain.messages()) == 1


def test_a_refused_1_lists_nothing(plain: Playbook) -> None:
    plain.ask_session_in_vain(HOME)
    plain.hear(HOME)
    plain.wait(0.9)
    assert plain.messages() == []


# The family


def test_nothing_comes_in_the_first_second_though_it_was_asked_for(family: Playbook) -> None:
    family.ask_session(HOME)
    family.hear(HOME)
    family.wait(0.5)
    family.hear(HOME)
    family.wait(2)
    assert times(family) == [SECOND, SECOND]


def test_messages_wait_until_their_session_is_asked_for_however_long(family: Playbook) -> None:
    family.hear(HOME)
    family.wait(3600)
    family.hear(HOME)
    assert family.messages() == []
    family.ask_session(HOME)
    assert family.messages() == []
    family.wait(1)
    assert times(family) == [3600 + APART] * 2
    family.hear(HOME)
    assert len(family.messages()) == 3


def test_a_new_session_is_announced_at_once_and_silent_until_it_is_asked_for(family: Playbook) -> None:
    family.wait(3)
    family.hear(NEW)
    assert family.announced() == [(START + 3, NEW)]
    family.wait(60)
    assert family.messages() == []
    family.ask_session(NEW)
    family.wait(1)
    assert times(family) == [63 + APART]


def test_a_refused_1_keeps_the_messages(family: Playbook) -> None:
    family.wait(3)
    family.ask_session_in_vain(HOME)
    family.hear(HOME)
    family.wait(60)
    assert family.messages() == []


def test_who_turns_out_to_be_of_the_family_is_treated_so_from_then_on(plain: Playbook) -> None:
    plain.know(NEW)
    plain.ask_session(NEW)
    plain.wait(2)
    plain.hear(HOME)
    plain.hear(NEW)
    plain.ask_account(family=True)
    plain.hear(HOME)
    plain.hear(NEW)
    plain.wait(60)
    assert [(chat, index) for _, chat, index in plain.messages()] == [(HOME, 1), (NEW, 1), (NEW, 2)]


def test_who_turns_out_to_be_of_the_family_is_spared_messages_just_after_a_1(plain: Playbook) -> None:
    plain.wait(2)
    plain.hear(HOME)
    plain.ask_session(HOME)
    plain.ask_account(family=True)
    plain.hear(HOME)
    plain.wait(60)
    assert times(plain) == [2, 2 + APART]


def test_a_10_that_is_not_answered_in_a_second_still_tells_the_family() -> None:
    playbook = Playbook()
    playbook.log_in(HOME)
    playbook.dialect.decode(b'{"code":10,"ocid":"12","request_values":["public_update_time"]}', playbook.now)
    playbook.hear(HOME)
    playbook.wait(60)
    assert playbook.messages() == []


# One's own doings


def test_the_own_echo_is_never_held(family: Playbook) -> None:
    family.hear(HOME)
    family.say(HOME)
    assert [(chat, index) for _, chat, index in family.messages()] == [(HOME, 2)]


def test_the_own_new_session_is_told_by_its_reply_alone(plain: Playbook) -> None:
    plain.wait(3)
    plain.create(NEW, NEW, 8)
    plain.wait(0)
    plain.appear(NEW)
    assert plain.announced() == [(START + 3, NEW), (START + 3, 8)]


def test_a_message_that_overtakes_the_reply_to_an_8_waits_for_it(plain: Playbook) -> None:
    plain.wait(3)
    plain.dialect.decode(b'{"code":8,"members":[34]}', plain.now)
    plain.hear(NEW)
    plain.wait(1)
    assert plain.codes() == [7, 11]


def test_what_appeared_during_a_refused_8_is_announced_after_it(plain: Playbook) -> None:
    plain.wait(3)
    plain.create_in_vain(8)
    assert plain.codes()[-2:] == [9, 18]
    plain.wait(0)
    assert plain.announced()[-1] == (START + 3, 8)


def test_messages_of_the_own_new_session_come_as_after_any_9(plain: Playbook) -> None:
    plain.wait(3)
    plain.create(NEW)
    plain.hear(NEW)
    plain.say(NEW)
    plain.wait(2)
    assert [(at - START, index) for at, _, index in plain.messages()] == [(3.0, 2), (4.0, 1)]


# Logging in again, logging out


def test_another_login_on_the_connection_begins_anew(plain: Playbook) -> None:
    plain.hear(HOME)
    plain.wait(0.5)
    assert plain.dialect.held_bytes > 0
    plain.log_in(NEW, account=AccountId(13))
    assert plain.dialect.held_bytes == 0
    plain.hear(NEW)
    plain.wait(0.9)
    assert plain.messages() == []
    plain.wait(5)
    assert [chat for _, chat, _ in plain.messages()] == [NEW]


def test_who_logs_in_again_stays_of_the_family(family: Playbook) -> None:
    family.log_in(HOME)
    family.hear(HOME)
    family.wait(60)
    assert family.messages() == []


@pytest.mark.parametrize("logged_in_before", [False, True])
def test_without_a_login_the_status_is_told_at_once(logged_in_before: bool) -> None:
    playbook = Playbook()
    if logged_in_before:
        playbook.log_in(HOME)
        playbook.dialect.logged_in(AccountId(0), playbook.now)
    playbook.maintenance(True)
    assert playbook.statuses == [1]


def test_of_several_changes_while_held_the_last_is_told() -> None:
    playbook = Playbook()
    playbook.log_in(HOME)
    playbook.maintenance(True)
    playbook.maintenance(False)
    playbook.maintenance(True)
    playbook.wait(2)
    assert playbook.statuses == [1]


# What the connection must know


def test_held_bytes_are_those_of_the_held_frames(family: Playbook) -> None:
    assert (family.dialect.held_bytes, family.dialect.next_wakeup) == (0, None)
    family.hear(HOME)
    one = family.dialect.held_bytes
    family.hear(HOME)
    assert family.dialect.held_bytes == 2 * one > 100
    family.ask_session(HOME)
    family.wait(2)
    assert (family.dialect.held_bytes, family.dialect.next_wakeup) == (0, None)
    assert [message.index for message in family.pushed] == [1, 2]


def test_nothing_wants_to_be_woken_while_nothing_waits(plain: Playbook) -> None:
    assert plain.dialect.next_wakeup is None
    plain.wait(10)
    plain.hear(HOME)
    assert plain.dialect.next_wakeup is None
    assert not plain.dialect.must_hold(plain.pushed[0].chat)
