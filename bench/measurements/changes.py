"""Operations of native users in pairs: the time of each, and the processor time of the system."""

import secrets
from typing import NamedTuple, get_args

from bench.load.protocol import ChangeKind, Changes, Job
from bench.measurements.measured import measured
from bench.report.progress import ProgressLine
from bench.report.result import Result
from bench.system.accounts import in_pairs, seated
from bench.system.system import MeasuredSystem

_CORES = "cores of "


class ChangesOptions(NamedTuple):
    """`people` users in pairs, one operation in flight for each pair. Each kind is measured for `seconds`."""

    people: int
    size: int
    warm_up: float
    seconds: float


async def changes(target: MeasuredSystem, show: ProgressLine, options: ChangesOptions) -> Result:
    """One kind of operation after the other. Raises BenchError, ClientError."""
    people = options.people // 2 * 2
    seats = await seated(target, show, ["native"] * people, in_pairs(people))

    async def measure(kind: ChangeKind) -> Result:
        job = Job(secrets.randbits(32), seats, Changes(kind, options.size, options.warm_up, options.seconds))
        return await measured(
            f"changes: {kind}", [job], target, show, options._asdict(), warm_up=options.warm_up,
            seconds=options.seconds,
        )  # fmt: skip

    return merged([(kind, await measure(kind)) for kind in get_args(ChangeKind)])


def merged(results: list[tuple[ChangeKind, Result]]) -> Result:
    """Pure. One result with the measures of all, and the processor time of an operation of each kind."""
    _, whole = results[0]
    whole.measurement, figures = "changes", dict[str, float]()
    for kind, result in results:
        figures |= _figures(kind, result)
        if result is not whole:
            whole.faults.merge(result.faults)
            whole.measures |= result.measures
            whole.passed = whole.passed and result.passed
    whole.figures = figures
    return whole


def _figures(kind: ChangeKind, result: Result) -> dict[str, float]:
    rate = result.figures.get(f"{kind}/s", 0.0)
    used = sum(cores for name, cores in result.figures.items() if name.startswith(_CORES))
    return {f"{kind}/s": rate} | ({f"µs of the system for each {kind}": round(used / rate * 1e6, 1)} if rate else {})
