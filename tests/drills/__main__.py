"""`python -m tests.drills kill`: what `./dev drill kill` runs. Exit status 0: proven, 1: violated, 2: inconclusive."""

import asyncio
import secrets
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
import msgspec

from shared.settings import Log
from shared.telemetry import configure_logging
from tests.drills.breakage import BREAKAGES
from tests.drills.checker import check
from tests.drills.cluster import UP, Cluster
from tests.drills.facts import Facts
from tests.drills.faults import phases
from tests.drills.kill import demands, kill_in_turn
from tests.drills.report import summary, table
from tests.machine.playing import play

_TOWNS = 12
SERVICES = ("auth", "session", "message", "edge-1", "edge-2")


@click.group()
def drills() -> None:
    """Faults under load, and proof of what they did not break."""


@drills.command()
@click.option("--seconds", default=30.0, show_default=True, help="How long services are killed for.")
@click.option("--every", default=3.0, show_default=True, help="Seconds from one kill to the next.")
@click.option("--targets", default=",".join(SERVICES), show_default=True, help="Which processes.")
@click.option("--only", is_flag=True, help="Kill these and nothing else: no NATS, no Valkey, nothing frozen.")
@click.option("--rate", default=100.0, show_default=True, help="Messages per second of all people together.")
@click.option("--patience", default=30.0, show_default=True, help="Seconds to come back and to hear all, at the end.")
@click.option("--database", default="", help="As for `dragoman up`, instead of SQLite.")
@click.option("--break", "breakage", type=click.Choice(sorted(BREAKAGES)), help="A build broken so: must be violated.")
@click.option("--json", "report_file", type=click.Path(path_type=Path), help="Write the figures there.")
@click.option("--keep", is_flag=True, help="Keep the directory, with all records and the log, also after a proof.")
def kill(
    seconds: float, every: float, targets: str, only: bool, rate: float, patience: float, database: str,
    breakage: str | None, report_file: Path | None, keep: bool,
) -> None:  # fmt: skip
    """People talk through two edges while one process after the other is killed under them."""
    configure_logging(Log(level="error", json_lines=False), "drill")
    planned = phases(tuple(targets.split(",")), seconds, every)
    planned = planned[:1] if only else planned
    directory = Path(tempfile.mkdtemp(prefix="dragoman-drill-"))
    with _system(directory, database, breakage) as cluster:
        trial = asyncio.run(kill_in_turn(cluster, planned, rate, patience, click.echo))
    facts, verdict = Facts(trial), check(trial, demands(planned, rate))
    figures = summary(facts, verdict)
    click.echo(table(figures))
    if keep or verdict.exit_status:
        (directory / "trial.json").write_bytes(msgspec.json.encode(trial))
        click.echo(f"all that was written down, and the log: {directory}")
    else:
        shutil.rmtree(directory)
    if report_file is not None:
        report_file.write_bytes(msgspec.json.format(msgspec.json.encode(figures)) + b"\n")
    sys.exit(verdict.exit_status)


@drills.command()
@click.option("--seconds", default=120.0, show_default=True, help="Towns are begun for so long.")
@click.option("--steps", default=60, show_default=True, help="Of each town, at most.")
@click.option("--seed", type=int, help="The first one; each dozen of towns has the next. Random by default.")
@click.option("--shrink", is_flag=True, help="Make the story of a failure short. Takes minutes.")
@click.option("--database", default="", help="As for `dragoman up`, instead of SQLite.")
@click.option("--break", "breakage", type=click.Choice(sorted(BREAKAGES)), help="A build broken so: must be found out.")
def machine(seconds: float, steps: int, seed: int | None, shrink: bool, database: str, breakage: str | None) -> None:
    """Random people of all dialects do random things, and each must see what a model says."""
    configure_logging(Log(level="error", json_lines=False), "drill")
    number = secrets.randbits(32) if seed is None else seed
    directory = Path(tempfile.mkdtemp(prefix="dragoman-drill-"))
    with _system(directory, database, breakage) as cluster:
        ends = time.monotonic() + seconds
        while time.monotonic() < ends:
            click.echo(f"seed {number}")
            play(cluster.edges, towns=_TOWNS, steps=steps, number=number, shrink=shrink)
            number += 1
    shutil.rmtree(directory)  # what differs raises, and leaves the log


@contextmanager
def _system(directory: Path, database: str, breakage: str | None) -> Iterator[Cluster]:
    arguments = ["--no-limits", *(["--database", database] if database else [])]
    program = (sys.executable, "-m", "tests.drills.breakage", breakage, "up") if breakage else UP
    with Cluster(directory / "data", *arguments, program=program) as cluster:
        click.echo(f"{' '.join(cluster.edges)} {cluster.data}")
        yield cluster


if __name__ == "__main__":
    drills()
