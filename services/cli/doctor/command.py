"""`dragoman doctor`: runs all checks of an installation concurrently, and prints a line for each in a fixed order."""

import asyncio
import sys
from collections.abc import Coroutine, Sequence
from datetime import UTC, datetime
from ipaddress import IPv4Network, IPv6Network, collapse_addresses, ip_network
from pathlib import Path
from typing import Any

import click

from local.installation import Installation, Server, find_existing, not_running
from local.nats import SETUP
from local.options import OperatorError, data_option, require_public_url, settings_options
from local.up_plan import SERVICES
from services.cli.admin import format
from services.cli.certificates import describe_expiry
from services.cli.console import configure_plain_logs
from services.cli.doctor import broker, machine, push, stores
from services.cli.doctor.finding import Finding, failed, ok
from shared.settings.edge import EdgeSettings

_PROCESSES = ("auth", "session", "message", "search", "edge")
_WITHOUT_VALKEY = {"search"}
_SIGN = {True: "✓", False: "✗", None: "-"}
_PLAIN_SIGN = {True: "+", False: "x", None: "-"}
"""The signs for outputs whose encoding lacks the usual signs."""


@click.command()
@settings_options
@data_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.argument("services", metavar="[SERVICE]...", nargs=-1, type=click.Choice(_PROCESSES))
def doctor(
    file: Path | None, assignments: tuple[str, ...], data: Path | None, as_json: bool, services: tuple[str, ...]
) -> None:
    """Check an installation, and name a remedy for each fault.

    The checks cover settings, servers and permissions, databases, clocks, disks and secrets. SERVICE limits the checks
    to the needs of these processes. Each failed check names a remedy; the exit status is then 1. Nothing is changed.
    """
    installation = find_existing(file, assignments, data)
    configure_plain_logs()
    found = asyncio.run(_check_installation(installation, services or _PROCESSES))
    click.echo(format.json(found) if as_json else _page(found))
    sys.exit(1 if any(finding.good is False for finding in found) else 0)


def _page(found: list[Finding]) -> str:
    sign = _SIGN if _has_signs(sys.stdout.encoding) else _PLAIN_SIGN
    width = max(len(finding.what) for finding in found)
    return "\n".join(f"{sign[finding.good]} {finding.what:<{width}}  {finding.text}" for finding in found)


def _has_signs(encoding: str) -> bool:
    try:
        "".join(_SIGN.values()).encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return False
    return True


async def _check_installation(installation: Installation, processes: Sequence[str]) -> list[Finding]:
    """Check an installation, and what these processes need."""
    settings = installation.settings
    brokers = installation.brokers()
    checks: list[Coroutine[Any, Any, list[Finding]]] = [broker.check(one, installation.nats_server) for one in brokers]
    if set(processes) - _WITHOUT_VALKEY:
        checks += [stores.valkey(user, one, installation.valkey_server) for user, one in installation.valkeys().items()]
    checks += [asyncio.to_thread(stores.database, one, settings) for one in processes if one in SERVICES]
    if set(processes) >= set(SERVICES):
        checks.append(asyncio.to_thread(stores.together, settings))
    if settings.mail.smtp_host and "auth" in processes:
        checks.append(stores.mail_server(settings.mail))
    if settings.media.bucket_url and "edge" in processes:
        checks.append(stores.bucket(settings.media))
    checks.append(asyncio.to_thread(machine.check, settings, processes))
    if "session" in processes:
        checks.append(push.check(settings, makes_key=installation.nats_server is not Server.ELSEWHERE))
    found = [
        _settings(installation),
        *_system(installation, processes),
        *(finding for group in await asyncio.gather(*checks) for finding in group),
    ]
    if "edge" in processes:
        found.append(trusted_proxies(settings.edge))
        if settings.edge.tls_certificate:
            found.append(certificate(Path(settings.edge.tls_certificate), datetime.now(UTC)))
    return found if SETUP in [one.user for one in brokers] else [*found, broker.unknown_streams()]


def _settings(installation: Installation) -> Finding:
    try:
        require_public_url(installation.settings)
    except OperatorError as error:
        return failed("settings", "incomplete", error.message)
    number = len(installation.sources)
    changed = f"{number} setting{'' if number == 1 else 's'} changed" if number else "nothing changed"
    return ok("settings", f"{changed}, the others are defaults; `dragoman config` lists them")


def _system(installation: Installation, processes: Sequence[str]) -> list[Finding]:
    """Checks that all servers are known. A server that no setting names must be run by the `dragoman up` in the data
    directory."""
    servers = {"nats.url": installation.nats_server}
    if set(processes) - _WITHOUT_VALKEY:
        servers["redis.url"] = installation.valkey_server
    missing = " and ".join(name for name, server in servers.items() if server is Server.NOWHERE)
    if not missing:
        return []
    error = not_running(installation.settings.data, f"servers by {missing}")
    return [failed("system", error.problem, error.remedy)]


def certificate(file: Path, now: datetime) -> Finding:
    """Checks the certificate that clients see. The check of the settings finds out whether the key belongs to it."""
    try:
        wrong = describe_expiry(file, now)
    except (OSError, ValueError) as error:
        return failed("certificate", f"{file} cannot be read ({error})", "set edge.tls_certificate")
    if wrong:
        return failed("certificate", f"{file} {wrong}", "renew it: edges read it within five seconds")
    return ok("certificate", f"{file} is valid for at least two weeks")


def trusted_proxies(edge: EdgeSettings) -> Finding:
    """Checks whether the networks of trusted proxies are plausible. Only the log of the edge shows which proxies
    exist."""
    if everyone := _everyone(edge.trusted_proxies):
        wrong = f"edge.trusted_proxies covers all addresses ({everyone}), so any client can forge its address"
        return failed("proxies", wrong, "name only the networks of your proxies")
    if not edge.trusted_proxies and edge.has_https and not edge.tls_certificate:
        wrong = "edge.public_url is https, but the edge has no TLS and trusts no proxy that could provide it"
        return failed(
            "proxies", wrong, "name the proxy in edge.trusted_proxies, otherwise all its clients count as one"
        )
    trusted = ", ".join(edge.trusted_proxies)
    return ok(
        "proxies",
        f"{trusted} may set clients' addresses" if trusted else "no proxy is trusted: clients connect directly",
    )


def _everyone(names: Sequence[str]) -> str:
    """The network of all IPv4 or all IPv6 addresses if these networks together cover it; otherwise empty."""
    networks = [ip_network(name, strict=False) for name in names]
    versions = (
        collapse_addresses(one for one in networks if isinstance(one, IPv4Network)),
        collapse_addresses(one for one in networks if isinstance(one, IPv6Network)),
    )
    return ", ".join(str(one) for version in versions for one in version if not one.prefixlen)
