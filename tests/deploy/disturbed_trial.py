"""The drill of an installation that runs in containers: users chat through its one address while it is disturbed, one
step after the other."""

import asyncio
import signal
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import click
import msgspec

from tests.deploy.alarms import LONG, Alarms
from tests.drills import rolling
from tests.drills.checker import check, excusable, repetitions
from tests.drills.drill import Drill
from tests.drills.evidence import RequiredEvidence
from tests.drills.indexed_trial import IndexedTrial
from tests.drills.records import Entry, Fault, Healed
from tests.drills.report import summary, table

ROOT = Path(__file__).parents[2]
EDGE = "edge"
"""The target of a fault that ends connections of users: they all have the one address."""
CUT_OFF = f"{EDGE}~nats"
"""The outage of edges that have not noticed yet that NATS is away: users wait, and may get messages again."""
RATE = 20.0
"""Messages per second of all users."""
PATIENCE_SECONDS = 40.0
CALM_SECONDS = 5.0
STEP_SECONDS = 600.0
FAULT_SECONDS = 20.0
"""Of a fault that does not last until an alert."""
PAUSE_SECONDS = 0.5
_SESSION_WITHOUT_ROOM = "could not write init file"
ALARM_SECONDS = 240.0
"""An alert that is awaited fires within this time, or not at all."""
QUIET_SECONDS = 480.0
"""So long an alert may fire after the fault: rules look five minutes back, and some wait two more."""


class CommandFailed(Exception):
    pass


class Disturbance(NamedTuple):
    """`target` and `kind`: see Fault. `outage`: the target (see Healed), if users had to be without service until the
    act was over, or CUT_OFF."""

    name: str
    target: str
    kind: str
    act: Callable[[], Awaitable[None]]
    outage: str = ""


class TrialStep(NamedTuple):
    """A step that was taken."""

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


async def disturb(drill: Drill, steps: AsyncIterator[Disturbance], only: list[str], done: list[TrialStep]) -> None:
    """`only`: names of the steps; empty: all."""
    async for step in steps:
        if only and step.name not in only:
            continue
        drill.phase = step.name
        began = time.monotonic()
        drill.records.append(Fault(began, step.target, step.kind))
        try:
            await step.act()
            failed = ""
        except (CommandFailed, TimeoutError) as error:
            failed = str(error) or "took too long"
        if step.outage:
            unserved = frozenset() if step.outage == CUT_OFF else frozenset({EDGE})
            drill.records.append(Healed(time.monotonic(), began, step.outage, unserved))
        await asyncio.sleep(CALM_SECONDS)
        done.append(TrialStep(step.name, began, time.monotonic(), failed))
        click.echo(f"{step.name}: {time.monotonic() - began:.0f} s {failed}")


async def until_interrupted(steps: AsyncIterator[Disturbance]) -> AsyncIterator[Disturbance]:
    """After SIGINT the present step is the last one."""
    interrupted = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGINT, interrupted.set)
    async for step in steps:
        if interrupted.is_set():
            click.echo("interrupted")
            return
        yield step


async def until_alarm(alarms: Alarms, fault: AbstractAsyncContextManager[None], alert: str = "") -> None:
    """A fault that lasts until this alert (empty: any) fires, or ALARM_SECONDS; then, until none fires any more."""
    async with fault:
        await alarms.raised(time.monotonic(), ALARM_SECONDS, alert)
    await until_quiet(alarms)


async def until_quiet(alarms: Alarms) -> None:
    """Until no alert fires any more. Raises CommandFailed."""
    if not await alarms.quiet(QUIET_SECONDS):
        raise CommandFailed(f"still firing {QUIET_SECONDS:.0f} s later: {', '.join(sorted(alarms.log.firing - LONG))}")


async def until_first(*waits: Coroutine[Any, Any, object]) -> None:
    """Until one of these is over; the others are cancelled. Raises its error."""
    tasks = [asyncio.create_task(one) for one in waits]
    over, others = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in others:
        task.cancel()
    for task in over:
        task.result()


async def lasting(
    fault: Callable[[], AbstractAsyncContextManager[None]], alarms: Alarms | None, alert: str = ""
) -> None:
    """A fault that lasts until this alert (empty: any) fires; without alerts, FAULT_SECONDS. Raises CommandFailed."""
    if alarms:
        await until_alarm(alarms, fault(), alert)
        return
    async with fault():
        await asyncio.sleep(FAULT_SECONDS)


async def next_log_file(execute: Callable[..., Awaitable[str]]) -> None:
    """Of PostgreSQL; `execute` runs a command in its container. Before its disk is full, too: the first session since a
    change of its catalog writes a file. Raises CommandFailed."""
    await execute("psql", "--username", "postgres", "--command", "SELECT pg_switch_wal()")


async def use_up_log(execute: Callable[..., Awaitable[str]]) -> None:
    """Of PostgreSQL on a full disk, until it cannot write. It writes into parts of its write-ahead log that it has made
    before: as long as there are any, only its tables lack room."""
    while True:
        try:
            await next_log_file(execute)
        except CommandFailed as error:
            if _SESSION_WITHOUT_ROOM in str(error):
                click.echo("the log of PostgreSQL has room left: it accepts no session that could use it up")
            return
        await asyncio.sleep(PAUSE_SECONDS)


def alerts_of(step: TrialStep, alarms: Alarms) -> str:
    """Each alert that began to fire in a step, and the seconds from the step's beginning."""
    found = alarms.log.between(step.began, step.ended)
    return ", ".join(f"{one.alert} {one.at - step.began:.0f} s" for one in found) or "none"


def by_step(done: list[TrialStep], trial_index: IndexedTrial, alarms: Alarms | None = None) -> str:
    """A table for docs/operations.md."""
    columns = ["step", "seconds", "longest wait besides outages, s", "unanswered", "lost", "twice"]
    columns += ["alerts, after"] if alarms else []
    lines = [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    repeated = [again.at for first, again in repetitions(trial_index) if not excusable(trial_index, first, again)]
    for step in done:
        sent = [text for text, one in trial_index.sent.items() if step.began <= one.at < step.ended]
        unanswered = sum(trial_index.state(text) != "acknowledged" for text in sent)
        lost = sum(text in trial_index.acked and text not in trial_index.stored for text in sent)
        twice = sum(step.began <= at < step.ended for at in repeated)
        wait = rolling.longest_wait(trial_index, step.began, step.ended)
        seconds = step.ended - step.began
        line = f"| {step.name} | {seconds:.0f} | {wait:.1f} | {unanswered} of {len(sent)} | {lost} | {twice} |"
        lines.append(f"{line} {alerts_of(step, alarms)} |" if alarms else line)
    return "\n".join(lines)


@asynccontextmanager
async def following(alarms: Alarms | None) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as group:
        task = group.create_task(alarms.follow()) if alarms else None
        yield
        if task:
            task.cancel()


async def trial(
    url: str,
    history: Callable[[list[int]], Awaitable[dict[int, list[Entry]]]],
    steps: AsyncIterator[Disturbance],
    only: list[str],
    bound: float,
    alarms: Alarms | None = None,
    *,
    proxied: bool,
) -> int:
    """The exit status: 0 proven, 1 violated, 2 inconclusive. `url`: of the edges. `bound`: the longest time without
    service, in seconds. `proxied`: see Trial. Raises NoPrometheus."""
    done: list[TrialStep] = []
    began = time.monotonic()
    drill = Drill([(EDGE, url)], history, RATE, PATIENCE_SECONDS, lambda _: None, stayers=(), proxied=proxied)
    async with following(alarms):
        records = await drill.run(partial(disturb, steps=until_interrupted(steps), only=only, done=done))
    required = RequiredEvidence.of((time.monotonic() - began) * RATE / 2, {})
    result = check(records, required, {"S1 service": partial(rolling.served, bound=bound)})
    trial_index = IndexedTrial(records)
    click.echo(table(summary(trial_index, result) | rolling.figures(trial_index)))
    click.echo(by_step(done, trial_index, alarms))
    if result.exit_status:
        file = Path(tempfile.mkdtemp(prefix="dragoman-trial-")) / "trial.json"
        file.write_bytes(msgspec.json.encode(records))
        click.echo(f"records: {file}")
    return result.exit_status or int(any(step.failed for step in done))
