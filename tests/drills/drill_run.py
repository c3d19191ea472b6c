"""The parts that all drills of `./dev drill` have in common: options, the system under test, and the report."""

import random
import secrets
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any, NoReturn

import click
import msgspec

from local.ports import free_ports
from shared.settings.servers import LogSettings
from shared.telemetry import configure_logging
from tests.drills import rolling
from tests.drills.checker import CheckResult
from tests.drills.fleet import Builds, postgresql_databases
from tests.drills.mutants import MUTANTS
from tests.drills.record_index import RecordIndex
from tests.drills.records import DrillRecords
from tests.drills.report import RESULTS, summary, table
from tests.support.cluster import UP, Cluster
from tests.support.stack import PRESENT, Build

_BREAK = click.Option(
    ["--break", "mutants"], type=click.Choice(sorted(MUTANTS)), multiple=True,
    help="Break the build so: must be failed; repeatable.",
)  # fmt: skip
_JSON = click.Option(["--json", "report_file"], type=click.Path(path_type=Path), help="Write the figures to this file.")
_KEEP = click.Option(["--keep"], is_flag=True, help="Keep the directory, with records and logs, also after a proof.")


@dataclass(frozen=True)
class DrillRun:
    """One run of a drill. `mutant` contains names of mutants, joined by `+`. It is empty for the correct build."""

    directory: Path
    seed: int
    mutant: str
    report_file: Path | None
    keep: bool

    def broken(self) -> Builds:
        """Returns the build of this checkout, in which the services of the mutants are broken."""

        def build(service: str) -> Build:
            names = [name for name in filter(None, self.mutant.split("+")) if MUTANTS[name].service == service]
            return Build(module=("tests.drills.mutants", "+".join(names))) if names else PRESENT

        return build

    @contextmanager
    def system(
        self, database: str = "", clock: str | None = None, edges: int = 2, *, tcp: bool = False,
        more: Sequence[str] = (),
    ) -> Iterator[Cluster]:  # fmt: skip
        """Starts the system under test. `database`: see the option of this name.

        `clock` is SERVICES=SECONDS@DELAY: the wall clocks of these services are SECONDS ahead. They are set so after
        DELAY seconds, or at the start without `@DELAY`.
        """
        program: tuple[str, ...] = UP
        if self.mutant:
            program = (sys.executable, "-m", "tests.drills.mutants", self.mutant, "up")
        if clock:
            program = (sys.executable, "-m", "tests.drills.wrong_clock", *clock.split("=", 1), "up")
        own = database == "postgresql"
        with postgresql_databases(self.directory) if own else nullcontext(database) as url:
            arguments = ["--no-limits", *(["--database", url] if url else [])]
            arguments += [*(["--tcp-port", str(free_ports(edges))] if tcp else []), *more]
            with Cluster(self.directory / "data", *arguments, edges=edges, program=program) as cluster:
                click.echo(f"{' '.join(cluster.edges)} {cluster.data}")
                yield cluster

    def report(
        self,
        recorded: DrillRecords,
        result: CheckResult,
        more: Callable[[RecordIndex], dict[str, float]] = lambda _: {},
    ) -> NoReturn:
        record_index = RecordIndex(recorded)
        figures = summary(record_index, result) | rolling.figures(record_index) | more(record_index)
        if self.keep or result.exit_status:
            (self.directory / "recorded.json").write_bytes(msgspec.json.encode(recorded))
            self._write(figures)
            click.echo(f"records and logs: {self.directory}")
            sys.exit(result.exit_status)
        self.end(figures)

    def end(self, figures: dict[str, Any]) -> NoReturn:
        """Reports figures, and keeps nothing else of the run."""
        shutil.rmtree(self.directory)
        self._write(figures)
        sys.exit([result.lower() for result in RESULTS].index(figures["result"]))

    def _write(self, figures: dict[str, Any]) -> None:
        click.echo(table(figures))
        if self.report_file is not None:
            self.report_file.write_bytes(msgspec.json.format(msgspec.json.encode(figures)) + b"\n")


def drill_command(
    group: click.Group, name: str, *, seed: str = "", json: bool = True, keep: bool = True
) -> Callable[[Callable[..., None]], click.Command]:
    """Makes a function a command of the group. The function gets the run as its first argument, before its own options.

    `seed` says which part of the drill depends on the seed, if any. `json` and `keep` say whether the command has these
    options.
    """

    def decorate(function: Callable[..., None]) -> click.Command:
        @wraps(function)
        def run(
            mutants: tuple[str, ...], report_file: Path | None = None, keep: bool = False, seed: int | None = None,
            **options: Any,
        ) -> None:  # fmt: skip
            configure_logging(LogSettings(level="error", json_lines=False), "drill")
            number = secrets.randbits(32) if seed is None else seed
            random.seed(number)
            directory = Path(tempfile.mkdtemp(prefix="dragoman-drill-"))
            directory.chmod(0o755)  # PostgreSQL runs as another user, which must be able to read it
            click.echo(f"seed {number} {directory}")
            function(DrillRun(directory, number, "+".join(mutants), report_file, keep), **options)

        command = click.command(name)(run)
        if seed:
            command.params.append(click.Option(["--seed"], type=int, help=f"{seed} Random by default."))
        command.params += [_BREAK, *([_JSON] if json else []), *([_KEEP] if keep else [])]
        group.add_command(command)
        return command

    return decorate
