"""A run of the bench with a server that makes mistakes must fail at any speed."""

from collections.abc import Sequence

import pytest

from bench.load.plan import Load
from bench.load.verifier import Faults
from bench.measurements.connections import ReconnectStormOptions, reconnect_storm
from bench.measurements.conversations import ConversationOptions, group
from bench.report.progress import ProgressLine
from bench.report.result import Result
from bench.system.system import MeasuredSystem
from tests.unit.bench.faulty_server import Frame, Spoil, faulty_server, honest

_NTH = 40
_LOAD = Load(size=64, warm_up=0.0, seconds=0.5, rate=100)


def losing(member: str, number: int, frame: Frame) -> Sequence[Frame]:
    return [] if number == _NTH else [frame]


def _doubling(member: str, number: int, frame: Frame) -> Sequence[Frame]:
    return [frame, frame] if number == _NTH else [frame]


def _rejecting(member: str, number: int, frame: Frame) -> Sequence[Frame]:
    return [{"code": 18, "details": "no"}] if number == _NTH else [frame]


def _reordering() -> Spoil:
    held: dict[str, Frame] = {}

    def spoil(member: str, number: int, frame: Frame) -> Sequence[Frame]:
        if number == _NTH:
            held[member] = frame
            return []
        return [frame, held.pop(member)] if member in held else [frame]

    return spoil


async def _run(spoil: Spoil, echoes: Spoil = honest) -> Result:
    """Runs the bench with four users in two processes."""
    async with faulty_server(spoil, echoes) as address:
        return await group(MeasuredSystem([address]), ProgressLine(), ConversationOptions(4, ["ourchat-v2"], 2), _LOAD)


async def test_an_honest_server_passes() -> None:
    result = await _run(honest)
    assert result.passed
    assert result.faults == Faults()
    assert 0 < result.figures["delivered/s"] <= 400, "100 messages for three recipients, or fewer on a slow machine"
    assert result.measures["delivery"].count == 3 * result.measures["acknowledgement"].count


@pytest.mark.parametrize(
    ("spoil", "found"),
    [(losing, Faults(lost=3)), (_doubling, Faults(doubled=3)), (_reordering(), Faults(reordered=3))],
    ids=["lost", "doubled", "reordered"],
)
async def test_one_mistake_fails_a_run(spoil: Spoil, found: Faults) -> None:
    """The server makes one mistake with one message, for each of its three recipients."""
    result = await _run(spoil)
    assert not result.passed
    assert result.faults == found


async def test_a_missing_answer_fails_a_run() -> None:
    result = await _run(honest, echoes=losing)
    assert not result.passed
    assert result.faults.answered_wrongly + result.faults.unanswered > 0


async def test_an_error_reply_is_counted_and_nothing_is_missed() -> None:
    result = await _run(honest, echoes=_rejecting)
    assert result.refusals == {"no": 1}
    assert "rejected 1 times: no" in result.remarks
    assert not result.faults.any()


async def test_a_reconnect_storm_sends_a_rejected_message_again() -> None:
    """The first message is rejected, and no user receives it.

    The test has one process. So the sender waits until all clients have left, and the login brings each client only
    messages that the old connection has not received.
    """

    def lost(member: str, number: int, frame: Frame) -> Sequence[Frame]:
        return [] if number == 1 else [frame]

    def rejected(member: str, number: int, frame: Frame) -> Sequence[Frame]:
        return [{"code": 18, "details": "no"}] if number == 1 else [frame]

    async with faulty_server(lost, rejected) as address:
        options = ReconnectStormOptions(4, ["ourchat-v2"], 1, at_once=4, seconds=20.0)
        result = await reconnect_storm(MeasuredSystem([address]), ProgressLine(), options)
    assert result.measures["back"].count == 4
    assert not result.faults.any()
    assert set(result.refusals) == {"no"}
