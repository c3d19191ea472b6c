"""The command `./dev drill …`.

The exit status is 0 if a drill has passed, 1 if it has failed, and 2 if it is inconclusive.
"""

import asyncio
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import click

from dragoman_client.codec import CODECS
from tests.drills import absence, every_drill, faults, fuzz, members, outage_drill, outages, rolling, soak, storm
from tests.drills import audit as auditing
from tests.drills import scale as scaling
from tests.drills.broken_builds import check_all
from tests.drills.checker import Invariant, check
from tests.drills.drill_run import DrillRun, drill_command
from tests.drills.evidence import RequiredEvidence
from tests.drills.fleet import DATABASES, Builds, checkout, fleet
from tests.drills.kill import kill_in_turn, required_evidence
from tests.drills.links import FarLinks, Links
from tests.drills.outages import Outage
from tests.drills.records import Record
from tests.model.runner import play
from tests.support.far_network import far_network, missing

_HISTORIES = 12
SERVICES = ("auth", "session", "message", "edge-1", "edge-2")


@click.group()
def drills() -> None:
    """Injects faults under load, and checks the delivery contract."""


_drill = partial(drill_command, drills)


@_drill("kill")
@click.option("--seconds", default=30.0, show_default=True, help="Seconds in which services are killed.")
@click.option("--every", default=3.0, show_default=True, help="Seconds from one kill to the next.")
@click.option("--targets", default=",".join(SERVICES), show_default=True, help="Which processes.")
@click.option("--only", is_flag=True, help="Kill these and nothing else: no NATS, no Valkey, nothing frozen.")
@click.option("--rate", default=100.0, show_default=True, help="Messages per second of all users.")
@click.option("--patience", default=30.0, show_default=True, help="Seconds to reconnect and to get all, at the end.")
@click.option("--database", default="", help="`postgresql`, or as for `dragoman up`, instead of SQLite.")
@click.option("--bound", default=10.0, show_default=True, help="Longest time without service, in seconds.")
@click.option(
    "--clock", metavar="SERVICES=SECONDS[@DELAY]", help="Services' wall clocks are ahead, or set so after a delay."
)
def kill(
    run: DrillRun, seconds: float, every: float, targets: str, only: bool, rate: float, patience: float, database: str,
    bound: float, clock: str | None,
) -> None:  # fmt: skip
    """Users post through two edges while one process after another is killed."""
    planned = faults.phases(tuple(targets.split(",")), seconds, every)
    planned = planned[:1] if only else planned
    with run.system(database, clock) as cluster:
        recorded = asyncio.run(kill_in_turn(cluster, planned, rate, patience, click.echo))
    rules: dict[str, Invariant] = {"S1 service": partial(rolling.served, bound=bound)}
    run.report(recorded, check(recorded, required_evidence(planned, rate), rules))


@_drill("audit")
@click.option("--seconds", default=20.0, show_default=True, help="Seconds in which services are killed.")
@click.option("--rate", default=60.0, show_default=True, help="Messages per second of all users.")
@click.option("--patience", default=30.0, show_default=True, help="Seconds to reconnect and to get all, at the end.")
def audit(run: DrillRun, seconds: float, rate: float, patience: float) -> None:
    """Services and edges are killed.

    Then the answers of `dragoman admin message find` must agree with the clients' records, and no message may count as
    lost.
    """
    planned = faults.phases(SERVICES, seconds, 3.0)[:1]
    with run.system(more=auditing.SETTINGS) as cluster:
        recorded = asyncio.run(kill_in_turn(cluster, planned, rate, patience, click.echo))
        differences = asyncio.run(auditing.question(cluster, recorded))
        lost = [f"{count:g} messages are lost at {stage}" for stage, count in auditing.lost_messages(cluster).items()]
    rules: dict[str, Invariant] = {"A1 answers": lambda _: differences, "A2 lost": lambda _: lost}
    run.report(recorded, check(recorded, required_evidence(planned, rate), rules))


@drills.command()
def broken() -> None:
    """Runs each deliberately broken build in its drill, and the kill drill with each service's clock an hour off."""
    failed = check_all(click.echo)
    click.echo(f"NOT AS EXPECTED: {', '.join(failed)}" if failed else "ALL AS EXPECTED")
    sys.exit(1 if failed else 0)


@_drill("scale", seed="Of the order of steps and of the users' actions.")
@click.option("--seconds", default=60.0, show_default=True, help="Seconds of all steps together, at least.")
@click.option("--edges", type=click.IntRange(2, 16), default=4, show_default=True, help="From one to so many and back.")
@click.option("--replicas", type=click.IntRange(2, 8), default=4, show_default=True, help="Of message, as for edges.")
@click.option("--phase", "phases", type=click.Choice(scaling.PHASES), multiple=True, help="Only this; repeatable.")
@click.option("--freezes", default=2, show_default=True, help="So often a leader is frozen; not on SQLite.")
@click.option("--rate", default=100.0, show_default=True, help="Messages per second of all users.")
@click.option("--crowds", default=1, show_default=True, help="Ten users each. An edge with many takes time to drain.")
@click.option("--bound", default=3.0, show_default=True, help="Longest time without service, in seconds.")
@click.option("--database", type=click.Choice(DATABASES), default=DATABASES[0], show_default=True)
@click.option("--from", "revision", help="Begin with this revision's build: the replacement is then an upgrade.")
def scale(
    run: DrillRun,
    seconds: float,
    edges: int,
    replicas: int,
    phases: tuple[str, ...],
    freezes: int,
    rate: float,
    crowds: int,
    bound: float,
    database: str,
    revision: str | None,
) -> None:
    """Users post while edges and replicas of message are added and removed, each process is replaced, and leaders of
    chats are killed and frozen, one at a time.
    """
    if database == "sqlite":
        click.echo(scaling.NO_FREEZE)
        freezes = 0
    plan = scaling.plan(edges, replicas, freezes, run.seed, upgrade=revision is not None)
    steps = [step for step in plan if step.phase in (phases or scaling.PHASES)]
    after = run.broken()
    before = _earlier(revision, run.directory / "before") if revision else after
    records: list[Record] = []
    with fleet(run.directory, database, records.append) as running:
        recorded = asyncio.run(
            scaling.scale(running, records, steps, seconds, rate, crowds, (before, after), click.echo)
        )
    rules: dict[str, Invariant] = {
        "S1 service": partial(rolling.served, bound=bound), "S2 drain": rolling.drained,
        "S8 chats": partial(rolling.chats_served, bound=bound),
    }  # fmt: skip
    result = check(recorded, scaling.required_evidence(steps, seconds, rate), rules)
    run.report(recorded, result, rolling.phase_figures)


def _add_outage_drill(name: str, plan: Callable[[float], list[Outage]], default_seconds: float) -> None:
    database = {"broker": "sqlite", "half-open": "sqlite", "citus": "citus"}.get(name, "postgresql")

    @_drill(name)
    @click.option("--seconds", default=default_seconds, show_default=True, help="Seconds of each outage.")
    @click.option("--phase", "phases", multiple=True, help="Only this; repeatable.")
    @click.option("--rate", default=60.0, show_default=True, help="Messages per second of all users.")
    @click.option("--bound", default=10.0, show_default=True, help="Longest time without service, in seconds.")
    def endure(run: DrillRun, seconds: float, phases: tuple[str, ...], rate: float, bound: float) -> None:
        planned = [outage for outage in plan(seconds) if not phases or outage.phase in phases]
        records: list[Record] = []
        with _links(name) as links, fleet(run.directory, database, records.append, links) as running:
            recorded = asyncio.run(outage_drill.endure(running, records, planned, rate, run.broken(), click.echo))
        result = check(recorded, outage_drill.required_evidence(planned, rate), outage_drill.invariants(bound))
        run.report(recorded, result)

    endure.help = plan.__doc__


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
    ("citus", outages.citus, 15.0),
    ("partition", outages.partition, 60.0),
    ("network", outages.network, 10.0),
    ("half-open", outages.half_open, 45.0),
):
    _add_outage_drill(_name, _plan, _seconds)


@_drill("machine", seed="The first one; each twelve models use the next.", json=False, keep=False)
@click.option("--seconds", default=120.0, show_default=True, help="Begin new models for so many seconds.")
@click.option("--steps", default=60, show_default=True, help="Steps of each model, at most.")
@click.option("--shrink", is_flag=True, help="Shorten the steps of a failure. Takes minutes.")
@click.option("--database", default="", help="As for `dragoman up`, instead of SQLite.")
def machine(run: DrillRun, seconds: float, steps: int, shrink: bool, database: str) -> None:
    """Simulated users of all dialects act at random. What they see must agree with a model."""
    with run.system(database) as cluster:
        number, ends = run.seed, time.monotonic() + seconds
        while time.monotonic() < ends:
            click.echo(f"seed {number}")
            play(cluster.edges, histories=_HISTORIES, steps=steps, number=number, shrink=shrink)
            number += 1
    # if the model disagrees, the code above raises, so this line is not reached and the log is kept
    shutil.rmtree(run.directory)


@_drill("soak", seed="Of the order of the faults.")
@click.option("--minutes", default=30.0, show_default=True, help="Minutes of faults.")
@click.option("--rate", default=40.0, show_default=True, help="Messages per second of all users.")
@click.option("--bound", default=10.0, show_default=True, help="Longest time without service, in seconds.")
def run_soak(run: DrillRun, minutes: float, rate: float, bound: float) -> None:
    """Random faults for a long time: no process may use more and more memory, files, threads or tasks."""
    planned = soak.phases(60 * minutes, run.seed)
    with run.system() as cluster:
        recorded = asyncio.run(kill_in_turn(cluster, planned, rate, 30.0, click.echo, soak.watch))
    rules: dict[str, Invariant] = {"S1 service": partial(rolling.served, bound=bound), "G1 growth": soak.flat}
    run.report(recorded, check(recorded, required_evidence(planned, rate), rules))


@_drill("members")
@click.option("--every", default=3.0, show_default=True, help="Seconds from one kill, and one join, to the next.")
@click.option("--targets", default=",".join(SERVICES), show_default=True, help="Which processes are killed.")
@click.option("--rate", default=60.0, show_default=True, help="Messages per second of all users.")
@click.option("--bound", default=10.0, show_default=True, help="Longest time without service, in seconds.")
def run_members(run: DrillRun, every: float, targets: str, rate: float, bound: float) -> None:
    """Accounts join, leave, are removed and deleted while processes are killed. Each must get exactly the messages of
    its membership."""
    planned = faults.phases(tuple(targets.split(",")), (members.NEWCOMERS + 2) * every, every)[:1]
    act = partial(members.change_members, every=every)
    with run.system() as cluster:
        recorded = asyncio.run(
            kill_in_turn(cluster, planned, rate, 30.0, click.echo, act=act, newcomers=members.NEWCOMERS)
        )
    rules: dict[str, Invariant] = {
        "S1 service": partial(rolling.served, bound=bound),
        "S5 membership": members.only_while_member,
        "S6 deletion": members.carried_out,
    }
    run.report(recorded, check(recorded, required_evidence(planned, rate), rules))


@_drill("fuzz", seed="Of the mutations.")
@click.option("--seconds", default=60.0, show_default=True, help="Seconds of mutated frames.")
@click.option("--frames", default=500.0, show_default=True, help="Mutated frames per second, of all clients.")
@click.option("--total", default=0, help="So many mutated frames, however long they take, instead of --seconds.")
@click.option("--rate", default=60.0, show_default=True, help="Messages per second of the ordinary users.")
@click.option("--latency", default=0.1, show_default=True, help="Bound of their acknowledgements, p99 in seconds.")
@click.option(
    "--dialect",
    "dialects",
    type=click.Choice([*CODECS]),
    multiple=True,
    default=[*CODECS],
    help="Of the frames (default: all); repeatable.",
)
def run_fuzz(
    run: DrillRun, seconds: float, frames: float, total: int, rate: float, latency: float, dialects: tuple[str, ...]
) -> None:  # fmt: skip
    """Sends mutated frames, over WebSocket and TCP, before and after a login, while ordinary users chat."""
    act = partial(fuzz.send_garbage, seconds=seconds, rate=frames, seed=run.seed, frames=total, dialects=dialects)
    with run.system(tcp=True) as cluster:
        recorded = asyncio.run(kill_in_turn(cluster, [], rate, 30.0, click.echo, soak.watch, act))
    rules: dict[str, Invariant] = {
        "S1 service": partial(rolling.served, bound=5.0),
        "S7 latency": partial(fuzz.prompt, bound=latency),
        "F1 robustness": fuzz.robust,
        "G1 growth": soak.flat,
    }
    recorded = fuzz.without_foreign_chats(recorded)
    least = RequiredEvidence.of((total / frames if total else seconds) * rate, {})
    run.report(recorded, check(recorded, least, rules), fuzz.figures)


@_drill("storm", keep=False)
@click.option("--clients", default=5000, show_default=True, help="Clients of the edges that die.")
@click.option("--all-edges", is_flag=True, help="All edges die at once.")
@click.option("--bound", default=60.0, show_default=True, help="Seconds within which all must be back.")
def run_storm(run: DrillRun, clients: int, all_edges: bool, bound: float) -> None:
    """Kills one of three edges, or all of them. Their thousands of clients must reconnect in time and get the missed
    messages."""
    with run.system(edges=storm.EDGES) as cluster:
        figures = storm.storm(cluster, clients, bound, all_edges=all_edges)
    run.end(figures)


@_drill("absence", seed="Of the edits and recalls.", keep=False)
@click.option("--messages", default=10_000, show_default=True, help="Written meanwhile.")
@click.option("--chats", default=200, show_default=True, help="Of the user who is away.")
def run_absence(run: DrillRun, messages: int, chats: int) -> None:
    """A native user is away for three days, while others write, edit and recall, and processes are killed. A sync and
    the gaps that it names must give everything once, in order."""
    with run.system() as cluster:
        recorded = asyncio.run(absence.leave_and_write(cluster, chats, messages, run.seed))
    # a process can have only one wrapper: the wrapper that sets its clock, or the one that applies the mutant
    clock = None if run.mutant else f"{absence.SERVICES}={absence.SECONDS}"
    with run.system(clock=clock) as later:
        asyncio.run(recorded.absentee.come_back(later.edges[0]))
    run.end(absence.figures(recorded, [*absence.violations(recorded)], messages))


@drills.command("all")
def run_everything() -> None:
    """Runs all drills except `soak`, `citus` and `broken`, and prints a line for each. The exit status is that of the
    worst result.
    """
    click.echo(every_drill.HEAD)
    sys.exit(every_drill.run_all(click.echo))


def _earlier(revision: str, directory: Path) -> Builds:
    try:
        build = checkout(revision, directory)
    except LookupError as error:
        raise click.BadParameter(f"git knows no {revision}") from error
    return lambda service: build


if __name__ == "__main__":
    drills()
