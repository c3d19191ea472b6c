"""`dragoman conformance`: whether a client of the dialect native is right. Its parts are imported on use, as every
process imports this."""

import asyncio
import sys
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from services.cli.conformance.runner import CaseResult
    from services.cli.conformance.trial import Case

_FAILED = 1


@click.command(context_settings={"ignore_unknown_options": True})
@click.option("--only", "names", multiple=True, metavar="CASE", help="Run this case; repeatable.")
@click.option("--list", "lists", is_flag=True, help="List the cases.")
@click.option(
    "--wait", default=20.0, show_default=True, type=click.FloatRange(1, 600), help="Seconds for what must come."
)
@click.option("--jobs", default=4, show_default=True, type=click.IntRange(1, 64), help="Cases at the same time.")
@click.argument("command", metavar="[DRIVER [ARGUMENT]...]", nargs=-1, type=click.UNPROCESSED)
def conformance(names: tuple[str, ...], lists: bool, wait: float, jobs: int, command: tuple[str, ...]) -> None:
    """Check a client of the protocol native against a scripted server.

    DRIVER is a program of the client's author. It reads steps from its standard input and writes what the client gives
    to its user, as lines of JSON; docs/conformance.md describes both. It is started for each case, with the address of
    a server on this machine. The exit status is 1 when a case fails.

    \b
        dragoman conformance -- node clients/javascript/conformance.mjs
        dragoman conformance --only hole --only resume -- python -m clients.conformance
    """
    from services.cli.conformance.cases import CASES

    by_name = {case.name: case for case in CASES}
    if unknown := [name for name in names if name not in by_name]:
        raise click.UsageError(f"there is no case {unknown[0]}; --list lists them")
    chosen = [by_name[name] for name in dict.fromkeys(names)] or list(CASES)
    if lists:
        return _show(chosen)
    if not command:
        raise click.UsageError("DRIVER is missing: the program that runs the client")
    if asyncio.run(_run(chosen, command, wait, jobs)):
        sys.exit(_FAILED)


def _show(cases: "list[Case]") -> None:
    width = max(len(case.name) for case in cases)
    for case in cases:
        click.echo(f"{case.name:<{width}}  {case.text}")


async def _run(cases: "list[Case]", command: tuple[str, ...], wait: float, jobs: int) -> int:
    """The number of cases that have failed."""
    from services.cli.conformance.runner import run_cases

    width, failed = max(len(case.name) for case in cases), 0
    async for result in run_cases(cases, command, wait, jobs):
        failed += bool(result.failure)
        click.echo(_line(result, width))
    click.echo(f"{len(cases) - failed} of {len(cases)} cases passed")
    return failed


def _line(result: "CaseResult", width: int) -> str:
    if not result.failure:
        return f"✓ {result.case.name:<{width}}  {result.case.text}"
    lines = [f"✗ {result.case.name:<{width}}  {result.failure}", *(f"    {line}" for line in result.errors)]
    return "\n".join(lines)
