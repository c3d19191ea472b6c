"""The dashboards of all processes are combined into one view of the system."""

import re
from pathlib import Path

from services.auth.dashboard import DASHBOARD as AUTH
from services.cli.overview import system_view
from services.cli.overview.system_view import Target, summarize
from services.cli.top.poller import ProcessState
from services.edge.dashboard import DASHBOARD as EDGE
from services.message.dashboard import DASHBOARD as MESSAGE
from services.session.dashboard import DASHBOARD as SESSION
from shared.dashboard.history import DashboardData, PanelData, PanelGroupData

Series = dict[str, list[float | None]]


def answer(service: str, wrong: dict[str, str] | None = None, **panels: Series) -> ProcessState:
    """Returns a dashboard. `panels` are named by title, with _ for spaces."""
    rows = [PanelData(title.replace("_", " "), "", "", False, "", series) for title, series in panels.items()]
    data = DashboardData(service, "", wrong or {}, [], [PanelGroupData("", rows)], "1.2")
    return ProcessState(service, data)


def test_numbers_of_several_processes_are_added_and_the_worst_p99_counts() -> None:
    states = {
        "edge-1": answer("edge", Deliveries={"": [1.0, 8.0]}, Time_to_deliver={"p99": [None, 0.1], "p50": [0.0, 0.0]}),
        "edge-2": answer("edge", Deliveries={"": [4.0]}, Time_to_deliver={"p99": [3.0], "p50": [None]}),
        "message": answer("message", Acknowledged={"": [4.0]}, Messages_in_flight={"": [2.0]}),
    }
    view = summarize([Target(name, "http://x") for name in states], states, None)
    hops = {hop.title: hop for hop in view.hops}
    delivering, committing = hops["Edges deliver"], hops["The message service commits"]
    assert (delivering.rate, delivering.p99, delivering.threshold) == (12.0, 3.0, 2.0)
    assert (committing.rate, committing.waiting, committing.p99) == (4.0, 2.0, None)
    [chart] = [chart for chart in view.charts if chart.title.startswith("Delivery")]
    assert chart.series == {"p99": [None, 3.0], "p50": [0.0, 0.0]}


def test_processes_have_states_versions_and_restarts() -> None:
    states = {
        "edge-1": answer("edge", wrong={"nats": "away"}, CPU_time={"": [0.25]}),
        "auth": ProcessState("auth", error="refused"),
    }
    targets = [Target("nats", ready=True), Target("edge-1", "http://e", 3), Target("auth", "http://a", 0)]
    nats, edge, auth = summarize(targets, states, 2).processes
    assert nats.state == "running"
    assert (edge.state, edge.reason, edge.version, edge.restarts, edge.processor) == (
        "not ready", "nats: away", "1.2", 3, 0.25,
    )  # fmt: skip
    assert (auth.state, auth.reason, auth.address) == ("no answer", "refused", "http://a")


def test_rejections_and_losses_are_counted_from_rates() -> None:
    state = answer("edge", Rejected={"forbidden": [0.0, 1.5], "invalid": [0.0]}, Messages_lost={"no-receipt": [0.5]})
    view = summarize([Target("edge-1", "http://e")], {"edge-1": state}, 0)
    assert [(one.process, one.reason, one.count) for one in view.rejections] == [("edge-1", "forbidden", 3)]
    assert view.lost == {"no-receipt": 1}


def test_every_panel_that_it_reads_exists() -> None:
    """The view finds panels by their titles."""
    titles = {panel.title for dashboard in (AUTH, SESSION, MESSAGE, EDGE) for panel in dashboard.panels}
    source = Path(system_view.__file__).read_text()
    used = re.findall(r'(?:summed|worst|labelled)\([^"()]*(?:"\w+", )?"([A-Z][^"]+)"', source)
    used += [*re.findall(r'last\("([A-Z][^"]+)"\)', source), "Time to acknowledge", "Time to deliver", "Rejected"]
    assert len(set(used)) > 12
    assert set(used) <= titles
