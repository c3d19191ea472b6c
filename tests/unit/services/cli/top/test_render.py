"""Dashboards are rendered as lines of a terminal."""

from services.cli.top.command import format_value, render, sparkline, use_colours
from services.cli.top.poller import ProcessState
from shared.dashboard.history import DashboardData, PanelData, PanelGroupData


def panel(
    title: str, *, kind: str = "rate", unit: str = "/s", bad: bool = False, **series: list[float | None]
) -> PanelData:
    return PanelData(title, kind, unit, bad, "", {label.replace("all", ""): one for label, one in series.items()})


def state(*rows: PanelData, **wrong: str) -> ProcessState:
    return ProcessState(
        "edge-1", DashboardData("edge", "edge-1", wrong, [1.0, 2.0], [PanelGroupData("Clients", list(rows))])
    )


def rendered(one: ProcessState, width: int = 120, room: int | None = None) -> list[str]:
    return render([one], width, room, colours=False)


def test_numbers_have_their_unit() -> None:
    for value, unit, text in (
        (None, "s", "–"), (0.0, "/s", "0 /s"), (0.5, "%", "50 %"), (0.001, "/s", "<0.01 /s"), (9_999.0, "", "9999"),
        (12_340.0, "", "12.3 k"), (3_000_000.0, "/s", "3 M/s"), (0.0, "s", "0 s"), (0.0123, "s", "12.3 ms"),
        (0.000_05, "s", "50 µs"), (1.25, "s", "1.25 s"), (150.0, "s", "2 min"), (7_200.0, "s", "2 h"),
        (180_000.0, "s", "2 days"), (512.0, "B", "512 B"), (1536.0, "B", "1.5 KiB"), (2.0**40, "B", "1024 GiB"),
        (2048.0, "B/s", "2 KiB/s"),
    ):  # fmt: skip
        assert format_value(value, unit) == text


def test_sparkline_is_scaled_from_zero_to_its_maximum() -> None:
    assert sparkline([0, 1, None, 8, 4], 6) == "  ▁ █▄"
    assert sparkline([5, 8, 4], 2) == "█▄"
    assert sparkline([0, 0], 3) == "   "


def test_panel_has_its_total_and_series() -> None:
    head, line, _ = rendered(state(panel("Frames in", pipe=[1, 2], service=[None, 30], v0=[4, 0])))
    assert head == "edge-1  ready"
    assert line.split() == ["Frames", "in", "32", "/s", "▂█", "service", "30", "/s", "pipe", "2", "/s"]


def test_percentiles_show_p99_and_p50() -> None:
    _, line, _ = rendered(state(panel("Time", kind="spread", unit="s", p50=[0.1, 0.2], p99=[0.5, 1.0])))
    assert line.split() == ["Time", "1", "s", "·", "200", "ms", "▄█", "p99", "·", "p50"]


def test_panels_of_zeros_are_omitted() -> None:
    long_ago: list[float | None] = [5, *[0] * 30]
    calm = panel("Refusals", all=[0, 0]), panel("Deliveries", all=[None, None]), panel("Closed", all=long_ago)
    assert rendered(state(*calm)) == ["edge-1  ready", ""]


def test_unready_and_unreachable_processes_show_their_error() -> None:
    assert rendered(state(nats="away"))[0] == "edge-1  not ready – nats: away"
    degraded = DashboardData("edge", "", {}, [], [], degraded={"messages": "none"})
    assert rendered(ProcessState("edge-1", degraded))[0] == "edge-1  ready, degraded – messages: none"
    assert rendered(ProcessState("auth", error="refused")) == ["auth  no answer: refused", ""]
    assert rendered(ProcessState("auth", DashboardData("auth", "", {}, [], []))) == [
        "auth  ready",
        "  no numbers yet",
        "",
    ]


def test_lines_and_width_are_limited() -> None:
    one = state(*(panel(f"Row {number}", all=[1, 2], other=[1, 2]) for number in range(9)))
    assert len(rendered(one, room=4)) == 5
    assert max(map(len, rendered(one, width=60))) == 60


def test_errors_are_red_on_a_colour_terminal() -> None:
    trouble = state(panel("Refusals", bad=True, all=[0, 1]))
    assert render([trouble], 100, colours=True)[1].startswith("\x1b[31m")
    assert "\x1b" not in "".join(rendered(trouble))
    assert use_colours({}, terminal=True)
    assert not use_colours({"NO_COLOR": "1"}, terminal=True)
    assert not use_colours({}, terminal=False)
