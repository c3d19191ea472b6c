import pytest

from bench.load.plan import Load, conversations, distribute
from bench.load.protocol import Seat, Talk
from dragoman_client.codec.base import ClientAccount


def _seats(count: int, *, pairs: bool) -> list[Seat]:
    return [
        Seat(ClientAccount(str(n), ""), "ourchat-v2", f"edge-{n % 2}", [100 + n // 2 if pairs else 100])
        for n in range(count)
    ]


@pytest.mark.parametrize("processes", [1, 2, 3, 50])
def test_every_user_has_exactly_one_place(processes: int) -> None:
    hands = distribute(_seats(10, pairs=True), processes)
    assert sorted(number for hand in hands for number in hand) == list(range(10))
    assert min(map(len, hands)) >= 2


def test_partners_share_a_process() -> None:
    jobs = conversations(1, _seats(12, pairs=True), range(12), 3, Load(100, 0, 1, window=4, each=True))
    for job in jobs:
        chats = [seat.chats[0] for seat in job.seats]
        assert all(chats.count(chat) == 2 for chat in chats)
        assert isinstance(job.task, Talk)
        assert [(loop.window, loop.listeners) for loop in job.task.loops] == [(4, 1)] * len(job.seats)


def test_senders_are_known_to_all_processes() -> None:
    jobs = conversations(1, _seats(8, pairs=False), range(5), 2, Load(100, 0, 1, window=3))
    numbers = [sender.number for job in jobs for sender in job.senders]
    assert sorted(numbers) == [1, 2, 3, 4, 5]
    assert {tuple(sorted(job.chat_of)) for job in jobs} == {(1, 2, 3, 4, 5)}
    assert {sender.listeners for job in jobs for sender in job.senders} == {7}


@pytest.mark.parametrize("speakers", [1, 3, 8])
@pytest.mark.parametrize("window", [1, 2, 5])
def test_the_window_of_a_group_is_divided_among_senders(window: int, speakers: int) -> None:
    jobs = conversations(1, _seats(8, pairs=False), range(speakers), 2, Load(100, 0, 1, window=window))
    assert sum(loop.window for job in jobs if isinstance(job.task, Talk) for loop in job.task.loops) == window


def test_a_rate_is_divided_among_senders() -> None:
    jobs = conversations(1, _seats(6, pairs=False), range(3), 3, Load(100, 0, 1, rate=300))
    rates = [[step.rate for step in job.task.steps] for job in jobs if isinstance(job.task, Talk)]
    assert rates == [[200], [100], []]
