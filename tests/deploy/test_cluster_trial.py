"""trial.sh without a cluster, and the table of its steps."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.deploy import cluster_trial
from tests.deploy.cluster_trial import node_to_drain
from tests.deploy.disturbed_trial import TrialStep, by_step
from tests.deploy.manifests import K8S
from tests.drills.indexed_trial import IndexedTrial
from tests.drills.sample_trials import SampleTrial

CHAT = 7


def test_a_missing_cluster_is_one_sentence(tmp_path: Path) -> None:
    kubectl = tmp_path / "kubectl"
    kubectl.write_text('#!/bin/sh\necho applied >> $0.log\n[ "$1" != get ]\n')
    kubectl.chmod(0o755)
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run([K8S / "trial.sh"], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == (
        "trial.sh: kubectl reaches no cluster; start one (kind create cluster, minikube start, k3s server)\n"
    )
    assert (tmp_path / "kubectl.log").read_text().count("applied") == 1


def test_waits_and_unanswered_messages_are_counted_by_step() -> None:
    sample = SampleTrial({CHAT: frozenset({1, 2})}, {"1/a": "edge-1", "2/a": "edge-2"})
    first = sample.tick()
    sample.send("1/a", CHAT)
    second = sample.tick()
    text = sample.send_unanswered("2/a", CHAT)
    sample.tick(3)
    sample.acknowledge("2/a", text, CHAT)
    sample.send_unanswered("1/a", CHAT)
    end = sample.tick()
    steps = [TrialStep("restart", first, second, ""), TrialStep("drain", second, end, "")]
    *_, restarted, drained = by_step(steps, IndexedTrial(sample.trial)).splitlines()
    assert restarted == "| restart | 0 | 0.0 | 0 of 1 | 0 | 0 |"
    assert drained.startswith("| drain | 3 | 3.")
    assert drained.endswith("| 1 of 2 | 0 | 0 |")


@pytest.mark.parametrize(
    ("pods", "node"),
    [
        ([("edge", "a"), ("postgres", "a"), ("edge", "b")], "b"),
        ([("edge", "a"), ("postgres", "a")], None),
        ([("edge", "a"), ("postgres", "a"), ("auth", "b")], None),
    ],
)
async def test_the_database_s_node_is_not_drained(
    pods: list[tuple[str, str]], node: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def objects(_: str) -> list[dict[str, object]]:
        label = "app.kubernetes.io/name"
        return [{"spec": {"nodeName": where}, "metadata": {"labels": {label: name}}} for name, where in pods]

    monkeypatch.setattr(cluster_trial, "objects", objects)
    assert await node_to_drain() == node
