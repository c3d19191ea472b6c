"""`dragoman doctor`: prints one line for each check of an installation."""

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from local.options import data_option, flags_of, settings_options

if TYPE_CHECKING:
    from services.cli.doctor.finding import Finding

_PROCESSES = ("auth", "session", "message", "search", "edge")
_SIGN = {True: "✓", False: "✗", None: "-"}
_PLAIN_SIGN = {True: "+", False: "x", None: "-"}
"""Where the encoding of the output lacks the others."""


@click.command()
@settings_options
@data_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.argument("services", metavar="[SERVICE]...", nargs=-1, type=click.Choice(_PROCESSES))
def doctor(
    file: Path | None, assignments: tuple[str, ...], data: Path | None, as_json: bool, services: tuple[str, ...]
) -> None:
    """Check an installation: settings, servers and rights, databases, clocks, disks, secrets.

    SERVICE limits the checks to what these processes need. Each failed check names a remedy; the exit status is then 1.
    Nothing is changed.
    """
    from local.installation import find
    from services.cli.admin import format
    from services.cli.doctor.checks import check_installation
    from services.cli.plain_logs import configure_plain_logs

    installation = find(file, assignments, flags_of(data=data))
    configure_plain_logs()
    found = asyncio.run(check_installation(installation, services or _PROCESSES))
    click.echo(format.as_json(found) if as_json else _page(found))
    sys.exit(1 if any(finding.good is False for finding in found) else 0)


def _page(found: "list[Finding]") -> str:
    sign = _SIGN if _has_signs(sys.stdout.encoding) else _PLAIN_SIGN
    width = max(len(finding.what) for finding in found)
    return "\n".join(f"{sign[finding.good]} {finding.what:<{width}}  {finding.text}" for finding in found)


def _has_signs(encoding: str) -> bool:
    try:
        "".join(_SIGN.values()).encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return False
    return True
