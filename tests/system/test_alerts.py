"""A fault of a running system raises the alert for this fault. In a healthy system, no alert fires."""

import signal
from pathlib import Path

import pytest

from local.data import read_run
from local.process_group import ProcessGroup
from tests.support.cluster import Cluster
from tests.system.prometheus import PROMETHEUS, Prometheus
from tests.system.users import V2User

pytestmark = [
    pytest.mark.xdist_group("system"),
    pytest.mark.skipif(PROMETHEUS is None, reason="there is no prometheus to raise an alarm"),
]


def test_an_alert_fires_for_a_killed_process(
    system: Cluster, couple: tuple[V2User, V2User, int], process_group: ProcessGroup, tmp_path: Path
) -> None:
    one, other, session = couple
    run = read_run(system.data)
    assert run is not None
    processes = [process for process in run.processes if process.ops]
    prometheus = Prometheus(tmp_path, processes, process_group)
    all_up = f"count(up == 1) == {len(processes)}"
    prometheus.start()
    try:
        one.post(session, "all is well")
        other.receive_text("all is well")
        prometheus.await_samples(all_up)
        prometheus.rules()
        prometheus.await_quiet()
        with system.unsupervised():
            system.signal("message", signal.SIGKILL)
            system.signal("valkey", signal.SIGKILL)
            prometheus.await_alerts(
                ("DragomanProcessDown", "message"),
                ("DragomanServiceMissing", "message"),
                ("DragomanRedisUnavailable", "edge"),
            )
        prometheus.await_samples(all_up)
    finally:
        prometheus.stop()
