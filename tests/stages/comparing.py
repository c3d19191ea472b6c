"""`python -m tests.stages.comparing OTHER pairs --people 40`: the cost of a message in this checkout and in another
one.

The speed of a shared machine changes by more than two builds differ. So both builds are measured at the same time,
under the same conditions, and the ratio of their CPU times for a message differs little between rounds. OTHER is a
checkout after `./dev setup`, or `.`, to compare options by `--here` and `--there`. A checkout with a compiled edge
(`python -m deploy.compiled`) is measured with it, so compile both or neither.
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

_CORES = "cores of "
Costs = Mapping[str, float]
"""Microseconds of CPU time for each delivered message, by kind of process."""


def costs(result: Result) -> Costs:
    """Replicas count together; `all` is the sum."""
    found: defaultdict[str, float] = defaultdict(float)
    for name, cores in result.figures.items():
        if name.startswith(_CORES):
            kind = name.removeprefix(_CORES).partition("-")[0]
            for one in (kind, "all"):
                found[one] += cores / result.figures["delivered/s"] * 1e6
    return found


def table(rounds: Sequence[tuple[Costs, Costs]]) -> str:
    """The median costs of each kind in both checkouts, and the ratio of the other checkout to this one: the median of
    all rounds, and the ratio of each round."""
    lines = [f"{'microseconds a message':<24}{'here':>8}{'there':>8}{'ratio':>8}  of each round"]
    for kind in rounds[0][0]:
        here, there = (median(one[kind] for one in side) for side in zip(*rounds, strict=True))
        ratios = [other[kind] / own[kind] for own, other in rounds if own[kind]]
        each = " ".join(f"{ratio:.2f}" for ratio in ratios)
        lines.append(f"{kind:<24}{here:>8.1f}{there:>8.1f}{median(ratios or [0.0]):>8.3f}  {each}")
    return "\n".join(lines)


def measure(commands: Sequence[tuple[Path, Sequence[str]]]) -> list[Costs]:
    """The measurement of each checkout with its options, all at the same time. Raises subprocess.CalledProcessError."""
    with tempfile.TemporaryDirectory(prefix="dragoman-comparing-") as place:
        files = [Path(place) / f"{number}.json" for number in range(len(commands))]
        running = [
            subprocess.Popen(
                [checkout / "dev", "bench", *options, "--json", str(file)],
                cwd=checkout, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )
            for (checkout, options), file in zip(commands, files, strict=True)
        ]  # fmt: skip
        for process in running:
            if status := process.wait():
                raise subprocess.CalledProcessError(status, process.args)
        return [costs(msgspec.json.decode(file.read_bytes(), type=list[Result])[0]) for file in files]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.stages.comparing", description=__doc__)
    parser.add_argument("other", type=Path, help="the other checkout")
    parser.add_argument("--rounds", type=int, default=4, help="default 4")
    parser.add_argument("--here", default="", metavar="OPTIONS", help="for this checkout alone")
    parser.add_argument("--there", default="", metavar="OPTIONS", help="for the other one alone")
    arguments, measurement = parser.parse_known_args()
    both = [(Path.cwd(), arguments.here), (arguments.other.absolute(), arguments.there)]
    commands = [(checkout, [*measurement, *shlex.split(options)]) for checkout, options in both]
    rounds: list[tuple[Costs, Costs]] = []
    for number in range(arguments.rounds):
        turn = -1 if number % 2 else 1  # the first system to start has the machine to itself, so the order alternates
        here, there = measure(commands[::turn])[::turn]
        rounds.append((here, there))
        sys.stdout.write(f"round {number + 1}: {there['all'] / here['all']:.3f}\n")
        sys.stdout.flush()
    sys.stdout.write(table(rounds) + "\n")


if __name__ == "__main__":
    main()
