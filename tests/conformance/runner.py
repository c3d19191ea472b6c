"""Runs several cases at the same time, because a case mostly waits."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import NamedTuple

from tests.conformance.case_run import CaseFailed, CaseRun, ClientCase
from tests.conformance.driver import DriverFault


class CaseResult(NamedTuple):
    """The result of a case.

    `failure` is empty if the case has passed. `errors` are the last lines of the drivers' standard error.
    """

    case: ClientCase
    failure: str
    errors: Sequence[str]


async def run_cases(
    cases: Sequence[ClientCase], command: Sequence[str], seconds: float, at_once: int
) -> AsyncIterator[CaseResult]:
    """Runs the cases, and yields each result as soon as it is there.

    `seconds` is the time limit for each expected event.
    """
    places = asyncio.Semaphore(at_once)
    tasks = [asyncio.create_task(_run(case, command, seconds, places)) for case in cases]
    try:
        for result in asyncio.as_completed(tasks):
            yield await result
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _run(case: ClientCase, command: Sequence[str], seconds: float, places: asyncio.Semaphore) -> CaseResult:
    async with places:
        case_run = CaseRun(command, seconds)
        try:
            await case_run.run(case.script)
        except (CaseFailed, DriverFault) as error:
            return CaseResult(case, str(error), case_run.errors)
        return CaseResult(case, "", ())
