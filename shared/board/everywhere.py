"""Rows that several services have."""

from shared.board.rows import Group, Kind, Row, Unit, now, rate, spread

REQUESTS = Group(
    "Requests served",
    (
        rate("Requests", "dragoman_bus_request_seconds", by="subject"),
        rate("Not answered well", "dragoman_bus_request_seconds", by="outcome", but="ok", bad=True),
        spread("Time to answer", "dragoman_bus_request_seconds"),
    ),
)
ASKED = Group(
    "Requests to other services",
    (
        rate("Requests asked", "dragoman_bus_ask_seconds", by="subject"),
        rate("Refused or without answer", "dragoman_bus_ask_seconds", by="outcome", but="ok", bad=True),
        spread("Time until answered", "dragoman_bus_ask_seconds"),
        rate("Errors of the broker", "dragoman_bus_errors", by="kind", bad=True),
    ),
)
EVENTS = Group(
    "Durable events",
    (rate("Dead letters", "dragoman_bus_dead_letters", by="subject", bad=True),),
)
PROCESS = Group(
    "Process",
    (
        rate("Processor", "process_cpu_seconds", Unit.SHARE),
        now("Memory", "process_resident_memory_bytes", Unit.BYTES),
        spread("Lag of the event loop", "dragoman_loop_lag_seconds"),
        now("Open files", "process_open_fds"),
        Row("Up for", "process_start_time_seconds", Kind.AGE, Unit.SECONDS),
    ),
)
