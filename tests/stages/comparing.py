"""Compares the cost of a message in two checkouts: `python -m tests.stages.comparing OTHER pairs --people 40`.

OTHER is another checkout. With `.`, it is this checkout, to compare options by `--here` and `--there`. Each checkout
needs `.venv/bin/dragoman`, which `./dev setup` makes there. The environments are used as they are, because `./dev` of
an older checkout would replace an environment that another lock has made.

The speed of a shared machine varies more than the speeds of two builds differ. So both builds are measured at the same
time under the same conditions. The ratio of their CPU times for a message then differs little between rounds. With
`--in-turns`, they are measured one after the other on an idle machine, and their latencies and rates are compared. If a
checkout has modules that `python -m deploy.compiled` has compiled from its present sources, these are measured, so
compile in both or in neither.
"""

import argparse
import shlex
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median

import msgspec

from bench.report.result import Result
from deploy.environment import process_variables

_CORES = "cores of "
_PRINT_COMPILED = "from deploy import compiled; print(compiled.find() or '')"
Costs = Mapping[str, float]
"""For each kind of process, the microseconds of CPU time for one delivered message; in turns, latencies in microseconds
and the rate."""
_MEDIAN, _RATE = "delivery p50", "delivered/s"


def costs(result: Result) -> Costs:
    """Returns the costs of one measurement.

    Replicas of a service count together, and `all` is the sum of all processes.
    """
    found: defaultdict[str, float] = defaultdict(float)
    for name, cores in result.figures.items():
        if name.startswith(_CORES):
            kind = name.removeprefix(_CORES).partition("-")[0]
            for one in (kind, "all"):
                found[one] += cores / result.figures[_RATE] * 1e6
    return found


def speeds(result: Result) -> Costs:
    """Returns the latency and the rate of one measurement."""
    delivery = result.measures["delivery"]
    latencies = {_MEDIAN: delivery.p50, "delivery p90": delivery.p90, "delivery p99": delivery.p99}
    return {**latencies, _RATE: result.figures[_RATE]}


def table(rounds: Sequence[tuple[Costs, Costs]]) -> str:
    """Returns a table. It has the median of each figure in both checkouts, and the ratio of the other checkout to this
    one.

    The table shows the median of the ratio, and the ratio of each round.
    """
    lines = [f"{'microseconds':<24}{'here':>8}{'there':>8}{'ratio':>8}  of each round"]
    for kind in rounds[0][0]:
        here, there = (median(one[kind] for one in side) for side in zip(*rounds, strict=True))
        ratios = [other[kind] / own[kind] for own, other in rounds if own[kind]]
        each = " ".join(f"{ratio:.2f}" for ratio in ratios)
        lines.append(f"{kind:<24}{here:>8.1f}{there:>8.1f}{median(ratios or [0.0]):>8.3f}  {each}")
    return "\n".join(lines)


def environment(checkout: Path) -> dict[str, str]:
    """The variables of a checkout's processes, as its `./dev` sets them: with the modules that were compiled from its
    present sources, if there are any. Raises OSError, subprocess.CalledProcessError."""
    directory = checkout / ".venv"
    variables = process_variables(directory)
    find: list[str | Path] = [directory / "bin" / "python", "-c", _PRINT_COMPILED]
    compiled = subprocess.run(find, cwd=checkout, env=variables, check=True, stdout=subprocess.PIPE, text=True).stdout
    return variables | ({"PYTHONPATH": compiled.strip()} if compiled.strip() else {})


def measure(commands: Sequence[tuple[Path, Sequence[str]]]) -> list[Result]:
    """Measures all checkouts at the same time, each with its options. Raises OSError, subprocess.CalledProcessError."""
    environments = [environment(checkout) for checkout, _ in commands]
    with tempfile.TemporaryDirectory(prefix="dragoman-comparing-") as place:
        files = [Path(place) / f"{number}.json" for number in range(len(commands))]
        running = [
            subprocess.Popen(
                [checkout / ".venv" / "bin" / "dragoman", "bench", *options, "--json", str(file)],
                cwd=checkout, env=variables, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )
            for (checkout, options), file, variables in zip(commands, files, environments, strict=True)
        ]  # fmt: skip
        for process in running:
            if status := process.wait():
                raise subprocess.CalledProcessError(status, process.args)
        return [msgspec.json.decode(file.read_bytes(), type=list[Result])[0] for file in files]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.stages.comparing", description=__doc__)
    parser.add_argument("other", type=Path, help="the other checkout")
    parser.add_argument("--rounds", type=int, default=4, help="default 4")
    parser.add_argument("--here", default="", metavar="OPTIONS", help="for this checkout alone")
    parser.add_argument("--there", default="", metavar="OPTIONS", help="for the other one alone")
    parser.add_argument("--in-turns", action="store_true", help="compare latencies and rates instead of CPU times")
    arguments, measurement = parser.parse_known_args()
    both = [(Path.cwd(), arguments.here), (arguments.other.absolute(), arguments.there)]
    for checkout, _ in both:
        if not (checkout / ".venv" / "bin" / "dragoman").exists():
            parser.error(f"{checkout} has no .venv/bin/dragoman: run ./dev setup there")
    commands = [(checkout, [*measurement, *shlex.split(options)]) for checkout, options in both]
    read, shown = (speeds, _MEDIAN) if arguments.in_turns else (costs, "all")
    rounds: list[tuple[Costs, Costs]] = []
    for number in range(arguments.rounds):
        # the order alternates, because the system that starts first has the machine to itself for a while
        turn = -1 if number % 2 else 1
        turns = [[one] for one in commands[::turn]] if arguments.in_turns else [commands[::turn]]
        found = [read(result) for some in turns for result in measure(some)]
        here, there = found[::turn]
        rounds.append((here, there))
        sys.stdout.write(f"round {number + 1}: {there[shown] / here[shown]:.3f}\n")
        sys.stdout.flush()
    sys.stdout.write(table(rounds) + "\n")


if __name__ == "__main__":
    main()
