"""The checker passes any correct run. test_checker.py checks that each alteration of a run is flagged."""

from hypothesis import given
from hypothesis import strategies as st

from tests.drills.checker import check
from tests.drills.evidence import RequiredEvidence
from tests.drills.records import DrillRecords
from tests.drills.sample_records import SampleRecords

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
def runs(draw: st.DrawFn) -> DrillRecords:
    """Draws correct runs. At their end, all devices are connected and have received everything."""
    sample = SampleRecords(MEMBERS, EDGES)
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
    return sample.recorded


@given(runs())
def test_correct_records_pass(recorded: DrillRecords) -> None:
    assert check(recorded, ENOUGH).violations == []
