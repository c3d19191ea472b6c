"""The command behind `./dev drill …`. Exit status 0: proven, 1: violated, 2: inconclusive."""

import asyncio
import random
import secrets
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import click
import msgspec

from local.ports import free_ports
from shared.settings import LogSettings
from shared.telemetry import configure_logging
from tests.drills import absence, every_drill, faults, fuzz, members, outage_drill, outages, rolling, soak, storm
from tests.drills import audit as auditing
from tests.drills import scale as scaling
from tests.drills.broken_builds import check_all
from tests.drills.checker import CheckResult, Invariant, check
from tests.drills.evidence import RequiredEvidence
from tests.drills.fleet import DATABASES, Builds, checkout, fleet, postgresql_databases
from tests.drills.indexed_trial import IndexedTrial
from tests.drills.kill import kill_in_turn, required_evidence
from tests.drills.links import FarLinks, Links
from tests.drills.mutants import MUTANTS
from tests.drills.outages import Outage
from tests.drills.records import Record, Trial
from tests.drills.report import RESULTS, summary, table
from tests.model.runner import play
from tests.support.cluster import UP, Cluster
from tests.support.far_network import far_network, missing
from tests.support.stack import PRESENT, Build

_HISTORIES = 12
SERVICES = ("auth", "session", "message", "edge-1", "edge-2")


@click.group()
def drills() -> None:
    """Injects faults under load, and checks the delivery contract."""


@drills.command()
@click.option("--seconds", default=30.0, show_default=True, help="Seconds in which services are killed.")
@click.option("--every", default=3.0, show_default=True, help="Seconds from one kill to the next.")
@click.option("--targets", default=",".join(SERVICES), show_default=True, help="Which processes.")
@click.option("--only", is_flag=True, help="Kill these and nothing else: no NATS, no Valkey, nothing frozen.")
@click.option("--rate", default=100.0, show_default=True, help="Messages per second of all users.")
@click.option("--patience", default=30.0, show_default=True, help="Seconds to reconnect and to get all, at the end.")
@click.option("--database", default="", help="`postgresql`, or as for `dragoman up`, instead of SQLite.")
@click.option(
    "--break", "mutants", type=click.Choice(sorted(MUTANTS)), multiple=True,
    help="Break the build so: must be violated; repeatable.",
)  # fmt: skip
@click.option("--bound", default=10.0, show_default=True, help="Longest time without service, in seconds.")
@click.option("--clock", metavar="SERVICE=SECONDS", help="The wall clock of a service is so many seconds ahead.")
@click.option("--json", "report_file", type=click.Path(path_type=Path), help="Write the figures to this file.")
@click.option("--keep", is_flag=True, help="Keep the directory, with all records and the log, also after a proof.")
def kill(
    seconds: float, every: float, targets: str, only: bool, rate: float, patience: float, database: str,
    mutants: tuple[str, ...], bound: float, clock: str | None, report_file: Path | None, keep: bool,
) -> None:  # fmt: skip
    """Users post through two edges while one process after the other is killed."""
    configure_logging(LogSettings(level="error", json_lines=False), "drill")
    planned = faults.phases(tuple(targets.split(",")), seconds, every)
    planned = planned[:1] if only else planned
    directory = Path(tempfile.mkdtemp(prefix="dragoman-drill-"))
    with _system(directory, database, "+".join(mutants), clock) as cluster:
        trial = asyncio.run(kill_in_turn(cluster, planned, rate, patience, click.echo))
    rules: dict[str, Invariant] = {"S1 service": partial(rolling.served, bound=bound)}
    _report(trial, check(trial, required_evidence(planned, rate), rules), directory, keep, report_file)


@drills.command()
@click.option("--seconds", default=20.0, show_default=True, help="Seconds in which services are killed.")
@click.option("--rate", default=60.0, show_default=True, help="Messages per second of all users.")
@click.option("--patience", default=30.0, show_default=True, help="Seconds to reconnect and to get all, at the end.")
@click.option("--break", "mutant", type=click.Choice(sorted(MUTANTS)), help="Break the build so: must be violated.")
@click.option("--json", "report_file", type=click.Path(path_type=Path), help="Write the figures to this file.")
@click.option("--keep", is_flag=True, help="Keep the directory, with all records and the log, also after a proof.")
def audit(
    seconds: float, rate: float, patience: float, mutant: str | None, report_file: Path | None, keep: bool
) -> None:
    """Services and edges are killed; then `dragoman admin message find` must agree with the clients' records, and no
    message may count as lost."""
    configure_logging(LogSettings(level="error", json_lines=False), "drill")
    planned = faults.phases(SERVICES, seconds, 3.0)[:1]
    directory = Path(tempfile.mkdtemp(prefix="dragoman-drill-"))
    with _system(directory, "", mutant, more=auditing.SETTINGS) as cluster:
        trial = asyncio.run(kill_in_turn(cluster, planned, rate, patience, click.echo))
        differences = asyncio.run(auditing.question(cluster, trial))
        lost = [f"{count:g} messages are lost at {stage}" for stage, count in auditing.lost_messages(cluster).items()]
    rules: dict[str, Invariant] = {"A1 answers": lambda _: differences, "A2 lost": lambda _: lost}
    _report(trial, check(trial, required_evidence(planned, rate), rules), directory, keep, report_file)


@drills.command()
def broken() -> None:
    """Each build that is broken on purpose in its drill, and the kill drill with each service's clock an hour off."""
    failed = check_all(click.echo)
    click.echo(f"NOT AS EXPECTED: {', '.join(failed)}" if failed else "ALL AS EXPECTED")
    sys.exit(1 if failed else 0)


@drills.command()
@click.option("--seconds", default=60.0, show_default=True, help="Seconds of all steps together, at least.")
@click.option("--edges", type=click.IntRange(2, 16), default=4, show_default=True, help="From one to so many and back.")
@click.option("--replicas", type=click.IntRange(2, 8), default=4, show_default=True, help="Of message, as for edges.")
@click.option("--phase", "phases", type=click.Choice(scaling.PHASES), multiple=True, help="Only this; repeatable.")
@click.option("--freezes", default=2, show_default=True, help="So often an owner is frozen; not on SQLite.")
@click.option("--rate", default=100.0, show_default=True, help="Messages per second of all users.")
@click.option("--crowds", default=1, show_default=True, help="Ten users each. An edge with many takes time to drain.")
@click.option("--bound", default=3.0, show_default=True, help="Longest time without service, in seconds.")
@click.option("--database", type=click.Choice(DATABASES), default=DATABASES[0], show_default=True)
@click.option("--seed", type=int, help="Of the order of steps and of the users' actions. Random by default.")
@click.option("--from", "revision", help="Begin with this revision's build: the replacement is then an upgrade.")
@click.option("--break", "mutant", type=click.Choice(sorted(MUTANTS)), help="Break the build so: must be violated.")
@click.option("--json", "report_file", type=click.Path(path_type=Path), help="Write the figures to this file.")
@click.option("--keep", is_flag=True, help="Keep the directory, with all records and the logs, also after a proof.")
def scale(
    seconds: float, edges: int, replicas: int, phases: tuple[str, ...], freezes: int, rate: float, crowds: int,
    bound: float, database: str, seed: int | None, revision: str | None, mutant: str | None,
    report_file: Path | None, keep: bool,
) -> None:  # fmt: skip
    """Users post while edges and replicas of message are added and removed, each process is replaced, owners of chats
    are killed and frozen, one at a time."""
    configure_logging(LogSettings(level="error", json_lines=False), "drill")
    number = secrets.randbits(32) if seed is None else seed
    random.seed(number)
    if database == "sqlite":
        click.echo(scaling.NO_FREEZE)
        freezes = 0
    plan = scaling.plan(edges, replicas, freezes, number, upgrade=revision is not None)
    steps = [step for step in plan if step.phase in (phases or scaling.PHASES)]
    directory = Path(tempfile.mkdtemp(prefix="dragoman-drill-"))
    directory.chmod(0o755)
    click.echo(f"seed {number} {directory}")
    after = _broken(mutant)
    before = _earlier(revision, directory / "before") if revision else after
    records: list[Record] = []
    with fleet(directory, database, records.append) as running:
        trial = asyncio.run(scaling.scale(running, records, steps, seconds, rate, crowds, (before, after), click.echo))
    rules: dict[str, Invariant] = {
        "S1 service": partial(rolling.served, bound=bound), "S2 drain": rolling.drained,
        "S8 chats": partial(rolling.chats_served, bound=bound),
    }  # fmt: skip
    result = check(trial, scaling.required_evidence(steps, seconds, rate), rules)
    _report(trial, result, directory, keep, report_file, rolling.phase_figures)


def _add_outage_drill(name: str, plan: Callable[[float], list[Outage]], default_seconds: float) -> None:
    database = "sqlite" if name in ("broker", "half-open") else "postgresql"

    @drills.command(name, help=plan.__doc__)
    @click.option("--seconds", default=default_seconds, show_default=True, help="Seconds of each outage.")
    @click.option("--phase", "phases", multiple=True, help="Only this; repeatable.")
    @click.option("--rate", default=60.0, show_default=True, help="Messages per second of all users.")
    @click.option("--bound", default=10.0, show_default=True, help="Longest time without service, in seconds.")
    @click.option("--break", "mutant", type=click.Choice(sorted(MUTANTS)), help="Break the build so: must be violated.")
    @click.option("--json", "report_file", type=click.Path(path_type=Path), help="Write the figures to this file.")
    @click.option("--keep", is_flag=True, help="Keep the directory, with all records and the logs, also after a proof.")
    def run(
        seconds: float, phases: tuple[str, ...], rate: float, bound: float, mutant: str | None,
        report_file: Path | None, keep: bool,
    ) -> None:  # fmt: skip
        configure_logging(LogSettings(level="error", json_lines=False), "drill")
        planned = [outage for outage in plan(seconds) if not phases or outage.phase in phases]
        directory = Path(tempfile.mkdtemp(prefix="dragoman-drill-"))
        directory.chmod(0o755)
        click.echo(str(directory))
        records: list[Record] = []
        with _links(name) as links, fleet(directory, database, records.append, links) as running:
            trial = asyncio.run(outage_drill.endure(running, records, planned, rate, _broken(mutant), click.echo))
        result = check(trial, outage_drill.required_evidence(planned, rate), outage_drill.invariants(bound))
        _report(trial, result, directory, keep, report_file)


@contextmanager
def _links(drill: str) -> Iterator[Links]:
    if drill != "half-open":
        yield Links()
    elif reason := missing():
        raise click.UsageError(reason)
    else:
        with far_network() as network:
            yield FarLinks(network, outages.FIRST_EDGE)


for _name, _plan, _seconds in (
    ("broker", outages.broker, 30.0),
    ("database", outages.database, 30.0),
    ("partition", outages.partition, 60.0),
    ("network", outages.network, 10.0),
    ("half-open", outages.half_open, 45.0),
):
    _add_outage_drill(_name, _plan, _seconds)


@drills.command()
@click.option("--seconds", default=120.0, show_default=True, help="Begin new models for so many seconds.")
@click.option("--steps", default=60, show_default=True, help="Steps of each model, at most.")
@click.option("--seed", type=int, help="The first one; each twelve models use the next. Random by default.")
@click.option("--shrink", is_flag=True, help="Shorten the steps of a failure. Takes minutes.")
@click.option("--database", default="", help="As for `dragoman up`, instead of SQLite.")
@click.option("--break", "mutant", type=click.Choice(sorted(MUTANTS)), help="Break the build so: must be flagged.")
def machine(seconds: float, steps: int, seed: int | None, shrink: bool, database: str, mutant: str | None) -> None:
    """Random users of all dialects act at random, and each must see what a model predicts."""
    configure_logging(LogSettings(level="error", json_lines=False), "drill")
    number = secrets.randbits(32) if seed is None else seed
    directory = Path(tempfile.mkdtemp(prefix="dragoman-drill-"))
    with _system(directory, database, mutant) as cluster:
        ends = time.monotonic() + seconds
        while time.monotonic() < ends:
            click.echo(f"seed {number}")
            play(cluster.edges, histories=_HISTORIES, steps=steps, number=number, shrink=shrink)
            number += 1
    shutil.rmtree(directory)  # a mismatch raises, and leaves the log


@drills.command("soak")
@click.option("--minutes", default=30.0, show_default=True, help="Minutes of faults.")
@click.option("--rate", default=40.0, show_default=True, help="Messages per second of all users.")
@click.option("--bound", default=10.0, show_default=True, help="Longest time without service, in seconds.")
@click.option("--seed", type=int, help="Of the order of the faults. Random by default.")
@click.option("--break", "mutant", type=click.Choice(sorted(MUTANTS)), help="Break the build so: must be violated.")
@click.option("--json", "report_file", type=click.Path(path_type=Path), help="Write the figures to this file.")
@click.option("--keep", is_flag=True, help="Keep the directory, with all records and the log, also after a proof.")
def run_soak(
    minutes: float, rate: float, bound: float, seed: int | None, mutant: str | None, report_file: Path | None,
    keep: bool,
) -> None:  # fmt: skip
    """Random faults for a long time: no process may use more and more memory, files, threads or tasks."""
    configure_logging(LogSettings(level="error", json_lines=False), "drill")
    number = secrets.randbits(32) if seed is None else seed
    random.seed(number)
    planned = soak.phases(60 * minutes, number)
    directory = Path(tempfile.mkdtemp(prefix="dragoman-drill-"))
    with _system(directory, "", mutant) as cluster:
        click.echo(f"seed {number}")
        trial = asyncio.run(kill_in_turn(cluster, planned, rate, 30.0, click.echo, soak.watch))
    rules: dict[str, Invariant] = {"S1 service": partial(rolling.served, bound=bound), "G1 growth": soak.flat}
    _report(trial, check(trial, required_evidence(planned, rate), rules), directory, keep, report_file)


@drills.command("members")
@click.option("--every", default=3.0, show_default=True, help="Seconds from one kill, and one join, to the next.")
@click.option("--targets", default=",".join(SERVICES), show_default=True, help="Which processes are killed.")
@click.option("--rate", default=60.0, show_default=True, help="Messages per second of all users.")
@click.option("--bound", default=10.0, show_default=True, help="Longest time without service, in seconds.")
@click.option("--break", "mutant", type=click.Choice(sorted(MUTANTS)), help="Break the build so: must be violated.")
@click.option("--json", "report_file", type=click.Path(path_type=Path), help="Write the figures to this file.")
@click.option("--keep", is_flag=True, help="Keep the directory, with all records and the log, also after a proof.")
def run_members(
    every: float, targets: str, rate: float, bound: float, mutant: str | None, report_file: Path | None, keep: bool
) -> None:
    """Accounts join, leave, are removed and deleted while processes are killed: each gets the messages of its
    membership, and no others."""
    configure_logging(LogSettings(level="error", json_lines=False), "drill")
    planned = faults.phases(tuple(targets.split(",")), (members.NEWCOMERS + 2) * every, every)[:1]
    act = partial(members.change_members, every=every)
    directory = Path(tempfile.mkdtemp(prefix="dragoman-drill-"))
    with _system(directory, "", mutant) as cluster:
        trial = asyncio.run(
            kill_in_turn(cluster, planned, rate, 30.0, click.echo, act=act, newcomers=members.NEWCOMERS)
        )
    rules: dict[str, Invariant] = {
        "S1 service": partial(rolling.served, bound=bound),
        "S5 membership": members.only_while_member,
        "S6 deletion": members.carried_out,
    }
    _report(trial, check(trial, required_evidence(planned, rate), rules), directory, keep, report_file)


@drills.command("fuzz")
@click.option("--seconds", default=60.0, show_default=True, help="Seconds of mutated frames.")
@click.option("--frames", default=500.0, show_default=True, help="Mutated frames per second, of all clients.")
@click.option("--total", default=0, help="So many mutated frames, however long they take, instead of --seconds.")
@click.option("--seed", type=int, help="Of the mutations. Random by default.")
@click.option("--rate", default=60.0, show_default=True, help="Messages per second of the ordinary users.")
@click.option("--latency", default=0.1, show_default=True, help="Bound of their acknowledgements, p99 in seconds.")
@click.option("--break", "mutant", type=click.Choice(sorted(MUTANTS)), help="Break the build so: must be violated.")
@click.option("--json", "report_file", type=click.Path(path_type=Path), help="Write the figures to this file.")
@click.option("--keep", is_flag=True, help="Keep the directory, with all records and the log, also after a proof.")
def run_fuzz(
    seconds: float, frames: float, total: int, seed: int | None, rate: float, latency: float, mutant: str | None,
    report_file: Path | None, keep: bool,
) -> None:  # fmt: skip
    """Mutated frames of every dialect, over WebSocket and TCP, logged in and not, beside ordinary users."""
    configure_logging(LogSettings(level="error", json_lines=False), "drill")
    number = secrets.randbits(32) if seed is None else seed
    random.seed(number)
    act = partial(fuzz.send_garbage, seconds=seconds, rate=frames, seed=number, frames=total)
    directory = Path(tempfile.mkdtemp(prefix="dragoman-drill-"))
    with _system(directory, "", mutant, tcp=True) as cluster:
        click.echo(f"seed {number}")
        trial = asyncio.run(kill_in_turn(cluster, [], rate, 30.0, click.echo, soak.watch, act))
    rules: dict[str, Invariant] = {
        "S1 service": partial(rolling.served, bound=5.0),
        "S7 latency": partial(fuzz.prompt, bound=latency),
        "F1 robustness": fuzz.robust,
        "G1 growth": soak.flat,
    }
    trial = fuzz.without_foreign_chats(trial)
    least = RequiredEvidence.of((total / frames if total else seconds) * rate, {})
    _report(trial, check(trial, least, rules), directory, keep, report_file, fuzz.figures)


@drills.command("storm")
@click.option("--clients", default=5000, show_default=True, help="Clients of the edges that die.")
@click.option("--all-edges", is_flag=True, help="All edges die at once.")
@click.option("--bound", default=60.0, show_default=True, help="Seconds within which all must be back.")
@click.option("--break", "mutant", type=click.Choice(sorted(MUTANTS)), help="Break the build so: must be violated.")
@click.option("--json", "report_file", type=click.Path(path_type=Path), help="Write the figures to this file.")
def run_storm(clients: int, all_edges: bool, bound: float, mutant: str | None, report_file: Path | None) -> None:
    """One of three edges, or all, die under thousands of clients, which must be back in time, with what they missed."""
    directory = Path(tempfile.mkdtemp(prefix="dragoman-drill-"))
    with _system(directory, "", mutant, edges=storm.EDGES) as cluster:
        figures = storm.storm(cluster, clients, bound, all_edges=all_edges)
    shutil.rmtree(directory)
    click.echo(table(figures))
    _write(figures, report_file)
    sys.exit([result.lower() for result in RESULTS].index(figures["result"]))


@drills.command("absence")
@click.option("--messages", default=10_000, show_default=True, help="Written meanwhile.")
@click.option("--chats", default=200, show_default=True, help="Of the user who is away.")
@click.option("--seed", type=int, help="Of the edits and recalls. Random by default.")
@click.option("--break", "mutant", type=click.Choice(sorted(MUTANTS)), help="Break the build so: must be violated.")
@click.option("--json", "report_file", type=click.Path(path_type=Path), help="Write the figures to this file.")
def run_absence(messages: int, chats: int, seed: int | None, mutant: str | None, report_file: Path | None) -> None:
    """A native user is away for three days, while others write, edit and recall and processes are killed: a sync and
    the gaps that it names must give all of it, once, in order."""
    configure_logging(LogSettings(level="error", json_lines=False), "drill")
    number = secrets.randbits(32) if seed is None else seed
    directory = Path(tempfile.mkdtemp(prefix="dragoman-drill-"))
    click.echo(f"seed {number}")
    with _system(directory, "", mutant) as cluster:
        trial = asyncio.run(absence.leave_and_write(cluster, chats, messages, number))
    clock = None if mutant else f"{absence.SERVICES}={absence.SECONDS}"  # a process is started through one of them
    with _system(directory, "", mutant, clock) as later:
        asyncio.run(trial.absentee.come_back(later.edges[0]))
    found = absence.figures(trial, [*absence.violations(trial)], messages)
    click.echo(table(found))
    shutil.rmtree(directory)
    _write(found, report_file)
    sys.exit([result.lower() for result in RESULTS].index(found["result"]))


@drills.command("all")
def run_everything() -> None:
    """Every drill but the soak, with a line each. The exit status is the worst."""
    click.echo(every_drill.HEAD)
    sys.exit(every_drill.run_all(click.echo))


def _earlier(revision: str, directory: Path) -> Builds:
    try:
        build = checkout(revision, directory)
    except LookupError as error:
        raise click.BadParameter(f"git knows no {revision}") from error
    return lambda service: build


def _broken(mutant: str | None) -> Builds:
    """The present build with the mutant's service broken."""

    def build(service: str) -> Build:
        if mutant and MUTANTS[mutant].service == service:
            return Build(module=("tests.drills.mutants", mutant))
        return PRESENT

    return build


def _report(
    trial: Trial, result: CheckResult, directory: Path, keep: bool, report_file: Path | None,
    more: Callable[[IndexedTrial], dict[str, float]] = lambda _: {},
) -> NoReturn:  # fmt: skip
    trial_index = IndexedTrial(trial)
    figures = summary(trial_index, result) | rolling.figures(trial_index) | more(trial_index)
    click.echo(table(figures))
    if keep or result.exit_status:
        (directory / "trial.json").write_bytes(msgspec.json.encode(trial))
        click.echo(f"records and logs: {directory}")
    else:
        shutil.rmtree(directory)
    _write(figures, report_file)
    sys.exit(result.exit_status)


def _write(figures: dict[str, Any], report_file: Path | None) -> None:
    if report_file is not None:
        report_file.write_bytes(msgspec.json.format(msgspec.json.encode(figures)) + b"\n")


@contextmanager
def _system(
    directory: Path,
    database: str,
    mutant: str | None,
    clock: str | None = None,
    edges: int = 2,
    *,
    tcp: bool = False,
    more: Sequence[str] = (),
) -> Iterator[Cluster]:
    program: tuple[str, ...] = (sys.executable, "-m", "tests.drills.mutants", mutant, "up") if mutant else UP
    if clock:
        program = (sys.executable, "-m", "tests.drills.wrong_clock", *clock.split("=", 1), "up")
    directory.chmod(0o755)
    own = database == "postgresql"
    with postgresql_databases(directory) if own else nullcontext(database) as url:
        arguments = ["--no-limits", *(["--database", url] if url else [])]
        arguments += [*(["--tcp-port", str(free_ports(edges))] if tcp else []), *more]
        with Cluster(directory / "data", *arguments, edges=edges, program=program) as cluster:
            click.echo(f"{' '.join(cluster.edges)} {cluster.data}")
            yield cluster


if __name__ == "__main__":
    drills()
