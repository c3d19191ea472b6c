"""The drill of `deploy/k8s/trial.sh`: users chat through the Service of the edges while kubectl disturbs the pods.

`python -m tests.deploy.cluster_trial ADMIN_SETTINGS [TAG [STEP …]]`. Exit status 0: proven, 1: violated,
2: inconclusive.
"""

import asyncio
import json
import socket
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import click
import msgspec

from shared.settings import LogSettings
from shared.settings_loader import load
from shared.telemetry import configure_logging
from tests.drills import rolling
from tests.drills.archive import read_history
from tests.drills.checker import check, excusable, repetitions
from tests.drills.drill import Drill
from tests.drills.evidence import RequiredEvidence
from tests.drills.indexed_trial import IndexedTrial
from tests.drills.records import Fault
from tests.drills.report import summary, table

ROOT = Path(__file__).parents[2]
UPGRADE = ("deploy/k8s/upgrade.sh",)
OVERLAY = "deploy/k8s/overlays/trial"
SERVICES = ("message", "session", "auth", "edge")
EDGE = "edge"
RATE = 20.0
"""Messages per second of all users."""
BOUND_SECONDS = 10.0
"""The longest time without service."""
PATIENCE_SECONDS = 40.0
CALM_SECONDS = 5.0
STEP_SECONDS = 600.0


class CommandFailed(Exception):
    pass


class TrialStep(NamedTuple):
    name: str
    began: float
    ended: float
    failed: str


async def run(*command: str) -> str:
    """Standard output. Raises CommandFailed."""
    process = await asyncio.create_subprocess_exec(
        *command, cwd=ROOT, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(STEP_SECONDS):
        out, error = await process.communicate()
    if process.returncode:
        raise CommandFailed(f"{' '.join(command)}: {error.decode().strip()}")
    return out.decode()


async def kubectl(*arguments: str) -> str:
    return await run("kubectl", "--namespace", "dragoman", *arguments)


async def objects(kind: str, *options: str) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = json.loads(await kubectl("get", kind, "--output", "json", *options))["items"]
    return items


async def rolled_out(*services: str) -> None:
    for service in services:
        await kubectl("rollout", "status", f"deployment/{service}", f"--timeout={STEP_SECONDS:.0f}s")


async def restart() -> None:
    for service in SERVICES:
        await kubectl("rollout", "restart", f"deployment/{service}")
        await rolled_out(service)


async def kill(service: str) -> None:
    """End one pod without grace, as a power cut does."""
    pods = await kubectl("get", "pods", "--selector", f"app.kubernetes.io/name={service}", "--output", "name")
    await kubectl("delete", pods.split()[0], "--grace-period=0", "--force")
    await asyncio.sleep(CALM_SECONDS)
    await rolled_out(service)


async def node_to_drain() -> str | None:
    """A node of an edge, but not of the database, whose volume may not follow it. None if there is no other node."""
    nodes: dict[str, set[str]] = {}
    for pod in await objects("pods"):
        nodes.setdefault(pod["spec"].get("nodeName", ""), set()).add(
            pod["metadata"]["labels"]["app.kubernetes.io/name"]
        )
    found = [node for node, names in nodes.items() if "edge" in names and "postgres" not in names]
    return found[0] if len(nodes) > 1 and found else None


async def drain(node: str) -> None:
    try:
        await kubectl("drain", node, "--ignore-daemonsets", "--delete-emptydir-data",
                      f"--timeout={STEP_SECONDS:.0f}s")  # fmt: skip
    finally:
        await kubectl("uncordon", node)
    await rolled_out(*SERVICES)
    await kubectl("rollout", "status", "statefulset/nats", f"--timeout={STEP_SECONDS:.0f}s")


async def scale(replicas: int) -> None:
    for service in ("message", "edge"):
        await kubectl("scale", f"deployment/{service}", f"--replicas={replicas}")
    await rolled_out("message", "edge")
    await asyncio.sleep(CALM_SECONDS)


async def upgrade(tag: str) -> None:
    await run(*UPGRADE, OVERLAY, *([tag] if tag else []))


async def go_back() -> None:
    await run(*UPGRADE, "--back", OVERLAY)


async def steps(tag: str) -> AsyncIterator[tuple[str, str, Callable[[], Awaitable[None]]]]:
    """Name, kind of fault and act of each step."""
    yield "restart", "restart", restart
    for service in SERVICES:
        yield f"kill {service}", "kill", partial(kill, service)
    node = await node_to_drain()
    if node is None:
        click.echo("not tried: drain (there is no second node to move to)")
    else:
        yield "drain", "restart", partial(drain, node)
    yield "scale up", "restart", partial(scale, 3)
    yield "scale down", "restart", partial(scale, 2)
    if tag:
        yield "upgrade", "restart", partial(upgrade, tag)
        yield "back", "restart", go_back
    else:
        click.echo("not tried: upgrade and back (there is no second tag of the image)")


async def address(service: str, port: int) -> str:
    """host:port of a Service from this machine. Raises CommandFailed."""
    spec = json.loads(await kubectl("get", "service", service, "--output", "json"))["spec"]
    nodes = [one["address"] for node in await objects("nodes") for one in node["status"]["addresses"]]
    node_port = spec["ports"][0]["nodePort"]
    for host, number in [(spec["clusterIP"], port), *((node, node_port) for node in [*nodes, "127.0.0.1"])]:
        try:
            await asyncio.to_thread(lambda one: socket.create_connection(one, 2.0).close(), (host, number))
        except OSError:
            continue
        return f"{host}:{number}"
    raise CommandFailed(f"this machine reaches neither the Service {service} nor port {node_port} of a node")


async def disturb(drill: Drill, tag: str, only: list[str], done: list[TrialStep]) -> None:
    """`only`: names of the steps; empty: all."""
    async for name, kind, act in steps(tag):
        if only and name not in only:
            continue
        drill.phase = name
        began = time.monotonic()
        drill.records.append(Fault(began, EDGE if name == "kill edge" else name, kind))
        try:
            await act()
            failed = ""
        except (CommandFailed, TimeoutError) as error:
            failed = str(error) or "took too long"
        await asyncio.sleep(CALM_SECONDS)
        done.append(TrialStep(name, began, time.monotonic(), failed))
        click.echo(f"{name}: {time.monotonic() - began:.0f} s {failed}")


def by_step(done: list[TrialStep], trial_index: IndexedTrial) -> str:
    """A table for docs/operations.md."""
    lines = ["| step | seconds | longest wait, s | unanswered | lost | twice |", "|---|---|---|---|---|---|"]
    repeated = [again.at for first, again in repetitions(trial_index) if not excusable(trial_index, first, again)]
    for step in done:
        sent = [text for text, one in trial_index.sent.items() if step.began <= one.at < step.ended]
        unanswered = sum(trial_index.state(text) != "acknowledged" for text in sent)
        lost = sum(text in trial_index.acked and text not in trial_index.stored for text in sent)
        twice = sum(step.began <= at < step.ended for at in repeated)
        wait = rolling.longest_wait(trial_index, step.began, step.ended)
        seconds = step.ended - step.began
        lines.append(f"| {step.name} | {seconds:.0f} | {wait:.1f} | {unanswered} of {len(sent)} | {lost} | {twice} |")
    return "\n".join(lines)


async def main(settings_file: Path, tag: str, only: list[str]) -> int:
    configure_logging(LogSettings(level="error", json_lines=False), "trial")
    admin = load(settings_file, {})[0].nats
    url = f"nats://{await address('trial-nats', 4222)}"
    operator = admin.model_copy(update={"url": url, "tls_name": "nats"})
    edges = [(EDGE, f"ws://{await address('trial-edge', 8080)}")]
    done: list[TrialStep] = []
    began = time.monotonic()
    drill = Drill(edges, partial(read_history, operator), RATE, PATIENCE_SECONDS, lambda _: None, stayers=())
    trial = await drill.run(partial(disturb, tag=tag, only=only, done=done))
    required = RequiredEvidence.of((time.monotonic() - began) * RATE / 2, {})
    result = check(trial, required, {"S1 service": partial(rolling.served, bound=BOUND_SECONDS)})
    trial_index = IndexedTrial(trial)
    click.echo(table(summary(trial_index, result) | rolling.figures(trial_index)))
    click.echo(by_step(done, trial_index))
    if result.exit_status:
        records = Path(tempfile.mkdtemp(prefix="dragoman-trial-")) / "trial.json"
        records.write_bytes(msgspec.json.encode(trial))
        click.echo(f"records: {records}")
    return result.exit_status or int(any(step.failed for step in done))


if __name__ == "__main__":
    try:
        sys.exit(asyncio.run(main(Path(sys.argv[1]), "".join(sys.argv[2:3]), sys.argv[3:])))
    except CommandFailed as error:
        sys.exit(f"trial.sh: {error}")
