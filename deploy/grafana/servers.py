"""Panels of the servers' exporters: prometheus-nats-exporter, redis_exporter, postgres_exporter. They select by the
jobs of `deploy/prometheus/prometheus.yml`."""

from deploy.grafana.queries import INTERVAL, GrafanaPanel, Query, Section
from shared.dashboard.panels import Unit


def _one(title: str, unit: Unit, expression: str, legend: str, text: str = "", *, bad: bool = False) -> GrafanaPanel:
    return GrafanaPanel(title, unit, (Query(expression, legend),), bad, text)


def _nats(title: str, unit: Unit, name: str, text: str = "") -> GrafanaPanel:
    """A metric by the exporter's default name, or by the name that NATS's Helm chart configures."""
    return _one(title, unit, f'gnatsd_{name}{{job="nats"}} or nats_{name}{{job="nats"}}', "{{server_id}}", text)


def _streams() -> str:
    return " or ".join(
        f'{prefix}_stream_total_bytes{{job="nats"}} / ({prefix}_stream_limit_bytes{{job="nats"}} > 0)'
        for prefix in ("jetstream", "nats")
    )


def _valkey(title: str, unit: Unit, name: str, text: str = "") -> GrafanaPanel:
    return _one(title, unit, f'redis_{name}{{job="valkey"}}', "{{instance}}", text)


def _growth(metric: str, job: str, by: str) -> str:
    return f'sum by ({by}) (rate({metric}{{job="{job}"}}[{INTERVAL}]))'


def _per_database(title: str, name: str, text: str, *, bad: bool = False) -> GrafanaPanel:
    expression = _growth(f"pg_stat_database_{name}", "postgres", "datname")
    return _one(title, Unit.PER_SECOND, expression, "{{datname}}", text, bad=bad)


NATS = Section(
    "Servers",
    (
        _nats("NATS is well", Unit.NUMBER, "healthz_status_value", "Whether a server reports that it is well (1)."),
        _nats("Connections of a server", Unit.NUMBER, "varz_connections"),
        _nats("Memory of a server", Unit.BYTES, "varz_mem"),
        _nats(
            "Slow consumers so far", Unit.NUMBER, "varz_slow_consumers", "Connections that did not read fast enough."
        ),
        _one(
            "How full streams are",
            Unit.SHARE,
            _streams(),
            "{{stream_name}} {{server_name}}",
            "Bytes in a stream of those allowed.",
        ),
    ),
)
VALKEY = Section(
    "Server",
    (
        _valkey("Valkey answers", Unit.NUMBER, "up", "Whether the exporter can log in (1)."),
        _valkey("Clients", Unit.NUMBER, "connected_clients"),
        _one(
            "Commands", Unit.PER_SECOND, _growth("redis_commands_processed_total", "valkey", "instance"), "{{instance}}"
        ),
        _valkey("Memory of the server", Unit.BYTES, "memory_used_bytes"),
        _valkey("Memory it may use", Unit.BYTES, "memory_max_bytes", "0: there is no limit."),
        _one(
            "Keys evicted",
            Unit.PER_SECOND,
            _growth("redis_evicted_keys_total", "valkey", "instance"),
            "{{instance}}",
            "Removed for want of memory: edges lose their presence.",
            bad=True,
        ),
    ),
)
POSTGRESQL = Section(
    "PostgreSQL",
    (
        _one(
            "PostgreSQL answers",
            Unit.NUMBER,
            'pg_up{job="postgres"}',
            "{{instance}}",
            "Whether the exporter can log in (1).",
        ),
        _one(
            "Connections by state",
            Unit.NUMBER,
            'sum by (state) (pg_stat_activity_count{job="postgres"})',
            "{{state}}",
        ),
        _one(
            "Connections of those allowed",
            Unit.SHARE,
            'sum by (instance) (pg_stat_activity_count{job="postgres"})'
            ' / sum by (instance) (pg_settings_max_connections{job="postgres"})',
            "{{instance}}",
        ),
        _per_database("Committed", "xact_commit", "Transactions committed, per second."),
        _per_database("Rolled back", "xact_rollback", "Transactions rolled back, per second.", bad=True),
        _per_database("Deadlocks", "deadlocks", "Transactions ended for a deadlock, per second.", bad=True),
    ),
)
