"""Runs all checks concurrently and returns their findings in a fixed order."""

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any

from services.cli.doctor import broker, machine, stores
from services.cli.doctor.finding import Finding, failed, ok
from services.cli.embedded.nats import SETUP
from services.cli.installation import Installation
from services.cli.options import OperatorError, require_public_url
from services.cli.up_plan import SERVICES


async def check_installation(installation: Installation, processes: Sequence[str]) -> list[Finding]:
    """Check an installation, and all that these processes need."""
    settings = installation.settings
    brokers = installation.brokers()
    checks: list[Coroutine[Any, Any, list[Finding]]] = [broker.check(one) for one in brokers]
    checks += [stores.valkey(user, one) for user, one in installation.valkeys().items()]
    checks += [asyncio.to_thread(stores.database, one, settings) for one in processes if one in SERVICES]
    if settings.mail.smtp_host and "auth" in processes:
        checks.append(stores.mail_server(settings.mail))
    if settings.media.bucket_url and "edge" in processes:
        checks.append(stores.bucket(settings.media))
    checks.append(asyncio.to_thread(machine.check, settings, processes))
    found = [_settings(installation), *(finding for group in await asyncio.gather(*checks) for finding in group)]
    return found if SETUP in [one.user for one in brokers] else [*found, broker.unknown_streams()]


def _settings(installation: Installation) -> Finding:
    try:
        require_public_url(installation.settings)
    except OperatorError as error:
        return failed("settings", "incomplete", error.message)
    number = len(installation.sources)
    changed = f"{number} setting{'' if number == 1 else 's'} changed" if number else "nothing changed"
    return ok("settings", f"{changed}, the others are defaults; `dragoman config` lists them")
