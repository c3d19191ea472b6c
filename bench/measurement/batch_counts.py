"""Counts of what messages share, from the metrics of edges and message: they say how large batches were."""

import contextlib
import http.client
from collections.abc import Iterable, Mapping

_SECONDS = 5.0
_SERIES = {
    "dragoman_message_batch_rows_count": "commits",
    "dragoman_message_envelope_bytes_count": "envelopes",
    "dragoman_edge_posts_total": "requests",
    "dragoman_message_membership_refreshes_total": "rosters",
}


def batch_counts(ports: Iterable[int]) -> dict[str, float]:
    """The sums over processes with these operations ports: `requests` of edges, `commits`, `envelopes` to edges,
    `rosters` requested from session. A process that does not answer is left out."""
    counts = dict.fromkeys(_SERIES.values(), 0.0)
    for port in ports:
        with contextlib.suppress(OSError, http.client.HTTPException):
            for name, value in counted(_metrics(port)).items():
                counts[name] += value
    return counts


def counted(exposition: str) -> Mapping[str, float]:
    """The counts in the text of one process's metrics."""
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
