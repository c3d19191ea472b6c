"""A drill of an installation that runs in containers.

Users chat through its one address while one step after the other disturbs it.
"""

import asyncio
import signal
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import click
import msgspec

from tests.deploy.alarms import LONG, Alarms
from tests.deploy.watched_search import SearchSeen, SearchWrong, WatchedSearch
from tests.drills import rolling
from tests.drills.checker import check, excusable, repetitions
from tests.drills.drill import Drill
from tests.drills.evidence import RequiredEvidence
from tests.drills.record_index import RecordIndex
from tests.drills.records import Entry, Fault, Healed
from tests.drills.report import summary, table
from tests.support.small_disk import SmallDisk

ROOT = Path(__file__).parents[2]
EDGE = "edge"
"""The target of a fault that ends the connections of all users, because all users connect to this one address."""
CUT_OFF = f"{EDGE}~nats"
"""The outage of edges that have not noticed yet that NATS is unavailable. Users wait, and may get messages twice."""
SEARCH = "search"
"""The target of a fault that disturbs search alone."""
UNHINDERED_SECONDS = 2.0
"""The longest wait of a user while search alone is disturbed."""
RATE = 20.0
"""Messages per second of all users together."""
PATIENCE_SECONDS = 40.0
CALM_SECONDS = 5.0
STEP_SECONDS = 600.0
FAULT_SECONDS = 20.0
"""The duration of a fault that does not wait for an alert."""
PAUSE_SECONDS = 0.5
_SESSION_WITHOUT_ROOM = "could not write init file"
ALARM_SECONDS = 240.0
"""If an awaited alert has not fired after this time, it will not fire."""
QUIET_SECONDS = 480.0
"""After a fault, an alert may still fire for this time: rules look back five minutes, and some wait two minutes more.
"""


class CommandFailed(Exception):
    pass


class Disturbance(NamedTuple):
    """A step that disturbs the installation. `target` and `kind` are those of a Fault.

    `outage` is empty if users must be served during `act`. Otherwise it is CUT_OFF, or the target (see Healed) without
    which users are not served until `act` is over.
    """

    name: str
    target: str
    kind: str
    act: Callable[[], Awaitable[None]]
    outage: str = ""


class DisturbedStep(NamedTuple):
    """A step of the drill that was carried out, with its times. `target`: see Disturbance. `failed` is the reason of a
    failure, or empty."""

    name: str
    target: str
    began: float
    ended: float
    failed: str
    seen: SearchSeen


async def run(*command: str) -> str:
    """Runs a command and returns its standard output. Raises CommandFailed."""
    process = await asyncio.create_subprocess_exec(
        *command, cwd=ROOT, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(STEP_SECONDS):
        out, error = await process.communicate()
    if process.returncode:
        raise CommandFailed(f"{' '.join(command)}: {error.decode().strip()}")
    return out.decode()


async def disturb(
    drill: Drill, url: str, steps: AsyncIterator[Disturbance], only: list[str], done: list[DisturbedStep]
) -> None:
    """Runs the steps while users chat.

    `url` is the address of the edges. `only` are names of steps; if it is empty, all steps run.
    """
    watched = WatchedSearch(url)
    await asyncio.to_thread(watched.start)
    async for step in steps:
        if only and step.name not in only:
            continue
        drill.phase = step.name
        began, failed = time.monotonic(), ""
        drill.records.append(Fault(began, step.target, step.kind))
        try:
            async with watched.watching():
                failed = await _failure(step.act())
                if step.outage:
                    unserved = frozenset() if step.outage == CUT_OFF else frozenset({EDGE})
                    drill.records.append(Healed(time.monotonic(), began, step.outage, unserved))
                calm = asyncio.create_task(asyncio.sleep(CALM_SECONDS))
                failed += await _failure(asyncio.to_thread(watched.come_back))
                await calm
        except SearchWrong as error:
            failed += str(error)
        ended = time.monotonic()
        done.append(DisturbedStep(step.name, step.target, began, ended, failed, watched.seen))
        click.echo(f"{step.name}: {ended - began:.0f} s, {failed or watched.seen}")


async def _failure(act: Awaitable[None]) -> str:
    """Waits until `act` is over. Returns the reason of its failure, or an empty text."""
    try:
        await act
    except (CommandFailed, SearchWrong, TimeoutError) as error:
        return f"{error or 'took too long'}; "
    return ""


def unhindered(record_index: RecordIndex, done: list[DisturbedStep]) -> Iterator[str]:
    """In a step that disturbs search alone, no user waits longer than UNHINDERED_SECONDS."""
    for step in done:
        wait = rolling.longest_wait(record_index, step.began, step.ended)
        if step.target == SEARCH and wait > UNHINDERED_SECONDS:
            yield f"{step.name}: a user waited {wait:.1f} s"


async def until_interrupted(steps: AsyncIterator[Disturbance]) -> AsyncIterator[Disturbance]:
    """Yields the steps. After SIGINT, the step that is under way is the last one."""
    interrupted = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGINT, interrupted.set)
    async for step in steps:
        if interrupted.is_set():
            click.echo("interrupted")
            return
        yield step


async def until_alarm(alarms: Alarms, fault: AbstractAsyncContextManager[None], alert: str = "") -> None:
    """Causes a fault until this alert fires, or for ALARM_SECONDS.

    If `alert` is empty, any alert counts. Afterwards, waits until no alert fires.
    """
    async with fault:
        await alarms.raised(time.monotonic(), ALARM_SECONDS, alert)
    await until_quiet(alarms)


async def until_quiet(alarms: Alarms) -> None:
    """Waits until no alert fires. Raises CommandFailed."""
    if not await alarms.quiet(QUIET_SECONDS):
        raise CommandFailed(f"still firing {QUIET_SECONDS:.0f} s later: {', '.join(sorted(alarms.log.firing - LONG))}")


async def until_first(*waits: Coroutine[Any, Any, object]) -> None:
    """Waits until one of these coroutines is over, and cancels the others.

    Raises the error of the coroutine that is over.
    """
    tasks = [asyncio.create_task(one) for one in waits]
    over, others = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in others:
        task.cancel()
    for task in over:
        task.result()


async def lasting(
    fault: Callable[[], AbstractAsyncContextManager[None]], alarms: Alarms | None, alert: str = ""
) -> None:
    """Causes a fault until this alert fires; if `alert` is empty, any alert counts.

    Without alarms, the fault lasts FAULT_SECONDS. Raises CommandFailed.
    """
    if alarms:
        await until_alarm(alarms, fault(), alert)
        return
    async with fault():
        await asyncio.sleep(FAULT_SECONDS)


@asynccontextmanager
async def kept_full(disk: SmallDisk) -> AsyncIterator[None]:
    """The disk is full inside this context. It is filled again when programs free some space, for example by deleting
    old files."""
    over = asyncio.Event()

    async def fill() -> None:
        while not over.is_set():
            await asyncio.to_thread(disk.fill)
            await asyncio.sleep(PAUSE_SECONDS)

    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(fill())
            try:
                yield
            finally:
                over.set()
    finally:
        await asyncio.to_thread(disk.free)


async def next_log_file(execute: Callable[..., Awaitable[str]]) -> None:
    """Makes PostgreSQL begin its next file of the write-ahead log. `execute` runs a command in PostgreSQL's container.

    The drill calls this also before the disk is full, because the first session after a change of PostgreSQL's catalog
    writes a file. Raises CommandFailed.
    """
    await execute("psql", "--username", "postgres", "--command", "SELECT pg_switch_wal()")


async def use_up_log(execute: Callable[..., Awaitable[str]]) -> None:
    """Uses up the write-ahead log of a PostgreSQL with a full disk, until PostgreSQL can write nothing.

    PostgreSQL writes into existing files of this log. While the log has such files, only tables lack space.
    """
    while True:
        try:
            await next_log_file(execute)
        except CommandFailed as error:
            if _SESSION_WITHOUT_ROOM in str(error):
                click.echo("the log of PostgreSQL has room left: it accepts no session that could use it up")
            return
        await asyncio.sleep(PAUSE_SECONDS)


def alerts_of(step: DisturbedStep, alarms: Alarms) -> str:
    """Returns each alert that began to fire in a step, with the seconds since the beginning of the step."""
    found = alarms.log.between(step.began, step.ended)
    return ", ".join(f"{one.alert} {one.at - step.began:.0f} s" for one in found) or "none"


def by_step(done: list[DisturbedStep], record_index: RecordIndex, alarms: Alarms | None = None) -> str:
    """Returns a table of the steps for docs/evidence/kubernetes.md."""
    columns = ["step", "seconds", "longest wait besides outages, s", "unanswered", "lost", "twice"]
    columns += ["searches meanwhile", "all found after, s", "a new message found after, s"]
    columns += ["alerts, after"] if alarms else []
    lines = [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    repeated = [again.at for first, again in repetitions(record_index) if not excusable(record_index, first, again)]
    for step in done:
        sent = [text for text, one in record_index.sent.items() if step.began <= one.at < step.ended]
        unanswered = sum(record_index.state(text) != "acknowledged" for text in sent)
        lost = sum(text in record_index.acked and text not in record_index.stored for text in sent)
        twice = sum(step.began <= at < step.ended for at in repeated)
        wait = rolling.longest_wait(record_index, step.began, step.ended)
        seconds = step.ended - step.began
        line = f"| {step.name} | {seconds:.0f} | {wait:.1f} | {unanswered} of {len(sent)} | {lost} | {twice} |"
        line += f" {step.seen} | {step.seen.back:.1f} | {step.seen.found:.1f} |"
        lines.append(f"{line} {alerts_of(step, alarms)} |" if alarms else line)
    return "\n".join(lines)


@asynccontextmanager
async def following(alarms: Alarms | None) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as group:
        task = group.create_task(alarms.follow()) if alarms else None
        yield
        if task:
            task.cancel()


async def run_drill(
    url: str,
    history: Callable[[list[int]], Awaitable[dict[int, list[Entry]]]],
    steps: AsyncIterator[Disturbance],
    only: list[str],
    bound: float,
    alarms: Alarms | None = None,
    *,
    proxied: bool,
) -> int:
    """Runs the drill, and returns the exit status: 0 for passed, 1 for failed, 2 for inconclusive. Raises NoPrometheus.

    `url` is the address of the edges. `bound` is the longest time without service, in seconds. `proxied`: see
    DrillRecords.
    """
    done: list[DisturbedStep] = []
    began = time.monotonic()
    drill = Drill([(EDGE, url)], history, RATE, PATIENCE_SECONDS, lambda _: None, stayers=(), proxied=proxied)
    async with following(alarms):
        records = await drill.run(partial(disturb, url=url, steps=until_interrupted(steps), only=only, done=done))
    required = RequiredEvidence.of((time.monotonic() - began) * RATE / 2, {})
    waits = {"S1 service": partial(rolling.served, bound=bound), "S9 search": partial(unhindered, done=done)}
    result = check(records, required, waits)
    record_index = RecordIndex(records)
    click.echo(table(summary(record_index, result) | rolling.figures(record_index)))
    click.echo(by_step(done, record_index, alarms))
    if result.exit_status:
        file = Path(tempfile.mkdtemp(prefix="dragoman-test-")) / "drill.json"
        file.write_bytes(msgspec.json.encode(records))
        click.echo(f"records: {file}")
    return result.exit_status or int(any(step.failed for step in done))
