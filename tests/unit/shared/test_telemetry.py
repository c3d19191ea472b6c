"""Tests log lines and trace ids."""

import json
import logging
from collections.abc import Iterator

import pytest

from shared.settings.servers import LogSettings
from shared.telemetry import configure_logging, log, new_trace, trace, trace_id_of, traceparent


@pytest.fixture(autouse=True)
def _no_trace_afterwards() -> Iterator[None]:
    yield
    trace.set("")


def test_a_line_is_one_json_object_with_the_frames_trace(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(LogSettings(), "auth")
    trace.set(new_trace())
    log("test").info("logged in", account=7)
    logging.getLogger("library").warning("old %s", "way")
    ours, theirs = map(json.loads, capsys.readouterr().out.splitlines())
    assert {
        "event": "logged in",
        "account": 7,
        "service": "auth",
        "level": "info",
        "trace": trace.get(),
    }.items() <= ours.items()
    assert {"event": "old way", "service": "auth", "level": "warning"}.items() <= theirs.items()


def test_an_error_is_one_line_with_its_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(LogSettings(), "auth")
    try:
        raise ValueError("two\nlines")
    except ValueError:
        log("test").exception("failed")
    (line,) = capsys.readouterr().out.splitlines()
    assert "ValueError: two\nlines" in json.loads(line)["exception"]


def test_on_a_terminal_it_is_readable(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(LogSettings(json_lines=False, level="warning"), "auth")
    log("test").info("not shown")
    log("test").warning("slow", seconds=3)
    (line,) = capsys.readouterr().out.splitlines()
    assert line.endswith("[warning  ] slow seconds=3")


def test_a_trace_travels_in_the_w3c_header() -> None:
    trace_id = new_trace()
    assert trace_id_of(traceparent(trace_id)) == trace_id


def test_a_broken_header_is_no_trace() -> None:
    for header in ("", "00-abc-def-01", "nonsense", "00-" + "a" * 32):
        assert trace_id_of(header) == ""
