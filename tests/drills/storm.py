"""The storm drill: one edge or all edges are killed under thousands of clients.

The clients log in again and must get the messages that they missed.
"""

import subprocess
import tempfile
from pathlib import Path
from typing import Any

import msgspec

from bench.load.verifier import Faults
from tests.support.cluster import Cluster
from tests.support.commands import DRAGOMAN, ROOT

EDGES = 3
_DIALECTS = ("pipe", "native", "irc")
_ALL_BACK = "seconds until all had what they missed"


class _Result(msgspec.Struct):
    """The part of the load generator's result that the drill judges."""

    figures: dict[str, float]
    faults: Faults
    remarks: list[str]
    passed: bool


def storm(cluster: Cluster, clients: int, bound: float, *, all_edges: bool) -> dict[str, Any]:
    """Returns figures in the form of the other drills. Raises RuntimeError when the load generator fails."""
    with tempfile.TemporaryDirectory() as directory:
        report = Path(directory, "storm.json")
        options = {"--data": cluster.data, "--people": clients, "--seconds": bound, "--processes": 2, "--json": report}
        given = [str(part) for option in options.items() for part in option] + ["--all-edges"] * all_edges
        command = [*DRAGOMAN, "bench", "reconnect-storm", *given, *(f"--dialect={one}" for one in _DIALECTS)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        if not report.exists():
            raise RuntimeError(done.stdout + done.stderr)
        (result,) = msgspec.json.decode(report.read_bytes(), type=list[_Result])
    lost = result.faults.lost
    fault = "kill edges" if all_edges else "kill edge-1"
    # a message that did not arrive within the bound counts as lost
    waited = bound if lost else result.figures.get(_ALL_BACK, bound)
    late = lost or int(waited >= bound)
    violations = {"I2 delivery": lost, "I2 once": result.faults.doubled, "S1 service": late}
    return {
        "result": "failed" if any(violations.values()) else "passed" if result.passed else "inconclusive",
        "clients": clients,
        "longest_wait_max_seconds": waited,
        "faults": {fault: EDGES if all_edges else 1},
        "worst_outage_seconds": {fault: waited},
        "invariants": violations,
        "violations": [f"{name}: {count}" for name, count in violations.items() if count],
        "doubts": [f"{count} {name}" for name, count in msgspec.structs.asdict(result.faults).items() if count]
        + result.remarks,
    }
