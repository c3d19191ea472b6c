"""Reads the CPU time, traffic and memory of local processes from /proc (Linux only). Reads the sizes of batches from
the metrics of processes."""

import contextlib
import http.client
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

_SECONDS = 5.0
_SERIES = {
    "dragoman_message_batch_rows_count": "commits",
    "dragoman_message_delivery_batch_bytes_count": "delivery batches",
    "dragoman_edge_posts_total": "requests",
    "dragoman_message_membership_refreshes_total": "member lists",
}


def batch_counts(ports: Iterable[int]) -> dict[str, float]:
    """The sums over the processes with these operations ports. They count `requests` of edges, `commits`,
    `delivery batches` to edges, and `member lists` that are requested from the session service. A process that does not
    answer is left out."""
    counts = dict.fromkeys(_SERIES.values(), 0.0)
    for port in ports:
        with contextlib.suppress(OSError, http.client.HTTPException):
            for name, value in counted(_metrics(port)).items():
                counts[name] += value
    return counts


def counted(exposition: str) -> Mapping[str, float]:
    """The counts in the metrics of one process, which are given as text."""
    found = {name: 0.0 for name in _SERIES.values()}
    for line in exposition.splitlines():
        series, _, value = line.rpartition(" ")
        for prefix, name in _SERIES.items():
            if series.startswith(prefix):
                found[name] += float(value)
    return found


def _metrics(port: int) -> str:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_SECONDS)
    try:
        connection.request("GET", "/metrics")
        return connection.getresponse().read().decode()
    finally:
        connection.close()


_TICKS = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid: int) -> float | None:
    """The CPU seconds of a process since its start. None if it cannot be read."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return (int(fields[11]) + int(fields[12])) / _TICKS


def tree_cpu_seconds(pid: int) -> float | None:
    """The CPU seconds of a process and its children, even of children that have ended. None if it cannot be read."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return None
    return sum(map(int, fields[11:15])) / _TICKS + sum(cpu_seconds(int(child)) or 0.0 for child in children)


def parent_of(pid: int, name: str) -> int:
    """The parent of a local process of this name, or 0 if there is no such process."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return 0
    return int(stat.rpartition(")")[2].split()[1]) if f"({name})" in stat else 0


def busy_seconds() -> float | None:
    """The CPU seconds of all cores and processes, with the time that the hypervisor has taken. None without /proc."""
    try:
        first = Path("/proc/stat").read_text().split("\n", 1)[0]
    except OSError:
        return None
    user, nice, system, _idle, _waiting, *interrupts_and_stolen = map(int, first.split()[1:9])
    return (user + nice + system + sum(interrupts_and_stolen)) / _TICKS


def bytes_through(pid: int) -> tuple[int, int] | None:
    """The bytes that a process has read and written since its start, to sockets and files. None if it cannot be
    read."""
    try:
        lines = Path(f"/proc/{pid}/io").read_text().splitlines()
    except OSError:
        return None
    counts = dict(line.split(": ") for line in lines)
    return int(counts["rchar"]), int(counts["wchar"])


def memory_kib(pid: int) -> int | None:
    """The anonymous memory of a process in KiB. None if it cannot be read."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) for line in lines if line.startswith("RssAnon:")), None)


def descendants(pid: int) -> dict[int, str]:
    """The process and all its descendants, with their names. The result is empty if the process cannot be read."""
    try:
        found = {pid: Path(f"/proc/{pid}/comm").read_text().strip()}
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            found |= descendants(int(child))
    except OSError:
        return {}
    return found


def proportional_kib(pid: int) -> int:
    """The memory of a process in KiB. A page that n processes share counts as an nth. The result is 0 if the process
    cannot be read."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)
