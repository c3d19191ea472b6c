"""CPU time, traffic and memory of local processes, from /proc (Linux only)."""

import os
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid: int) -> float | None:
    """CPU seconds since the process started; None for an unreadable process."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return (int(fields[11]) + int(fields[12])) / _TICKS


def tree_cpu_seconds(pid: int) -> float | None:
    """CPU seconds of a process and its children, ended ones included; None for an unreadable process."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return None
    return sum(map(int, fields[11:15])) / _TICKS + sum(cpu_seconds(int(child)) or 0.0 for child in children)


def parent_of(pid: int, name: str) -> int:
    """The parent of a local process of this name; 0 if there is no such process."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return 0
    return int(stat.rpartition(")")[2].split()[1]) if f"({name})" in stat else 0


def busy_seconds() -> float | None:
    """CPU seconds of all cores and processes, stolen time included; None without /proc."""
    try:
        first = Path("/proc/stat").read_text().split("\n", 1)[0]
    except OSError:
        return None
    user, nice, system, _idle, _waiting, *interrupts_and_stolen = map(int, first.split()[1:9])
    return (user + nice + system + sum(interrupts_and_stolen)) / _TICKS


def bytes_through(pid: int) -> tuple[int, int] | None:
    """Bytes read and written since the start, sockets and files included; None for an unreadable process."""
    try:
        lines = Path(f"/proc/{pid}/io").read_text().splitlines()
    except OSError:
        return None
    counts = dict(line.split(": ") for line in lines)
    return int(counts["rchar"]), int(counts["wchar"])


def memory_kib(pid: int) -> int | None:
    """Anonymous memory of a process in KiB; None for an unreadable process."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) for line in lines if line.startswith("RssAnon:")), None)
