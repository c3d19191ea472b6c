"""A fault of a running system raises the alert for this fault. In a healthy system, no alert fires."""

import signal
import sys
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest

from local.data import read_run
from local.process_group import ProcessGroup
from tests.drills.audit import SETTINGS, lost_messages
from tests.support.cluster import RELAXED, Cluster
from tests.support.waiting import WAIT_SECONDS
from tests.system.prometheus import PROMETHEUS, Prometheus
from tests.system.users import NativeUser, V2User

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
    prometheus = Prometheus(tmp_path, processes, process_group, impatient=True)
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


_FORGETFUL = (sys.executable, "-m", "tests.drills.mutants", "drop-delivery", "up")
_PAUSE_SECONDS = 0.1
"""The pause between two messages.

The broken build drops one message in 20, and the auditor watches a connection for half of the time.
"""


def test_an_alert_fires_for_a_build_that_loses_messages(process_group: ProcessGroup, tmp_path: Path) -> None:
    """The alert fires for recipients in any dialect.

    In v2, a message counts as read when it arrives; in native, when the client sends `read`.
    """
    with Cluster(tmp_path / "data", *RELAXED, *SETTINGS, edges=1, program=_FORGETFUL) as cluster:
        [edge], run = cluster.edges, read_run(cluster.data)
        assert run is not None
        prometheus = Prometheus(tmp_path, [process for process in run.processes if process.ops], process_group)
        prometheus.start()
        try:
            prometheus.await_samples("sum(dragoman_edge_messages_lost_total) == 0")
            with V2User(edge) as one, V2User(edge) as other, NativeUser(edge) as ann, NativeUser(edge) as bob:
                session = one.register().session(other.register())
                chat = ann.register().call("open", account=bob.register().number)["chat"]
                _post_until_lost(cluster, other.account.number, lambda text: one.post(session, text))
                _post_until_lost(cluster, bob.number, lambda text: ann.call("send", chat=chat, text=text, nonce=text))
            assert lost_messages(cluster).keys() == {"no-delivery"}
            prometheus.await_alerts(("DragomanMessagesLost", ""))
        finally:
            prometheus.stop()


def _post_until_lost(cluster: Cluster, recipient: int, post: Callable[[str], object]) -> None:
    """Posts messages until the auditor has found that the recipient lacks one."""
    numbers = count()

    def is_lost() -> bool:
        post(f"number {next(numbers)}")
        time.sleep(_PAUSE_SECONDS)
        return f"message lost account={recipient} " in cluster.tail()

    cluster.wait_for(is_lost, 2 * WAIT_SECONDS)
