"""Runs each deliberately broken build in the shortest drill that must detect the fault.

Also runs each service with a wrong clock, which must not make a drill fail.
"""

import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import msgspec

from tests.drills.kill import SHORT
from tests.drills.mutants import MUTANTS
from tests.support.commands import ROOT

SHORTEST = {
    "kill": ("--every", "2", *SHORT),
    "audit": ("--seconds", "6", "--patience", "25"),
    "scale": ("--edges", "2", "--seconds", "4", "--phase", "grow", "--phase", "shrink"),
    "scale --phase grow --phase leaders": ("--edges", "2", "--replicas", "2", "--seconds", "4"),
    "absence": ("--messages", "1500", "--chats", "20"),
    "machine": ("--seconds", "60"),
    "broker": ("--phase", "frozen", "--seconds", "17"),
    "database": ("--phase", "restarted"),
    "partition": ("--phase", "edge-1~valkey", "--seconds", "20"),
    "network": ("--phase", "clients", "--seconds", "8"),
    "network --phase nats": ("--seconds", "15"),
    "half-open": (),
    "storm": ("--clients", "1000", "--bound", "15"),
    "storm --all-edges": ("--clients", "1000", "--bound", "15"),
    "members": ("--targets", "message,session,auth"),
    "fuzz": ("--seconds", "8", "--frames", "500", "--latency", "10"),
    "soak": ("--minutes", "2"),
}
"""For each drill, the options that make it short. The name of a mutant's drill may contain further options."""
_CLOCKS = [f"{service}={seconds}" for service in ("auth", "session", "message", "edge") for seconds in (3600, -3600)]


def check_all(report: Callable[[str], None]) -> list[str]:
    """Returns the names of the builds with an unexpected result."""
    failed = [name for name in sorted(MUTANTS) if not _is_found(name, report)]
    for clock in _CLOCKS:
        status = _run("kill", *SHORTEST["kill"], "--bound", "10", "--clock", clock)
        report(f"{clock:<28}exit status {status}")
        if status:
            failed.append(clock)
    return failed


def _is_found(name: str, report: Callable[[str], None]) -> bool:
    """Returns whether the drill finds that the mutant's invariant has failed.

    For the state machine, which names no invariant, only the exit status counts.
    """
    mutant = MUTANTS[name]
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory, "figures.json")
        more = ("--json", str(file)) if mutant.invariant else ()
        status = _run(*mutant.drill.split(), *SHORTEST[mutant.drill], "--break", name, *more)
        found = msgspec.json.decode(file.read_bytes())["invariants"] if file.exists() else {}
    failed = ", ".join(invariant for invariant, count in found.items() if count)
    report(f"{name:<28}exit status {status}  {failed}")
    return bool(found.get(mutant.invariant)) if mutant.invariant else status == 1


def _run(*arguments: str) -> int:
    command = [sys.executable, "-m", "tests.drills", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, check=False).returncode
