"""The drill of `deploy/k8s/end_to_end.sh`. Users chat through the Service of the edges while kubectl disturbs the pods.

Usage: `python -m tests.deploy.cluster_drill ADMIN_SETTINGS [TAG [STEP …]]`. A STEP is the name of a step, or
NAME=COMMAND, which replaces the steps by your own commands. The exit status is 0 if the drill has passed, 1 if it has
failed, and 2 if it is inconclusive.

DRAGOMAN_PROMETHEUS may name a Prometheus that reads the metrics of the pods. Then the table names the alerts. Each part
is also stopped until an alert fires, and a freeze or a full disk lasts until an alert fires.

DRAGOMAN_EDGES may name a proxy (Ingress or Gateway), which the edges must trust. Users then chat through this proxy.
"""

import asyncio
import json
import os
import socket
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import click

from local.options import load
from shared.settings.servers import LogSettings
from shared.telemetry import configure_logging
from tests.deploy.alarms import Alarms, named_alarms
from tests.deploy.disturbed_drill import (
    ALARM_SECONDS,
    CALM_SECONDS,
    CUT_OFF,
    EDGE,
    FAULT_SECONDS,
    PAUSE_SECONDS,
    SEARCH,
    STEP_SECONDS,
    CommandFailed,
    Disturbance,
    lasting,
    next_log_file,
    run,
    run_drill,
    until_first,
    until_quiet,
    use_up_log,
)
from tests.drills.archive import read_history

UPGRADE = "deploy/k8s/upgrade.sh"
VALUES = ["deploy/k8s/dev.yaml", "deploy/k8s/test.yaml", *filter(None, [os.environ.get("DRAGOMAN_VALUES")])]
SERVICES = ("message", "session", "auth", "edge")
STATEFUL = ("nats", "valkey", "postgres", SEARCH)
WORKLOADS = {one: f"deployment/{one}" for one in SERVICES} | {one: f"statefulset/{one}" for one in STATEFUL}
ENDED = {"postgres": "postgres"}
"""The outage (see Disturbance) while one pod of a workload restarts.

Users are served while a pod of any other workload restarts.
"""
FROZEN = {"postgres": "postgres", "nats": CUT_OFF, EDGE: f"{EDGE}~clients"}
"""The outage while one pod of a workload is frozen, in the form of ENDED."""
FILLED = {"postgres": "postgres", "nats": "", SEARCH: ""}
"""The StatefulSets that store data on volumes, each with the outage (see Disturbance) while these volumes are full."""
LARGEST_ROOM_MIB = 2048
"""If a volume has more free space than this, the drill does not fill it, because it may be the disk of the node."""
FILL = """
trap 'exit 0' TERM
exec 3> ballast && rm ballast || exit 1
while :; do
    dd if=/dev/zero bs=4096 >&3 2> /dev/null
    echo full
    sleep 0.5
done
"""
"""A shell program that fills a volume, and fills it again when the server frees some space.

The program deletes the file's name after opening the file. So the space is free again as soon as the program ends for
any reason.
"""
FREEZERS = "dragoman-freezers"
"""The namespace of the pods that freeze others. The namespace of the installation rejects such privileged pods."""
FREEZE = """
import os, pathlib, signal, sys, time
directory, uid, seconds = sys.argv[1:]
signal.signal(signal.SIGTERM, lambda *_: sys.exit())
frozen = []
try:
    for file in pathlib.Path(directory).glob("[0-9]*/cgroup"):
        try:
            if uid in file.read_text().replace("_", "-"):
                descriptor = os.pidfd_open(int(file.parent.name))
                signal.pidfd_send_signal(descriptor, signal.SIGSTOP)
                frozen.append(descriptor)
        except (FileNotFoundError, ProcessLookupError):
            pass
    print(len(frozen), "processes frozen", flush=True)
    time.sleep(float(seconds))
finally:
    for descriptor in frozen:
        try:
            signal.pidfd_send_signal(descriptor, signal.SIGCONT)
        except ProcessLookupError:
            pass
"""
"""A program that stops all processes of a pod until the program itself ends. It finds them by the UID of the pod in the
names of their control groups.

It keeps process descriptors, because the number of an ended process may be given to another process. The control-group
driver systemd writes `_` in place of `-`.
"""
BOUND_SECONDS = 10.0
"""The longest time in which users may be without service."""


async def kubectl(*arguments: str) -> str:
    return await run("kubectl", "--namespace", "dragoman", *arguments)


async def objects(kind: str, *options: str) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = json.loads(await kubectl("get", kind, "--output", "json", *options))["items"]
    return items


async def rolled_out(*names: str) -> None:
    """Waits until these workloads are rolled out. Raises CommandFailed."""
    for name in names:
        await kubectl("rollout", "status", WORKLOADS[name], f"--timeout={STEP_SECONDS:.0f}s")


async def restart(*names: str) -> None:
    """Restarts all pods of these workloads, one workload after the other. Raises CommandFailed."""
    for name in names:
        await kubectl("rollout", "restart", WORKLOADS[name])
        await rolled_out(name)


async def kill(name: str) -> None:
    """Ends one pod of WORKLOADS within a second.

    It is not deleted by force, because then two servers would use one volume until the end of the first.
    """
    pods = await kubectl("get", "pods", "--selector", f"app.kubernetes.io/name={name}", "--output", "name")
    await kubectl("delete", pods.split()[0], "--grace-period=1")
    await asyncio.sleep(CALM_SECONDS)
    await rolled_out(name)


async def lose_index() -> None:
    """Deletes the search index of one pod, and ends the pod. Raises CommandFailed."""
    pod = (await pods_of(SEARCH))[0]["metadata"]["name"]
    await kubectl("exec", pod, "--", "rm", "-r", "/data/search/index")
    await kill(SEARCH)


async def node_to_drain() -> str | None:
    """Returns a node with an edge but without the database, because the database's volume may be bound to its node.

    Returns None if there is no such node, or only one node.
    """
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
    await rolled_out(*SERVICES, "nats")


async def scale(replicas: int) -> None:
    for service in ("message", "edge"):
        await kubectl("scale", f"deployment/{service}", f"--replicas={replicas}")
    await rolled_out("message", "edge")
    await asyncio.sleep(CALM_SECONDS)


@asynccontextmanager
async def away(workload: str) -> AsyncIterator[None]:
    """All pods of a Deployment or StatefulSet (kind/name) are stopped inside this context."""
    replicas = await kubectl("get", workload, "--output", "jsonpath={.spec.replicas}")
    await kubectl("scale", workload, "--replicas=0")
    try:
        yield
    finally:
        await kubectl("scale", workload, f"--replicas={replicas}")
    await kubectl("rollout", "status", workload, f"--timeout={STEP_SECONDS:.0f}s")


def filler(pod: dict[str, Any]) -> dict[str, Any]:
    """Returns the spec of a pod that fills the volume of a server's pod until it ends. The new pod has the same image,
    user and volume.

    The new pod holds the file. If the server's pod held it, the file would be lost when the server ended for lack of
    space.
    """
    spec = pod["spec"]
    (server,), (volume,) = spec["containers"], [one for one in spec["volumes"] if "persistentVolumeClaim" in one]
    (mount,) = [one for one in server["volumeMounts"] if one["name"] == volume["name"]]
    container = {one: server[one] for one in ("image", "imagePullPolicy", "securityContext")}
    container |= {"name": "filler", "command": ["sh", "-c", FILL], "workingDir": mount["mountPath"]}
    return {
        "nodeName": spec["nodeName"],
        "automountServiceAccountToken": False,
        "securityContext": spec["securityContext"],
        "containers": [container | {"volumeMounts": [mount]}],
        "volumes": [volume],
    }


async def pods_of(service: str) -> list[dict[str, Any]]:
    return await objects("pods", "--selector", f"app.kubernetes.io/name={service}")


async def room_mib(service: str) -> int:
    """Returns the free space of a StatefulSet's volumes, in MiB: that of the volume with the most.

    Raises CommandFailed.
    """
    found = []
    for pod in await pods_of(service):
        (container,) = filler(pod)["containers"]
        shown = await kubectl("exec", pod["metadata"]["name"], "--", "df", "-P", "-k", container["workingDir"])
        found.append(int(shown.splitlines()[-1].split()[3]) // 1024)
    return max(found)


async def fill(pod: dict[str, Any], name: str) -> None:
    """Starts a pod with this name that fills the volume of `pod`. Raises CommandFailed, TimeoutError."""
    spec = filler(pod)
    overrides = json.dumps({"apiVersion": "v1", "spec": spec})
    await kubectl("run", name, f"--image={spec['containers'][0]['image']}", "--restart=Never",
                  "--labels=app.kubernetes.io/name=filler", f"--overrides={overrides}")  # fmt: skip
    await kubectl("wait", "--for=condition=Ready", f"pod/{name}", "--timeout=60s")
    async with asyncio.timeout(STEP_SECONDS):
        while "full" not in await kubectl("logs", name):
            await asyncio.sleep(PAUSE_SECONDS)


@asynccontextmanager
async def full(service: str, *, log: bool = False) -> AsyncIterator[None]:
    """All volumes of a StatefulSet are full inside this context. At its end, waits until all services are ready again.

    `log`: see use_up_log. Raises CommandFailed, TimeoutError.
    """
    pods = {f"fill-{pod['metadata']['name']}": pod for pod in await pods_of(service)}
    execute = partial(kubectl, "exec", f"statefulset/{service}", "--")
    try:
        if log:
            await next_log_file(execute)
        for name, pod in pods.items():
            await fill(pod, name)
        if log:
            await use_up_log(execute)
        yield
    finally:
        await kubectl("delete", "pods", *pods, "--ignore-not-found")
    await rolled_out(service, *SERVICES)


def freezer(pod: dict[str, Any], image: str) -> dict[str, Any]:
    """Returns the spec of a pod that freezes this pod. `image` is an image with Python that is on the node."""
    return {
        "nodeName": pod["spec"]["nodeName"],
        "hostPID": True,
        "automountServiceAccountToken": False,
        "tolerations": [{"operator": "Exists"}],
        "containers": [
            {
                "name": "freezer",
                "image": image,
                "imagePullPolicy": "IfNotPresent",
                "command": ["python3", "-c", FREEZE, "/proc", pod["metadata"]["uid"], str(STEP_SECONDS)],
                "securityContext": {"privileged": True, "runAsUser": 0},
            }
        ],
    }


@asynccontextmanager
async def frozen(pod: dict[str, Any]) -> AsyncIterator[None]:
    """All processes of a pod are frozen inside this context.

    Processes that start meanwhile are not frozen. Raises CommandFailed, TimeoutError.
    """
    apart = f"--namespace={FREEZERS}"
    image = await kubectl("get", WORKLOADS["auth"], "--output", "jsonpath={.spec.template.spec.containers[0].image}")
    overrides = json.dumps({"apiVersion": "v1", "spec": freezer(pod, image)})
    await kubectl("create", "namespace", FREEZERS)
    try:
        await kubectl("label", "namespace", FREEZERS, "pod-security.kubernetes.io/enforce=privileged")
        await kubectl("run", "freezer", apart, f"--image={image}", "--restart=Never", f"--overrides={overrides}")
        await kubectl("wait", "--for=condition=Ready", "pod/freezer", apart, "--timeout=60s")
        async with asyncio.timeout(STEP_SECONDS):
            while not (shown := await kubectl("logs", "freezer", apart)):
                await asyncio.sleep(PAUSE_SECONDS)
        if shown.startswith("0 "):
            raise CommandFailed(f"the node shows no process of the pod {pod['metadata']['name']}")
        yield
    finally:
        await kubectl("delete", "pod", "freezer", apart, "--ignore-not-found")
        await kubectl("delete", "namespace", FREEZERS)


async def until_replaced(pod: dict[str, Any]) -> None:
    """Waits until the pod has a new container. Raises CommandFailed."""
    began, (before,) = time.monotonic(), pod["status"]["containerStatuses"]
    running = before["containerID"]
    while running == before["containerID"]:
        await asyncio.sleep(PAUSE_SECONDS)
        path = "jsonpath={.status.containerStatuses[0].containerID}"
        running = await kubectl("get", "pod", pod["metadata"]["name"], "--output", path)
    click.echo(f"{pod['metadata']['name']}: replaced {time.monotonic() - began:.0f} s after it was frozen")


async def freeze(name: str, alarms: Alarms | None) -> None:
    """Freezes one pod of WORKLOADS until an alert fires, or until its liveness probe makes the cluster replace it.
    Without alerts, the freeze lasts FAULT_SECONDS.

    Afterwards, waits until the pod is ready and no alert fires. Raises CommandFailed, TimeoutError.
    """
    pod = (await pods_of(name))[0]
    async with frozen(pod):
        await until_first(
            until_replaced(pod),
            alarms.raised(time.monotonic(), ALARM_SECONDS) if alarms else asyncio.sleep(FAULT_SECONDS),
        )
    await kubectl("wait", "--for=condition=Ready", f"pod/{pod['metadata']['name']}", f"--timeout={STEP_SECONDS:.0f}s")
    if alarms:
        await until_quiet(alarms)


async def small_volumes() -> list[str]:
    """Returns the StatefulSets of FILLED whose volumes the drill can fill without harm to other programs.

    Raises CommandFailed.
    """
    rooms = {service: await room_mib(service) for service in FILLED}
    for service, room in rooms.items():
        if room > LARGEST_ROOM_MIB:
            click.echo(f"not tried: fill {service} (its volume has {room} MiB free, which may be those of its node)")
    return [service for service, room in rooms.items() if room <= LARGEST_ROOM_MIB]


async def upgrade(tag: str) -> None:
    options = [f"--values={one}" for one in VALUES] + ([f"--set=image.tag={tag}"] if tag else [])
    await run(UPGRADE, "dragoman", "dragoman", *options)


async def go_back() -> None:
    await run(UPGRADE, "--back", "dragoman", "dragoman")


async def steps(tag: str, alarms: Alarms | None) -> AsyncIterator[Disturbance]:
    filled = await small_volumes()
    yield Disturbance("restart", "restart", "restart", partial(restart, *SERVICES))
    for name in STATEFUL:
        yield Disturbance(f"restart {name}", name, "restart", partial(restart, name), ENDED.get(name, ""))
    for name in WORKLOADS:
        yield Disturbance(f"kill {name}", name, "kill", partial(kill, name), ENDED.get(name, ""))
    for name in WORKLOADS:
        outage = FROZEN.get(name, "")
        yield Disturbance(f"freeze {name}", name, "stop", partial(freeze, name, alarms), outage)
    yield Disturbance("lose index", SEARCH, "kill", lose_index)
    node = await node_to_drain()
    if node is None:
        click.echo("not tried: drain (there is no second node to move to)")
    else:
        yield Disturbance("drain", "drain", "restart", partial(drain, node))
    yield Disturbance("scale up", "scale up", "restart", partial(scale, 3))
    yield Disturbance("scale down", "scale down", "restart", partial(scale, 2))
    if alarms:
        for name, workload in WORKLOADS.items():
            act = partial(lasting, partial(away, workload), alarms)
            yield Disturbance(f"away {name}", name, "end", act, "" if name == SEARCH else name)
    for service in filled:
        if service == "postgres":
            tables = partial(lasting, partial(full, service), alarms)
            yield Disturbance("fill postgres tables", service, "stop", tables, FILLED[service])
        act = partial(lasting, partial(full, service, log=service == "postgres"), alarms)
        yield Disturbance(f"fill {service}", service, "stop", act, FILLED[service])
    if tag:
        yield Disturbance("upgrade", "upgrade", "restart", partial(upgrade, tag))
        yield Disturbance("back", "back", "restart", go_back)
    else:
        click.echo("not tried: upgrade and back (there is no second tag of the image)")


async def shell(command: str) -> None:
    await run("sh", "-c", command)


async def own_steps(commands: list[str]) -> AsyncIterator[Disturbance]:
    """Yields a step for each NAME=COMMAND. A shell runs the command."""
    for one in commands:
        name, _, command = one.partition("=")
        yield Disturbance(name, name, "restart", partial(shell, command))


async def address(service: str, port: int) -> str:
    """Returns the address of a Service, as host:port, that this machine can reach. Raises CommandFailed."""
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


async def main(settings_file: Path, tag: str, named: list[str]) -> int:
    """Runs the drill. `named` are names of steps, or NAME=COMMAND for own commands. If it is empty, all steps run."""
    configure_logging(LogSettings(level="error", json_lines=False), "drill")
    admin = load(settings_file, {})[0].nats
    url = f"nats://{await address('test-nats', 4222)}"
    operator = admin.model_copy(update={"url": url, "tls_name": "nats"})
    proxy = os.environ.get("DRAGOMAN_EDGES")
    edges = proxy or f"ws://{await address('test-edge', 8080)}"
    history, alarms = partial(read_history, operator), named_alarms()
    own = [one for one in named if "=" in one]
    planned, only = (own_steps(own), []) if own else (steps(tag, alarms), named)
    return await run_drill(edges, history, planned, only, BOUND_SECONDS, alarms, proxied=bool(proxy))


if __name__ == "__main__":
    try:
        sys.exit(asyncio.run(main(Path(sys.argv[1]), "".join(sys.argv[2:3]), sys.argv[3:])))
    except CommandFailed as error:
        sys.exit(f"end_to_end.sh: {error}")
