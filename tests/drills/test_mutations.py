"""Any correct trial passes, and each single alteration of it is flagged."""

from collections.abc import Callable

import msgspec
from hypothesis import assume, given
from hypothesis import strategies as st

from tests.drills.checker import check
from tests.drills.evidence import RequiredEvidence
from tests.drills.records import MessageAcknowledged, MessageReceived, Opened, Record, Trial
from tests.drills.sample_trials import SampleTrial

MEMBERS = {7: frozenset({1, 2, 3}), 8: frozenset({2, 3}), 9: frozenset({4})}
EDGES = {"1/a": "edge-1", "2/a": "edge-2", "3/a": "edge-1", "3/b": "edge-2", "4/a": "edge-2"}
ENOUGH = RequiredEvidence(acked=0, received=0, ending=False)

devices = st.sampled_from(sorted(EDGES))
steps = st.one_of(
    st.tuples(st.just("say"), devices),
    st.tuples(st.just("say"), devices),
    st.tuples(st.sampled_from(["leave", "enter"]), devices),
    st.tuples(st.just("kill"), st.sampled_from(["edge-1", "edge-2"])),
)


@st.composite
def trials(draw: st.DrawFn) -> Trial:
    """All devices are connected at the end, and have received everything."""
    sample = SampleTrial(MEMBERS, EDGES)
    for verb, target in draw(st.lists(steps, min_size=5, max_size=40)):
        match verb:
            case "say":
                sample.enter(target)
                account = int(target[0])
                sample.send(target, draw(st.sampled_from([chat for chat in MEMBERS if account in MEMBERS[chat]])))
            case "leave":
                sample.leave(target)
            case "enter":
                sample.enter(target)
            case "kill":
                sample.kill(target)
    for device in EDGES:
        sample.enter(device)
    return sample.trial


Alteration = Callable[[st.DrawFn, Trial], Trial]


def _foreign(trial: Trial) -> list[tuple[int, MessageReceived]]:
    """Messages received by others than their sender, on accounts with one device; with positions."""
    owner = {one.connection: one.account for one in trial.records if isinstance(one, Opened)}
    return [
        (position, one)
        for position, one in enumerate(trial.records)
        if isinstance(one, MessageReceived) and owner[one.connection] not in (one.sender, 3)
    ]


def _with(trial: Trial, records: list[Record]) -> Trial:
    return msgspec.structs.replace(trial, records=records)


def _pick_received(draw: st.DrawFn, trial: Trial) -> tuple[int, MessageReceived]:
    received = _foreign(trial)
    assume(received)
    return draw(st.sampled_from(received))


def drop(draw: st.DrawFn, trial: Trial) -> Trial:
    position, _ = _pick_received(draw, trial)
    return _with(trial, trial.records[:position] + trial.records[position + 1 :])


def double(draw: st.DrawFn, trial: Trial) -> Trial:
    position, one = _pick_received(draw, trial)
    return _with(trial, [*trial.records[:position], one, *trial.records[position:]])


def swap(draw: st.DrawFn, trial: Trial) -> Trial:
    received = _foreign(trial)
    pairs = [
        (here, there)
        for at, (here, one) in enumerate(received)
        for there, two in received[at + 1 :]
        if (one.connection, one.chat) == (two.connection, two.chat)
    ]
    assume(pairs)
    here, there = draw(st.sampled_from(pairs))
    records = list(trial.records)
    records[here], records[there] = records[there], records[here]
    return _with(trial, records)


def forge(draw: st.DrawFn, trial: Trial) -> Trial:
    position, one = _pick_received(draw, trial)
    field, value = draw(st.sampled_from([("text", "forged"), ("sender", 99), ("msg_id", 4711), ("time", 1)]))
    records = list(trial.records)
    records[position] = msgspec.structs.replace(one, **{field: value})
    return _with(trial, records)


def leak(draw: st.DrawFn, trial: Trial) -> Trial:
    position, one = _pick_received(draw, trial)
    assume(one.chat != 9)
    outsider = next(one.connection for one in trial.records if isinstance(one, Opened) and one.device == "4/a")
    leaked = msgspec.structs.replace(one, connection=outsider)
    return _with(trial, [*trial.records[: position + 1], leaked, *trial.records[position + 1 :]])


def forget(draw: st.DrawFn, trial: Trial) -> Trial:
    chat = draw(st.sampled_from(sorted(trial.history)))
    entries = trial.history[chat]
    assume(entries)
    position = draw(st.integers(0, len(entries) - 1))
    return msgspec.structs.replace(trial, history=trial.history | {chat: entries[:position] + entries[position + 1 :]})


def acknowledge_otherwise(draw: st.DrawFn, trial: Trial) -> Trial:
    acks = [position for position, one in enumerate(trial.records) if isinstance(one, MessageAcknowledged)]
    assume(acks)
    position = draw(st.sampled_from(acks))
    records = list(trial.records)
    ack = records[position]
    assert isinstance(ack, MessageAcknowledged)
    records[position] = msgspec.structs.replace(ack, msg_id=ack.msg_id + 500_000)
    return _with(trial, records)


ALTERATIONS: dict[str, Alteration] = {
    alteration.__name__: alteration for alteration in (drop, double, swap, forge, leak, forget, acknowledge_otherwise)
}


@given(trials())
def test_a_correct_trial_passes(trial: Trial) -> None:
    assert check(trial, ENOUGH).violations == []


@given(st.data(), st.sampled_from(sorted(ALTERATIONS)))
def test_one_alteration_is_flagged(data: st.DataObject, alteration: str) -> None:
    trial = data.draw(trials())
    assert check(ALTERATIONS[alteration](data.draw, trial), ENOUGH).violations  # type: ignore[arg-type]
