"""Panels of the servers' exporters: prometheus-nats-exporter, redis_exporter, postgres_exporter."""

from deploy.grafana.queries import INTERVAL, GrafanaPanel, Query, Section
from shared.dashboard.panels import Unit


def _one(title: str, unit: Unit, expression: str, legend: str, *, bad: bool = False) -> GrafanaPanel:
    return GrafanaPanel(title, unit, (Query(expression, legend),), bad)


def _nats(title: str, unit: Unit, name: str) -> GrafanaPanel:
    """A metric by the exporter's default name, or by the name that NATS's Helm chart configures."""
    return _one(title, unit, f"gnatsd_{name} or nats_{name}", "{{server_id}}")


def _streams() -> str:
    return " or ".join(
        f"{prefix}_stream_total_bytes / ({prefix}_stream_limit_bytes > 0)" for prefix in ("jetstream", "nats")
    )


def _growth(metric: str, by: str) -> str:
    return f"sum by ({by}) (rate({metric}[{INTERVAL}]))"


def _per_database(title: str, name: str, *, bad: bool = False) -> GrafanaPanel:
    return _one(title, Unit.PER_SECOND, _growth(f"pg_stat_database_{name}", "datname"), "{{datname}}", bad=bad)


NATS = Section(
    "Servers",
    (
        _nats("Connections of a server", Unit.NUMBER, "varz_connections"),
        _nats("Memory of a server", Unit.BYTES, "varz_mem"),
        _nats("Slow consumers so far", Unit.NUMBER, "varz_slow_consumers"),
        _one("How full streams are", Unit.SHARE, _streams(), "{{stream_name}} {{server_name}}"),
    ),
)
VALKEY = Section(
    "Server",
    (
        _one("Clients", Unit.NUMBER, "redis_connected_clients", "{{instance}}"),
        _one("Commands", Unit.PER_SECOND, _growth("redis_commands_processed_total", "instance"), "{{instance}}"),
        _one("Memory of the server", Unit.BYTES, "redis_memory_used_bytes", "{{instance}}"),
        _one("Memory it may use", Unit.BYTES, "redis_memory_max_bytes", "{{instance}}"),
    ),
)
POSTGRESQL = Section(
    "PostgreSQL",
    (
        _one("Connections by state", Unit.NUMBER, "sum by (state) (pg_stat_activity_count)", "{{state}}"),
        _one(
            "Connections of those allowed",
            Unit.SHARE,
            "sum by (instance) (pg_stat_activity_count) / sum by (instance) (pg_settings_max_connections)",
            "{{instance}}",
        ),
        _per_database("Committed", "xact_commit"),
        _per_database("Rolled back", "xact_rollback", bad=True),
        _per_database("Deadlocks", "deadlocks", bad=True),
    ),
)
