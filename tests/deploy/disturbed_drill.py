"""A drill of an installation that runs in containers.

Users chat through its one address while one step after the other disturbs it.
"""

import asyncio
import secrets
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

from dragoman_client.errors import ClientError
from tests.deploy.alarms import LONG, Alarms
from tests.drills import rolling
from tests.drills.checker import check, excusable, repetitions
from tests.drills.drill import Drill
from tests.drills.evidence import RequiredEvidence
from tests.drills.record_index import RecordIndex
from tests.drills.records import Entry, Fault, Healed
from tests.drills.report import summary, table
from tests.support.waiting import block_until
from tests.system.users import NativeUser

ROOT = Path(__file__).parents[2]
EDGE = "edge"
"""The target of a fault that ends the connections of all users, because all users connect to this one address."""
CUT_OFF = f"{EDGE}~nats"
"""The outage of edges that have not noticed yet that NATS is unavailable. Users wait, and may get messages twice."""
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


class FoundMessages:
    """A user who posts a message after each step.

    This user's search must then find all earlier posts, also those from before the step.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._word = secrets.token_hex(6)
        self._token, self._chat, self._posted = "", 0, 0

    def post_and_find(self) -> float:
        """Posts a message, and searches until all posts are found.

        Returns how many seconds that took. Raises AssertionError, ConnectionError, TimeoutError.
        """
        with NativeUser(self._url) as user:
            if self._token:
                user.do("token", token=self._token)
            else:
                self._token = user.register().token
                self._chat = user.call("create", name="Searched", members=[])["chat"]
            self._posted += 1
            user.do("send", chat=self._chat, text=f"{self._word} {self._posted}", nonce=str(self._posted))
            began = time.monotonic()
            block_until(lambda: len(user.call("search", query=self._word, count=50).get("hits", ())) == self._posted)
            return time.monotonic() - began


class DisturbedStep(NamedTuple):
    """A step of the drill that was carried out, with its times. `failed` is the reason of a failure, or empty."""

    name: str
    began: float
    ended: float
    failed: str


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
    searched = FoundMessages(url)
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
        ended = time.monotonic()
        try:
            found = f"search finds all, the last {await asyncio.to_thread(searched.post_and_find):.1f} s later"
        except (AssertionError, ClientError, TimeoutError) as error:
            failed = f"{failed} search does not find all: {error}"
        done.append(DisturbedStep(step.name, began, ended, failed))
        click.echo(f"{step.name}: {ended - began:.0f} s, {failed or found}")


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
    result = check(records, required, {"S1 service": partial(rolling.served, bound=bound)})
    record_index = RecordIndex(records)
    click.echo(table(summary(record_index, result) | rolling.figures(record_index)))
    click.echo(by_step(done, record_index, alarms))
    if result.exit_status:
        file = Path(tempfile.mkdtemp(prefix="dragoman-test-")) / "drill.json"
        file.write_bytes(msgspec.json.encode(records))
        click.echo(f"records: {file}")
    return result.exit_status or int(any(step.failed for step in done))
