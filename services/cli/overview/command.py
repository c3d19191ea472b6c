"""`dragoman dashboard` shows the whole system in a browser. With Compose and Kubernetes, no other process serves this
page."""

import asyncio
import contextlib
import socket
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

import click

from local.data import read_run
from local.installation import find, not_running
from local.options import OperatorError, data_option, flags_of, settings_options
from local.probes import reachable
from services.cli.console import default_option
from services.cli.overview.server import USER, DashboardServer
from services.cli.overview.system_view import Target
from services.cli.top.poller import addresses_of, ops_address
from shared.listening import listen
from shared.setting_types import check_host


@click.command(epilog="Example: dragoman dashboard http://edge:9000 http://message:9000 --config admin.toml")
@settings_options
@data_option
@default_option("--host", "127.0.0.1", "Address to listen on; whoever connects sees everything.")
@default_option("--port", 8090, "Port (0: any).", click.IntRange(0, 65535))
@click.argument("what", nargs=-1, type=ops_address, metavar="[ADDRESS]...")
def dashboard(
    file: Path | None, assignments: tuple[str, ...], data: Path | None, host: str, port: int, what: tuple[str, ...]
) -> None:
    """Show the dashboard of the whole system in a browser.

    ADDRESS is an operations port, as http://edge:9000: each address that the name has is a process. Without an address,
    the processes are those of the `dragoman up` in the data directory, which serves this page itself.
    """
    installation = find(file, assignments, flags_of(data=data))
    settings = installation.settings
    if not what and read_run(settings.data) is None:
        raise not_running(settings.data, "addresses of operations ports")

    def targets() -> Sequence[Target]:
        if what:
            return [Target(name, address) for one in what for name, address in _resolved(one)]
        known = addresses_of(read_run(settings.data), reachable(settings.ops.host), ())
        return [Target(one.name, one.address) for one in known]

    try:
        listeners = listen(check_host(host), port)
    except ValueError as error:
        raise OperatorError(f"--host {error}", "Give an address of this machine, such as 127.0.0.1") from error
    except OSError as error:
        raise OperatorError(
            f"{host}:{port} cannot be opened: {error.strerror or error}", "Give another by --host or --port (0: any)"
        ) from error

    async def serve() -> None:
        server = DashboardServer(targets, installation.broker(USER), settings.ops.allowed_hosts)
        await server.run(*listeners)

    click.echo(f"http://{host}:{listeners[0].getsockname()[1]}/")
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve())


def _resolved(address: str) -> list[tuple[str, str]]:
    """The name and address of each process to which a DNS name refers. A name that cannot be resolved yet is
    returned unchanged."""
    parts = urlsplit(address)
    host, port = parts.hostname or "", parts.port or 80
    try:
        found = sorted({entry[4][0] for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)})
    except OSError:
        return [(host, address)]
    if len(found) == 1:
        return [(host if port == 9000 else f"{host}:{port}", address)]
    return [(f"{host} {one}", f"http://[{one}]:{port}" if ":" in str(one) else f"http://{one}:{port}") for one in found]
