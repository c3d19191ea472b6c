"""Rows that several services have."""

from shared.dashboard.panels import Panel, PanelGroup, PanelKind, Unit, count, gauge, percentiles, rate

REQUESTS = PanelGroup(
    "Requests served",
    (
        count("Requests", "dragoman_bus_request_seconds", by="subject"),
        count("Not answered well", "dragoman_bus_request_seconds", by="outcome", but="ok", bad=True),
        percentiles("Time to answer", "dragoman_bus_request_seconds"),
    ),
)
REQUESTS_SENT = PanelGroup(
    "Requests to other services",
    (
        count("Requests asked", "dragoman_bus_ask_seconds", by="subject"),
        count("Refused or without answer", "dragoman_bus_ask_seconds", by="outcome", but="ok", bad=True),
        percentiles("Time until answered", "dragoman_bus_ask_seconds"),
        rate("Errors of the broker", "dragoman_bus_errors", by="kind", bad=True),
        gauge("Waiting to be sent to NATS", "dragoman_bus_unsent_bytes", Unit.BYTES),
        gauge("Services that answer", "dragoman_service_available", by="service"),
    ),
)
EVENTS = PanelGroup(
    "Durable events",
    (
        rate("Events handled", "dragoman_bus_events", by="outcome"),
        rate("Dead letters", "dragoman_bus_dead_letters", by="subject", bad=True),
    ),
)
DATABASE = PanelGroup(
    "Database",
    (
        count("Transactions", "dragoman_database_seconds", by="kind"),
        percentiles("Time of a transaction", "dragoman_database_seconds"),
        gauge("Waiting or under way", "dragoman_database_transactions", by="kind"),
        rate("Database did not answer", "dragoman_database_failures", bad=True),
    ),
)
PRESENCE = PanelGroup(
    "Presence in Redis",
    (
        count("Calls", "dragoman_presence_seconds", by="call"),
        percentiles("Time of a call", "dragoman_presence_seconds"),
        rate("Redis did not answer", "dragoman_presence_failures", by="call", bad=True),
    ),
)
PROCESS = PanelGroup(
    "Process",
    (
        rate("Processor", "process_cpu_seconds", Unit.SHARE),
        gauge("Memory", "process_resident_memory_bytes", Unit.BYTES),
        percentiles("Lag of the event loop", "dragoman_loop_lag_seconds"),
        gauge("Tasks", "dragoman_loop_tasks"),
        gauge("Open files", "process_open_fds"),
        gauge("Dependencies that work", "dragoman_ready", by="dependency"),
        Panel("Up for", "process_start_time_seconds", PanelKind.AGE, Unit.SECONDS),
    ),
)
