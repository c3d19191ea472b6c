"""Tests the push gate of v2, which decides when messages are pushed. There is a scenario with exact times for each
rule.

test_push_gate_rules.py tests events in any order. A number such as 9 or 10 is the code of a frame.
"""

from typing import Any

import pytest

from services.edge.dialects.ourchat_v2 import APART, SECOND
from shared.contract.errors import ErrorCode, Failure
from shared.contract.ids import AccountId
from tests.unit.services.edge.dialects.ourchat_v2.scenario import V2Scenario

HOME = 5
NEW = 7
START = 100.0
FAILURE = Failure(ErrorCode.UNAVAILABLE, "later")


@pytest.fixture
def plain() -> V2Scenario:
    """A client that is not the PC client. It has logged in at START and has sent a frame with code 10."""
    scenario = V2Scenario()
    scenario.log_in(HOME)
    scenario.request_account()
    return scenario


@pytest.fixture
def pc_client() -> V2Scenario:
    scenario = V2Scenario()
    scenario.log_in(HOME)
    scenario.request_account(pc_client=True)
    return scenario


def times(scenario: V2Scenario, chat: int | None = None) -> list[Any]:
    """Returns the seconds after START at which messages arrived."""
    return [pytest.approx(at - START) for at, _, _ in scenario.messages(chat)]


# Before the first 10


def test_nothing_is_pushed_in_the_first_second_before_the_first_10() -> None:
    scenario = V2Scenario()
    scenario.log_in(HOME)
    scenario.receive(HOME)
    scenario.join(NEW)
    scenario.maintenance(True)
    scenario.wait(0.99)
    assert scenario.codes() == [7]
    scenario.wait(2)
    assert scenario.codes() == [7, 12, 9, 0]
    assert times(scenario) == [SECOND]


def test_the_first_10_opens_the_gate_a_moment_later() -> None:
    scenario = V2Scenario()
    scenario.log_in(HOME)
    scenario.join(NEW)
    scenario.wait(0.2)
    scenario.request_account()
    assert scenario.announced() == []
    scenario.wait(1)
    ((at, chat),) = scenario.announced()
    assert chat == NEW
    assert at - START == pytest.approx(0.2 + APART)


def test_the_text_of_a_message_that_is_recalled_while_it_is_held_is_not_pushed(pc_client: V2Scenario) -> None:
    for index in range(3):
        pc_client.receive(HOME)
        pc_client.recall(HOME, index)
    pc_client.request_session(HOME)
    pc_client.wait(2)
    assert pc_client.texts == ["[撤回]", "[撤回]", "x"]
    assert pc_client.gate.held_bytes == 0


def test_an_unanswered_10_does_not_open_the_gate() -> None:
    scenario = V2Scenario()
    scenario.log_in(HOME)
    scenario.dialect.decode(b'{"code":10,"ocid":"12","request_values":["nickname"]}', scenario.now)
    scenario.receive(HOME)
    scenario.wait(0.99)
    assert scenario.messages() == []
    scenario.wait(0.02)
    assert len(scenario.messages()) == 1


def test_no_chat_is_announced_before_the_sync() -> None:
    scenario = V2Scenario()
    scenario.log_in(known=False)
    scenario.request_account()
    scenario.join(NEW)
    scenario.receive(HOME)
    scenario.wait(3)
    assert scenario.codes() == [7, 11]
    scenario.load_chats(HOME)
    scenario.wait(0)
    assert scenario.codes() == [7, 11, 9, 0]
    assert scenario.announced() == [(START + 3, NEW)]


def test_a_chat_joined_after_the_login_is_announced_though_the_sync_found_it(pc_client: V2Scenario) -> None:
    """Replies from before the join did not show the chat to the client."""
    pc_client.request_account(pc_client=True)
    pc_client.wait(2)
    pc_client.join(HOME)
    assert pc_client.announced() == [(START + 2, HOME)]
    pc_client.join(HOME)
    assert len(pc_client.announced()) == 1


def test_more_pages_of_the_sync_make_more_chats_known(plain: V2Scenario) -> None:
    plain.load_chats(NEW)
    plain.wait(1)
    plain.receive(NEW)
    plain.receive(HOME)
    assert plain.announced() == []
    assert len(plain.messages()) == 2


def test_the_first_second_begins_with_the_reply_to_the_login() -> None:
    scenario = V2Scenario()
    scenario.dialect.logged_in(AccountId(12), scenario.now)
    scenario.load_chats(HOME)
    scenario.receive(HOME)
    scenario.wait(5)
    assert scenario.codes() == []
    scenario.log_in(HOME)
    scenario.receive(HOME)
    scenario.wait(0.99)
    assert scenario.codes() == [7]


# The tests below are about clients other than the PC client.


def test_a_session_that_was_announced_is_not_announced_again(plain: V2Scenario) -> None:
    plain.wait(3)
    plain.join(NEW)
    plain.join(NEW)
    plain.receive(NEW)
    plain.wait(5)
    plain.receive(NEW)
    plain.join(NEW)
    assert plain.announced() == [(START + 3, NEW)]
    assert times(plain) == [4.0, 8.0]


def test_messages_of_a_new_session_arrive_at_once_after_a_1(plain: V2Scenario) -> None:
    plain.wait(3)
    plain.receive(NEW)
    plain.wait(0.2)
    plain.request_session(NEW)
    plain.wait(0.2)
    assert times(plain) == [3.2]


def test_a_failed_1_opens_nothing(plain: V2Scenario) -> None:
    plain.request_session(HOME, FAILURE)
    plain.receive(HOME)
    plain.wait(0.9)
    assert plain.messages() == []


# The PC client


def test_the_pc_client_gets_nothing_in_the_first_second(pc_client: V2Scenario) -> None:
    pc_client.request_session(HOME)
    pc_client.receive(HOME)
    pc_client.wait(0.5)
    pc_client.receive(HOME)
    pc_client.wait(2)
    assert times(pc_client) == [SECOND, SECOND]


def test_messages_wait_for_a_1_of_any_delay(pc_client: V2Scenario) -> None:
    pc_client.receive(HOME)
    pc_client.wait(3600)
    pc_client.receive(HOME)
    assert pc_client.messages() == []
    pc_client.request_session(HOME)
    assert pc_client.messages() == []
    pc_client.wait(1)
    assert times(pc_client) == [3600 + APART] * 2
    pc_client.receive(HOME)
    assert len(pc_client.messages()) == 3


def test_a_new_session_is_announced_at_once_and_its_messages_wait_for_a_1(pc_client: V2Scenario) -> None:
    pc_client.wait(3)
    pc_client.receive(NEW)
    assert pc_client.announced() == [(START + 3, NEW)]
    pc_client.wait(60)
    assert pc_client.messages() == []
    pc_client.request_session(NEW)
    pc_client.wait(1)
    assert times(pc_client) == [63 + APART]


def test_a_failed_1_keeps_the_messages_held(pc_client: V2Scenario) -> None:
    pc_client.wait(3)
    pc_client.request_session(HOME, FAILURE)
    pc_client.receive(HOME)
    pc_client.wait(60)
    assert pc_client.messages() == []


def test_a_late_detected_pc_client_is_treated_as_one_from_then_on(plain: V2Scenario) -> None:
    plain.load_chats(NEW)
    plain.request_session(NEW)
    plain.wait(2)
    plain.receive(HOME)
    plain.receive(NEW)
    plain.request_account(pc_client=True)
    plain.receive(HOME)
    plain.receive(NEW)
    plain.wait(60)
    assert [(chat, index) for _, chat, index in plain.messages()] == [(HOME, 1), (NEW, 1), (NEW, 2)]


def test_an_unanswered_10_detects_the_pc_client() -> None:
    scenario = V2Scenario()
    scenario.log_in(HOME)
    scenario.dialect.decode(b'{"code":10,"ocid":"12","request_values":["public_update_time"]}', scenario.now)
    scenario.receive(HOME)
    scenario.wait(60)
    assert scenario.messages() == []


# Own messages and sessions


def test_an_own_echo_is_never_held(pc_client: V2Scenario) -> None:
    pc_client.receive(HOME)
    pc_client.send(HOME)
    assert [(chat, index) for _, chat, index in pc_client.messages()] == [(HOME, 2)]


def test_an_own_new_session_is_announced_by_its_reply_alone(plain: V2Scenario) -> None:
    plain.wait(3)
    plain.create(NEW, NEW, 8)
    plain.wait(0)
    plain.join(NEW)
    assert plain.announced() == [(START + 3, NEW), (START + 3, 8)]


def test_a_message_that_overtakes_the_reply_to_an_8_waits_for_it(plain: V2Scenario) -> None:
    plain.wait(3)
    plain.dialect.decode(b'{"code":8,"members":[34]}', plain.now)
    plain.receive(NEW)
    plain.wait(1)
    assert plain.codes() == [7, 11]


def test_a_chat_joined_during_a_failed_8_is_announced_after_it(plain: V2Scenario) -> None:
    plain.wait(3)
    plain.create(NEW, 8, failure=FAILURE)
    assert plain.codes()[-2:] == [9, 18]
    plain.wait(0)
    assert plain.announced()[-1] == (START + 3, 8)


def test_posting_to_a_new_session_announces_it_before_its_messages(plain: V2Scenario) -> None:
    """The client posts before the server has sent the frame with code 9."""
    plain.receive(NEW)
    plain.send(NEW)
    plain.wait(2)
    assert plain.codes() == [7, 11, 9, 0, 0]


def test_posting_releases_the_messages_of_a_session_that_the_pc_client_has_requested(pc_client: V2Scenario) -> None:
    pc_client.request_session(HOME)
    pc_client.receive(HOME)
    pc_client.receive(NEW)
    pc_client.send(HOME)
    pc_client.send(NEW)
    assert [(chat, index) for _, chat, index in pc_client.messages()] == [(HOME, 1), (HOME, 2), (NEW, 2)]


# The tests below are about a second login, and about logging out.


def test_another_login_on_the_connection_resets_the_gate(plain: V2Scenario) -> None:
    plain.receive(HOME)
    plain.wait(0.5)
    assert plain.gate.held_bytes > 0
    plain.log_in(NEW, account=AccountId(13))
    assert plain.gate.held_bytes == 0
    plain.receive(NEW)
    plain.wait(0.9)
    assert plain.messages() == []
    plain.wait(5)
    assert [chat for _, chat, _ in plain.messages()] == [NEW]


def test_a_pc_client_stays_one_after_another_login(pc_client: V2Scenario) -> None:
    pc_client.log_in(HOME)
    pc_client.receive(HOME)
    pc_client.wait(60)
    assert pc_client.messages() == []


@pytest.mark.parametrize("logged_in_before", [False, True])
def test_without_a_login_the_status_is_pushed_at_once(logged_in_before: bool) -> None:
    scenario = V2Scenario()
    if logged_in_before:
        scenario.log_in(HOME)
        scenario.dialect.logged_in(AccountId(0), scenario.now)
    scenario.maintenance(True)
    assert scenario.statuses == [1]


def test_of_several_held_statuses_the_last_is_pushed() -> None:
    scenario = V2Scenario()
    scenario.log_in(HOME)
    scenario.maintenance(True)
    scenario.maintenance(False)
    scenario.maintenance(True)
    scenario.wait(2)
    assert scenario.statuses == [1]


# Bytes and wakeups


def test_no_wakeup_while_nothing_is_held(plain: V2Scenario) -> None:
    assert plain.gate.wake_at is None
    plain.wait(10)
    plain.receive(HOME)
    assert plain.gate.wake_at is None
    assert plain.pushed[0].chat in plain.gate.free
