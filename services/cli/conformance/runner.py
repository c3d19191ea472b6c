"""Runs cases, several at a time: most of their time is waiting."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import NamedTuple

from services.cli.conformance.driver import DriverFault
from services.cli.conformance.trial import Case, CaseFailed, Trial


class CaseResult(NamedTuple):
    """`failure`: empty if the case has passed. `errors`: the last lines of the drivers' standard error."""

    case: Case
    failure: str
    errors: Sequence[str]


async def run_cases(
    cases: Sequence[Case], command: Sequence[str], seconds: float, at_once: int
) -> AsyncIterator[CaseResult]:
    """The results, as they come. `seconds`: that something expected may take."""
    places = asyncio.Semaphore(at_once)
    tasks = [asyncio.create_task(_run(case, command, seconds, places)) for case in cases]
    try:
        for result in asyncio.as_completed(tasks):
            yield await result
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _run(case: Case, command: Sequence[str], seconds: float, places: asyncio.Semaphore) -> CaseResult:
    async with places:
        trial = Trial(command, seconds)
        try:
            await trial.run(case.script)
        except (CaseFailed, DriverFault) as error:
            return CaseResult(case, str(error), trial.errors)
        return CaseResult(case, "", ())
