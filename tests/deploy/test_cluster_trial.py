"""trial.sh without a cluster, and the table of its steps."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.deploy import cluster_trial, disturbed_trial
from tests.deploy.alarms import Alarms
from tests.deploy.cluster_trial import (
    FILL,
    FREEZE,
    away,
    filler,
    freeze,
    freezer,
    full,
    node_to_drain,
    restart,
    small_volumes,
    steps,
)
from tests.deploy.disturbed_trial import CommandFailed, Disturbance, TrialStep, by_step
from tests.deploy.manifests import K8S
from tests.drills.indexed_trial import IndexedTrial
from tests.drills.sample_trials import SampleTrial
from tests.support.small_disk import small_disk
from tests.support.waiting import block_until

CHAT = 7


class StatefulPod:
    """The only pod of a StatefulSet that stores on a volume, as the API server shows it."""

    def __init__(self, service: str) -> None:
        server = {
            "image": f"{service}:17",
            "imagePullPolicy": "IfNotPresent",
            "securityContext": {"readOnlyRootFilesystem": True},
            "volumeMounts": [{"name": "secret", "mountPath": "/run/issued"}, {"name": "data", "mountPath": "/data"}],
        }
        volumes = [{"name": "secret", "secret": {}}, {"name": "data", "persistentVolumeClaim": {}}]
        spec = {"nodeName": "node1", "securityContext": {"runAsUser": 70}, "containers": [server], "volumes": volumes}
        self.shown = {"metadata": {"name": f"{service}-0"}, "spec": spec}


class FilledCluster:
    """Stands for kubectl. Each volume has so much room; a filler has filled it when its log is read."""

    def __init__(self) -> None:
        self.commands: list[str] = []
        self.free_mib = 400
        self.log_files, self.failure = 0, "server closed the connection"

    async def kubectl(self, *arguments: str) -> str:
        self.commands.append(" ".join(arguments))
        match arguments[0]:
            case "exec" if "psql" in arguments:
                if not self.log_files:
                    raise CommandFailed(self.failure)
                self.log_files -= 1
            case "exec":
                return f"Filesystem 1024-blocks Used Available Capacity\n/dev/a 1 1 {self.free_mib * 1024} 1% /data\n"
            case "logs":
                return "full\n"
        return ""

    async def objects(self, _kind: str, _selector: str, label: str) -> list[dict[str, Any]]:
        return [StatefulPod(label.partition("=")[2]).shown]


class FrozenCluster:
    """Stands for kubectl. A frozen pod has another container once it was looked at `lasts` times."""

    def __init__(self) -> None:
        self.commands: list[str] = []
        self.found, self.lasts = "2 processes frozen", 1_000_000

    async def kubectl(self, *arguments: str) -> str:
        self.commands.append(" ".join(arguments))
        match arguments[:2]:
            case ("logs", _):
                return self.found
            case ("get", "pod"):
                self.lasts -= 1
                return "first" if self.lasts > 0 else "second"
        return ""

    async def pods_of(self, service: str) -> list[dict[str, Any]]:
        metadata = {"name": f"{service}-0", "uid": "7c1f-05"}
        status = {"containerStatuses": [{"containerID": "first"}]}
        return [{"metadata": metadata, "spec": {"nodeName": "node1"}, "status": status}]


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


async def test_restarted_workloads_are_waited_for_one_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    commands: list[str] = []

    async def kubectl(*arguments: str) -> str:
        commands.append(" ".join(arguments))
        if arguments[1] == "status" and arguments[2] == "statefulset/valkey":
            raise CommandFailed("timed out waiting for the condition")
        return ""

    monkeypatch.setattr(cluster_trial, "kubectl", kubectl)
    with pytest.raises(CommandFailed, match="timed out"):
        await restart("nats", "valkey", "postgres")
    assert commands == [
        "rollout restart statefulset/nats",
        "rollout status statefulset/nats --timeout=600s",
        "rollout restart statefulset/valkey",
        "rollout status statefulset/valkey --timeout=600s",
    ]


async def test_what_was_away_gets_its_number_of_pods_back(monkeypatch: pytest.MonkeyPatch) -> None:
    commands: list[str] = []

    async def kubectl(*arguments: str) -> str:
        commands.append(" ".join(arguments))
        return "3" if arguments[0] == "get" else ""

    monkeypatch.setattr(cluster_trial, "kubectl", kubectl)

    async def interrupted() -> None:
        async with away("statefulset/nats"):
            assert commands[-1] == "scale statefulset/nats --replicas=0"
            raise TimeoutError

    with pytest.raises(TimeoutError):
        await interrupted()
    assert commands[-1] == "scale statefulset/nats --replicas=3"
    async with away("statefulset/nats"):
        commands.clear()
    assert [one.split()[0] for one in commands] == ["scale", "rollout"]


@pytest.fixture
def bare_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    """No node can be drained, and no volume filled."""

    async def nothing() -> None:
        return None

    async def no_volume() -> list[str]:
        return []

    monkeypatch.setattr(cluster_trial, "node_to_drain", nothing)
    monkeypatch.setattr(cluster_trial, "small_volumes", no_volume)


@pytest.mark.usefixtures("bare_cluster")
async def test_each_server_is_restarted_after_all_services(monkeypatch: pytest.MonkeyPatch) -> None:
    """In one step each; users are excused from service for the database alone."""
    restarted: list[str] = []

    async def kubectl(*arguments: str) -> str:
        if arguments[:2] == ("rollout", "restart"):
            restarted.append(arguments[2])
        return ""

    monkeypatch.setattr(cluster_trial, "kubectl", kubectl)
    found = [step async for step in steps("", None) if step.kind == "restart" and "scale" not in step.name]
    for step in found:
        await step.act()
    assert [step.name for step in found] == ["restart", "restart nats", "restart valkey", "restart postgres"]
    assert restarted == list(cluster_trial.WORKLOADS.values())
    assert [step.outage for step in found] == ["", "", "", "postgres"]


@pytest.mark.usefixtures("bare_cluster")
async def test_parts_are_away_only_where_alerts_are_followed() -> None:
    without = {step.name async for step in steps("", None)}
    added = {step.name async for step in steps("", Alarms("http://unused"))} - without
    assert added == {f"away {name}" for name in cluster_trial.WORKLOADS}
    assert {f"kill {name}" for name in cluster_trial.WORKLOADS} <= without


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> FrozenCluster:
    cluster = FrozenCluster()
    monkeypatch.setattr(cluster_trial, "kubectl", cluster.kubectl)
    monkeypatch.setattr(cluster_trial, "pods_of", cluster.pods_of)
    monkeypatch.setattr(cluster_trial, "PAUSE_SECONDS", 0.0)
    return cluster


async def test_a_pod_is_frozen_for_some_time(cluster: FrozenCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster_trial, "FAULT_SECONDS", 0.02)
    await freeze("edge", None)
    deleted = [one for one in cluster.commands if one.startswith("delete")]
    apart = "--namespace=dragoman-freezers"
    assert deleted == [f"delete pod freezer {apart} --ignore-not-found", "delete namespace dragoman-freezers"]
    assert cluster.commands[-1] == "wait --for=condition=Ready pod/edge-0 --timeout=600s"


async def test_a_freeze_is_over_once_the_container_is_replaced(
    cluster: FrozenCluster, capsys: pytest.CaptureFixture[str]
) -> None:
    cluster.lasts = 3
    async with asyncio.timeout(10):
        await freeze("edge", None)
    assert "edge-0: replaced 0 s after it was frozen" in capsys.readouterr().out


async def test_a_pod_that_the_node_does_not_show_is_not_frozen(cluster: FrozenCluster) -> None:
    cluster.found = "0 processes frozen"
    with pytest.raises(CommandFailed, match="no process of the pod edge-0"):
        await freeze("edge", None)
    assert cluster.commands[-1] == "delete namespace dragoman-freezers"


async def test_only_a_freezer_is_privileged_and_on_the_node_of_its_pod(cluster: FrozenCluster) -> None:
    (pod,) = await cluster.pods_of("edge")
    spec = freezer(pod, "dragoman:1")
    (container,) = spec["containers"]
    assert (spec["nodeName"], spec["hostPID"], container["securityContext"]["privileged"]) == ("node1", True, True)
    assert container["command"][-2:] == ["7c1f-05", "600.0"]


def process_state(process: subprocess.Popen[bytes]) -> str:
    return Path(f"/proc/{process.pid}/stat").read_text().rpartition(") ")[2][0]


def test_a_freezer_stops_the_processes_of_one_pod_until_it_ends(tmp_path: Path) -> None:
    inside, outside, gone = [subprocess.Popen(["/bin/sleep", "60"]) for _ in range(3)]
    gone.kill()
    gone.wait()
    groups = {inside: "podab_c1", outside: "podab_c2", gone: "podab_c1"}
    for process, group in groups.items():
        (tmp_path / str(process.pid)).mkdir()
        (tmp_path / str(process.pid) / "cgroup").write_text(f"0::/kubepods.slice/kubepods-{group}.slice/0a\n")
    command = [sys.executable, "-c", FREEZE, str(tmp_path), "ab-c1", "60"]
    freezing = subprocess.Popen(command, stdout=subprocess.PIPE)
    try:
        assert freezing.stdout is not None
        assert freezing.stdout.readline() == b"1 processes frozen\n"
        block_until(lambda: process_state(inside) == "T")
        assert process_state(outside) == "S"
        freezing.send_signal(signal.SIGTERM)
        freezing.communicate()
        block_until(lambda: process_state(inside) == "S")
    finally:
        for process in (inside, outside, freezing):
            process.kill()
            process.wait()


@pytest.fixture
def filled(monkeypatch: pytest.MonkeyPatch) -> FilledCluster:
    cluster = FilledCluster()
    monkeypatch.setattr(cluster_trial, "kubectl", cluster.kubectl)
    monkeypatch.setattr(cluster_trial, "objects", cluster.objects)
    monkeypatch.setattr(cluster_trial, "PAUSE_SECONDS", 0.0)
    monkeypatch.setattr(disturbed_trial, "PAUSE_SECONDS", 0.0)
    return cluster


async def test_a_volume_is_full_until_its_filler_is_gone(filled: FilledCluster) -> None:
    async def interrupted() -> None:
        async with full("postgres"):
            assert filled.commands[-1].startswith("logs fill-postgres-0")
            raise TimeoutError

    with pytest.raises(TimeoutError):
        await interrupted()
    assert filled.commands[-1] == "delete pods fill-postgres-0 --ignore-not-found"
    async with full("postgres"):
        filled.commands.clear()
    assert [one.split()[0] for one in filled.commands] == ["delete", *["rollout"] * 5]


async def test_the_log_of_a_full_database_is_used_up(filled: FilledCluster) -> None:
    filled.log_files = 3
    async with full("postgres", log=True):
        assert [one.split()[0] for one in filled.commands] == ["exec", "run", "wait", "logs", *["exec"] * 3]
    assert filled.log_files == 0


async def test_a_log_that_no_session_can_use_up_is_one_sentence(
    filled: FilledCluster, capsys: pytest.CaptureFixture[str]
) -> None:
    filled.log_files, filled.failure = 1, "FATAL:  could not write init file"
    async with full("postgres", log=True):
        assert "the log of PostgreSQL has room left" in capsys.readouterr().out


def test_a_filler_may_run_where_its_server_does() -> None:
    """It runs on the server's node, as its user, restricted as it is, and has its volume alone."""
    server = StatefulPod("postgres").shown
    spec = filler(server)
    (container,) = spec["containers"]
    assert (spec["nodeName"], spec["securityContext"]) == ("node1", {"runAsUser": 70})
    assert (container["image"], container["securityContext"]) == ("postgres:17", {"readOnlyRootFilesystem": True})
    assert [one["name"] for one in (*spec["volumes"], *container["volumeMounts"])] == ["data", "data"]
    assert container["workingDir"] == "/data"


@pytest.mark.parametrize(("free_mib", "tried"), [(400, ["postgres", "nats"]), (9000, [])])
async def test_only_small_volumes_are_filled(
    free_mib: int, tried: list[str], filled: FilledCluster, capsys: pytest.CaptureFixture[str]
) -> None:
    filled.free_mib = free_mib
    assert await small_volumes() == tried
    printed = capsys.readouterr().out
    assert ("not tried: fill nats (its volume has 9000 MiB free" in printed) == (not tried)


def test_a_filler_leaves_no_room_and_no_file(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 2) as disk:
        process = subprocess.Popen(["/bin/sh", "-c", FILL], cwd=disk.path, stdout=subprocess.PIPE)
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"full\n"
            assert (os.statvfs(disk.path).f_bavail, os.listdir(disk.path)) == (0, [])
        finally:
            process.terminate()
            process.communicate()
        block_until(lambda: os.statvfs(disk.path).f_bavail > 0)


@pytest.mark.parametrize(
    ("named", "edges", "proxied"),
    [({}, "ws://10.0.0.9:8080", False), ({"DRAGOMAN_EDGES": "wss://chat.example"}, "wss://chat.example", True)],
)
async def test_the_checker_knows_whether_users_chat_through_a_proxy(
    named: dict[str, str], edges: str, proxied: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[tuple[object, object]] = []

    async def address(_: str, port: int) -> str:
        return f"10.0.0.9:{port}"

    async def trial(url: str, *_: object, proxied: bool) -> int:
        tried.append((url, proxied))
        return 0

    monkeypatch.setattr(cluster_trial, "address", address)
    monkeypatch.setattr(cluster_trial, "trial", trial)
    monkeypatch.delenv("DRAGOMAN_EDGES", raising=False)
    for name, value in named.items():
        monkeypatch.setenv(name, value)
    settings = tmp_path / "dragoman.toml"
    settings.write_text('[nats]\nuser = "admin"\n')
    assert await cluster_trial.main(settings, "", []) == 0
    assert tried == [(edges, proxied)]


async def test_commands_of_one_s_own_take_the_place_of_the_steps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[str] = []

    async def address(_: str, port: int) -> str:
        return f"10.0.0.9:{port}"

    async def trial(
        _: str, __: object, planned: AsyncIterator[Disturbance], only: list[str], *_rest: object, **_options: object
    ) -> int:
        assert not only
        async for step in planned:
            await step.act()
            taken.append(step.name)
        return 0

    monkeypatch.setattr(cluster_trial, "address", address)
    monkeypatch.setattr(cluster_trial, "trial", trial)
    settings, written = tmp_path / "dragoman.toml", tmp_path / "written"
    settings.write_text('[nats]\nuser = "admin"\n')
    await cluster_trial.main(settings, "", [f"first=echo a=b >> {written}", f"second=echo c >> {written}"])
    assert (taken, written.read_text()) == (["first", "second"], "a=b\nc\n")


def test_secrets_are_issued_only_for_a_namespace_that_is_there(tmp_path: Path) -> None:
    kubectl = tmp_path / "kubectl"
    kubectl.write_text('#!/bin/sh\necho "namespaces not found" >&2\nexit 1\n')
    kubectl.chmod(0o755)
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    command: list[str | Path] = [K8S / "secrets.sh", "chat", tmp_path / "secrets"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, "nothing was issued: is there a namespace chat?" in done.stderr) == (1, True)
    assert not (tmp_path / "secrets").exists()
