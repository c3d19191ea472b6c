"""Generates the Prometheus operator's object of the alert rules: `python -m deploy.prometheus.manifest` writes it."""

from pathlib import Path
from textwrap import indent

RULES = Path(__file__).parent / "rules" / "dragoman.yml"
MANIFEST = Path(__file__).parents[1] / "k8s" / "components" / "monitoring" / "rules.yaml"
_HEAD = """\
# Made of deploy/prometheus/rules: `python -m deploy.prometheus.manifest`.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: dragoman
spec:
"""


def manifest() -> str:
    _, groups = RULES.read_text().split("\ngroups:\n")
    return _HEAD + indent(f"groups:\n{groups}", "  ")


if __name__ == "__main__":
    MANIFEST.write_text(manifest())
