"""The command `./dev stages`.

It measures each stage of a message's path, and compares the times with results in the repository.
"""

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

from bench.measurements.measured import machine
from local.process_group import ProcessGroup
from shared.settings.servers import LogSettings
from shared.telemetry import configure_logging
from tests.stages.report import Results, store, stored, table
from tests.stages.stages import stages
from tests.stages.timing import microseconds
from tests.support.servers import NatsServer, ValkeyServer


async def measure(seconds: float, only: str) -> Results:
    """Measures the stages whose name contains `only`, each for `seconds`."""
    results = Results(machine(), {})
    with tempfile.TemporaryDirectory(prefix="dragoman-stages-") as place, ProcessGroup() as process_group:
        directory = Path(place)
        nats, valkey = NatsServer(directory / "nats", process_group), ValkeyServer(directory / "valkey", process_group)
        try:
            await nats.make_fresh()
            valkey.make_fresh()
            for name, stage in stages(directory, nats, valkey).items():
                if only in name:
                    async with stage as work:
                        results.stages[name] = await microseconds(work, seconds)
        finally:
            nats.stop()
            valkey.stop()
    return results


def main() -> None:
    parser = argparse.ArgumentParser(prog="./dev stages", description=__doc__)
    parser.add_argument("--seconds", type=float, default=2.0, help="for each stage (default 2)")
    parser.add_argument("--only", default="", metavar="WORD", help="stages with this word in their name")
    parser.add_argument("--store", action="store_true", help="store these results for later comparisons")
    options = parser.parse_args()
    configure_logging(LogSettings(level="warning", json_lines=False), "bench")
    results = asyncio.run(measure(options.seconds, options.only))
    sys.stdout.write(table(results, stored()) + "\n")
    if options.store:
        store(results)


if __name__ == "__main__":
    main()
