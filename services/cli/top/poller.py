"""Asking processes how they are."""

import http.client
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from urllib.parse import urlsplit

import msgspec

from services.cli.data import Run
from services.cli.up_plan import authority
from shared.dashboard.history import DashboardData

_REPLY_SECONDS = 3.0


@dataclass(frozen=True)
class OpsAddress:
    """A process and its operations port, as http://host:port."""

    name: str
    address: str


@dataclass(frozen=True)
class ProcessState:
    """`shown` is None when there was no answer, for the reason `silence`."""

    name: str
    dashboard: DashboardData | None = None
    error: str = ""


def addresses_of(run: Run | None, host: str, wanted: Sequence[str]) -> list[OpsAddress]:
    """Those wanted, by address or by name in the run; without any, all of the run. Raises KeyError for a name that is
    not there."""
    known = {one.name: f"http://{authority(host, one.ops)}" for one in run.processes if one.ops} if run else {}
    return [OpsAddress(one, one if "://" in one else known[one]) for one in wanted or known]


def poll(at: Sequence[OpsAddress]) -> list[ProcessState]:
    """Ask all of them at the same time."""
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
        return ProcessState(target.name, msgspec.json.decode(answer.read(), type=DashboardData))
    except (OSError, http.client.HTTPException, msgspec.MsgspecError) as error:
        return ProcessState(target.name, error=str(error) or type(error).__name__)
    finally:
        client.close()
