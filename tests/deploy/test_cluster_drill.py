"""Tests end_to_end.sh without a cluster, and the table of its steps."""

import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from tests.deploy import cluster_drill
from tests.deploy.cluster_drill import FILL, FREEZE, node_to_drain
from tests.deploy.disturbed_drill import SEARCH, Disturbance, DisturbedStep, by_step, unhindered
from tests.deploy.manifests import K8S
from tests.deploy.watched_search import SearchSeen
from tests.drills.record_index import RecordIndex
from tests.drills.sample_records import SampleRecords
from tests.support.small_disk import small_disk
from tests.support.waiting import block_until

CHAT = 7


def test_a_missing_cluster_is_one_sentence(tmp_path: Path) -> None:
    kubectl = tmp_path / "kubectl"
    kubectl.write_text('#!/bin/sh\necho applied >> $0.log\n[ "$1" != get ]\n')
    kubectl.chmod(0o755)
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run([K8S / "end_to_end.sh"], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == (
        "end_to_end.sh: kubectl reaches no cluster; start one (kind create cluster, minikube start, k3s server)\n"
    )
    assert (tmp_path / "kubectl.log").read_text().count("applied") == 1


def test_page_commands_do_not_use_a_port_of_another_program(tmp_path: Path) -> None:
    (tmp_path / "kubectl").write_text("#!/bin/sh\necho 'Forwarding from [::1]:9000 -> 9000'\n")
    for name in ("sleep", "curl"):
        (tmp_path / name).write_text("#!/bin/sh\n")
    for file in tmp_path.iterdir():
        file.chmod(0o755)
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    command = [K8S / "page_commands.sh", tmp_path]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.stderr.endswith("9000: Forwarding from [::1]:9000 -> 9000\n")


@pytest.mark.parametrize("end", [lambda: cluster_drill.kill("postgres"), cluster_drill.lose_index])
async def test_a_killed_server_has_ended_before_its_replacement_starts(
    end: Callable[[], Awaitable[None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    commands = []

    async def kubectl(*arguments: str) -> str:
        commands.append(arguments)
        return '{"items": [{"metadata": {"name": "search-0"}}]}' if "json" in arguments else "pod/one"

    monkeypatch.setattr(cluster_drill, "kubectl", kubectl)
    monkeypatch.setattr(cluster_drill, "CALM_SECONDS", 0)
    await end()
    assert [one for one in commands if one[0] == "delete"] == [("delete", "pod/one", "--grace-period=1")]


def test_waits_and_unanswered_messages_are_counted_by_step() -> None:
    sample = SampleRecords({CHAT: frozenset({1, 2})}, {"1/a": "edge-1", "2/a": "edge-2"})
    first = sample.advance()
    sample.send("1/a", CHAT)
    second = sample.advance()
    text = sample.send_unanswered("2/a", CHAT)
    sample.advance(3)
    sample.acknowledge("2/a", text, CHAT)
    sample.send_unanswered("1/a", CHAT)
    end = sample.advance()
    steps = [
        DisturbedStep("restart", SEARCH, first, second, "", SearchSeen()),
        DisturbedStep("drain", SEARCH, second, end, "", SearchSeen()),
    ]
    record_index = RecordIndex(sample.recorded)
    *_, restarted, drained = by_step(steps, record_index).splitlines()
    assert restarted.startswith("| restart | 0 | 0.0 | 0 of 1 | 0 | 0 |")
    assert drained.startswith("| drain | 3 | 3.")
    assert "| 1 of 2 | 0 | 0 |" in drained
    (hindered,) = unhindered(record_index, steps)
    assert hindered.startswith("drain: a user waited 3.")


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

    monkeypatch.setattr(cluster_drill, "objects", objects)
    assert await node_to_drain() == node


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


async def test_commands_of_one_s_own_take_the_place_of_the_steps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[str] = []

    async def address(_: str, port: int) -> str:
        return f"10.0.0.9:{port}"

    async def run_drill(
        _: str, __: object, planned: AsyncIterator[Disturbance], only: list[str], *_rest: object, **_options: object
    ) -> int:
        assert not only
        async for step in planned:
            await step.act()
            taken.append(step.name)
        return 0

    monkeypatch.setattr(cluster_drill, "address", address)
    monkeypatch.setattr(cluster_drill, "run_drill", run_drill)
    settings, written = tmp_path / "dragoman.toml", tmp_path / "written"
    settings.write_text('[nats]\nuser = "admin"\n')
    await cluster_drill.main(settings, "", [f"first=echo a=b >> {written}", f"second=echo c >> {written}"])
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
