"""Requests the dashboards of all processes at intervals."""

import http.client
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from urllib.parse import urlsplit

import click
import msgspec

from local.data import Run
from local.up_plan import authority
from shared.dashboard.history import DashboardData
from shared.setting_types import check_host

_REPLY_SECONDS = 3.0
_decode = msgspec.json.Decoder(DashboardData).decode
"""The decoder is made before threads use it: msgspec 0.22 crashes if two threads decode a type for the first time."""


@dataclass(frozen=True)
class OpsAddress:
    """The operations port of a process, as http://host:port."""

    name: str
    address: str


@dataclass(frozen=True)
class ProcessState:
    """The result of a poll. `dashboard` is None if the poll failed; `error` then has the reason."""

    name: str
    dashboard: DashboardData | None = None
    error: str = ""


def ops_address(text: str) -> str:
    """Checks an address of an operations port, which is an argument of a command. Raises click.BadParameter."""
    try:
        where = urlsplit(text)
        # the name is encoded, because the parts between its dots have limits
        is_valid = where.scheme == "http" and where.port != 0 and check_host(where.hostname or "").encode("idna")
    except ValueError:
        is_valid = False
    if not is_valid:
        raise click.BadParameter(f"{text!r} is no address of an operations port, such as http://edge:9000")
    return text


def addresses_of(run: Run | None, host: str, wanted: Sequence[str]) -> list[OpsAddress]:
    """The addresses of the wanted processes. A process is named by its address, or by its name in `run`. If `wanted` is
    empty, all processes of the run are returned. Raises KeyError for an unknown name."""
    known = {one.name: f"http://{authority(host, one.ops)}" for one in run.processes if one.ops} if run else {}
    return [OpsAddress(one, one if "://" in one else known[one]) for one in wanted or known]


def poll(at: Sequence[OpsAddress]) -> list[ProcessState]:
    """Poll all processes concurrently."""
    with ThreadPoolExecutor(max(1, len(at))) as pool:
        return list(pool.map(_poll_one, at))


def _poll_one(target: OpsAddress) -> ProcessState:
    where = urlsplit(target.address)
    client = http.client.HTTPConnection(where.hostname or "", where.port, timeout=_REPLY_SECONDS)
    try:
        client.request("GET", "/board")
        answer = client.getresponse()
        if answer.status != http.HTTPStatus.OK:
            return ProcessState(target.name, error=f"answers {answer.status}")
        return ProcessState(target.name, _decode(answer.read()))
    except (OSError, http.client.HTTPException, msgspec.MsgspecError) as error:
        return ProcessState(target.name, error=str(error) or type(error).__name__)
    finally:
        client.close()
