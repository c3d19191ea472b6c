"""What panels show of the alerts: their limits, from the rules, and what to do, from the runbooks."""

import re
from pathlib import Path
from typing import NamedTuple

import yaml

_ROOT = Path(__file__).parents[2]
_RULES = _ROOT / "deploy" / "helm" / "dragoman" / "files" / "rules.yml"
_RUNBOOKS = _ROOT / "docs" / "runbooks.md"
_LIMIT = re.compile(r"(?:== 0|> ([\d.]+))(?:\s+(?:and|or absent)\b.*)?$", re.DOTALL)
"""The comparison that the whole expression ends in, or that comes before its first `and`."""

LIMITS = {
    "Closed as too slow": ("DragomanClientsTooSlow",),
    "Behind by": ("DragomanSearchBehind",),
    "Clocks apart from Prometheus's": ("DragomanClockWrong",),
    "Database did not answer": ("DragomanDatabaseAway",),
    "Dead letters": ("DragomanDeadLetters",),
    "Dependencies that work": ("DragomanDependencyAway", "DragomanEventsNotStored"),
    "Errors of the broker": ("DragomanBusForbidden", "DragomanBusSlow"),
    "Events not published": ("DragomanOutboxStands",),
    "Failed replies": ("DragomanSendsFailFast", "DragomanSendsFailSlow"),
    "Failures of the store": ("DragomanFilesFail",),
    "How full streams are": ("DragomanJetStreamFull",),
    "Invalid tokens": ("DragomanTokensFail",),
    "Lag of the event loop": ("DragomanLag",),
    "Messages lost": ("DragomanMessagesLost",),
    "NATS is well": ("DragomanNatsUnhealthy",),
    "Open files of those allowed": ("DragomanFilesRunOut",),
    "PostgreSQL answers": ("DragomanPostgresDown",),
    "Processes that answer": ("DragomanSearchAway", "DragomanServiceMissing"),
    "Re-syncs after a loss": ("DragomanResyncs",),
    "Redis did not answer": ("DragomanRedisAway",),
    "Requests failed": ("DragomanRequestsFail",),
    "Time to acknowledge": ("DragomanAcknowledgementSlow",),
    "Time to commit": ("DragomanCommitSlow",),
    "Time to deliver": ("DragomanDeliverySlow",),
    "Used of the disk": ("DragomanSearchDiskFull",),
    "Valkey answers": ("DragomanValkeyDown",),
    "Waiting for a hash": ("DragomanHashQueue",),
}
"""By the title of a panel: the alerts that compare what it shows with a limit."""
RELATED = {
    "Acknowledged": ("DragomanQueueStands",),
    "Certificate is valid for": ("DragomanCertificateEnds", "DragomanCertificateExpires"),
    "Events handled": ("DragomanEventsFail",),
    "Ignored X-Forwarded-For": ("DragomanProxyUntrusted",),
    "Lost from presence": ("DragomanPresenceLost",),
    "Mails": ("DragomanMailsFail",),
    "Messages acknowledged of those taken": ("DragomanSendsFailFast",),
    "Messages in flight": ("DragomanQueueStands",),
    "NATS is well": ("DragomanExporterDown",),
    "Not answered well": ("DragomanRequestsFail",),
    "PostgreSQL answers": ("DragomanExporterDown",),
    "Processes that answer": ("DragomanProcessDown",),
    "Up for": ("DragomanRestarts",),
    "Valkey answers": ("DragomanExporterDown",),
}
"""Alerts whose limit is of another measure, such as the growth over a longer time."""


class Alert(NamedTuple):
    """`number`: that of its runbook."""

    name: str
    severity: str
    expression: str
    number: int
    runbook: str

    def part(self, name: str) -> str:
        """A paragraph of the runbook, such as Symptom, on one line."""
        _, found, after = self.runbook.partition(f"- **{name}.** ")
        if not found:
            raise LookupError(f"the runbook of {self.name} has no {name}")
        return " ".join(after.partition("\n- ")[0].split())

    @property
    def limit(self) -> float | None:
        """It fires above this; None: it fires at zero. Raises LookupError for an expression of another form."""
        if (found := _LIMIT.search(self.expression)) is None:
            raise LookupError(f"{self.name} compares with no limit: {self.expression}")
        return float(found[1]) if found[1] else None


def _read() -> dict[str, Alert]:
    groups = yaml.safe_load(_RULES.read_text())["groups"]
    rules = {rule["alert"]: rule for group in groups for rule in group["rules"] if "alert" in rule}
    _, *parts = re.split(r"^## (\w+)\n", _RUNBOOKS.read_text(), flags=re.MULTILINE)
    runbooks = enumerate(zip(parts[::2], parts[1::2], strict=True), 1)
    return {
        name: Alert(name, rules[name]["labels"]["severity"], rules[name]["expr"].strip(), number, runbook.strip())
        for number, (name, runbook) in runbooks
    }


ALERTS = _read()
"""All of them by name, in the order of the runbooks."""
