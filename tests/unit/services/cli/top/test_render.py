"""Processes as lines of a terminal."""

import pytest

from services.cli.top.poller import ProcessState
from services.cli.top.render import format_value, render, sparkline, use_colours
from shared.dashboard.history import DashboardData, PanelData, PanelGroupData


def row(
    title: str, *, kind: str = "rate", unit: str = "/s", bad: bool = False, **series: list[float | None]
) -> PanelData:
    return PanelData(title, kind, unit, bad, "", {label.replace("all", ""): one for label, one in series.items()})


def seen(*rows: PanelData, **wrong: str) -> ProcessState:
    return ProcessState(
        "edge-1", DashboardData("edge", "edge-1", wrong, [1.0, 2.0], [PanelGroupData("Clients", list(rows))])
    )


def drawn(one: ProcessState, width: int = 120, room: int | None = None) -> list[str]:
    return render([one], width, room, colours=False)


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (None, "s", "–"), (0.0, "/s", "0 /s"), (0.5, "%", "50 %"), (0.001, "/s", "<0.01 /s"), (9_999.0, "", "9999"),
        (12_340.0, "", "12.3 k"), (3_000_000.0, "/s", "3 M/s"), (0.0, "s", "0 s"), (0.0123, "s", "12.3 ms"),
        (0.000_05, "s", "50 µs"), (1.25, "s", "1.25 s"), (150.0, "s", "2 min"), (7_200.0, "s", "2 h"),
        (180_000.0, "s", "2 days"), (512.0, "B", "512 B"), (1536.0, "B", "1.5 KiB"), (2.0**40, "B", "1024 GiB"),
        (2048.0, "B/s", "2 KiB/s"),
    ],
)  # fmt: skip
def test_numbers_are_said_with_their_unit(value: float | None, unit: str, text: str) -> None:
    assert format_value(value, unit) == text


def test_a_curve_goes_from_zero_to_its_maximum() -> None:
    assert sparkline([0, 1, None, 8, 4], 6) == "  ▁ █▄"
    assert sparkline([5, 8, 4], 2) == "█▄"
    assert sparkline([0, 0], 3) == "   "


def test_a_row_has_its_sum_and_what_it_is_made_of() -> None:
    head, line, _ = drawn(seen(row("Frames in", pipe=[1, 2], service=[None, 30], v0=[4, 0])))
    assert head == "edge-1  ready"
    assert line.split() == ["Frames", "in", "32", "/s", "▂█", "service", "30", "/s", "pipe", "2", "/s"]


def test_a_spread_has_both_its_ends() -> None:
    _, line, _ = drawn(seen(row("Time", kind="spread", unit="s", p50=[0.1, 0.2], p99=[0.5, 1.0])))
    assert line.split() == ["Time", "1", "s", "·", "200", "ms", "▄█", "p99", "·", "p50"]


def test_what_is_calm_is_left_out() -> None:
    long_ago: list[float | None] = [5, *[0] * 30]
    calm = row("Refusals", all=[0, 0]), row("Deliveries", all=[None, None]), row("Closed", all=long_ago)
    assert drawn(seen(*calm)) == ["edge-1  ready", ""]


def test_a_process_says_what_is_wrong_and_silence_is_told() -> None:
    assert drawn(seen(nats="away"))[0] == "edge-1  not ready – nats: away"
    assert drawn(ProcessState("auth", error="refused")) == ["auth  no answer: refused", ""]
    assert drawn(ProcessState("auth", DashboardData("auth", "", {}, [], []))) == ["auth  ready", "  no numbers yet", ""]


def test_it_keeps_to_its_room() -> None:
    one = seen(*(row(f"Row {number}", all=[1, 2], other=[1, 2]) for number in range(9)))
    assert len(drawn(one, room=4)) == 5
    assert max(map(len, drawn(one, width=60))) == 60


def test_trouble_is_red_where_there_are_colours() -> None:
    trouble = seen(row("Refusals", bad=True, all=[0, 1]))
    assert render([trouble], 100, colours=True)[1].startswith("\x1b[31m")
    assert "\x1b" not in "".join(drawn(trouble))
    assert use_colours({}, terminal=True)
    assert not use_colours({"NO_COLOR": "1"}, terminal=True)
    assert not use_colours({}, terminal=False)
