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

_ANSWER_SECONDS = 3.0


@dataclass(frozen=True)
class Target:
    """A process and its operations port, as http://host:port."""

    name: str
    address: str


@dataclass(frozen=True)
class Seen:
    """`shown` is None when there was no answer, for the reason `silence`."""

    name: str
    shown: DashboardData | None = None
    silence: str = ""


def targets(run: Run | None, host: str, wanted: Sequence[str]) -> list[Target]:
    """Those wanted, by address or by name in the run; without any, all of the run. Raises KeyError for a name that is
    not there."""
    known = {one.name: f"http://{authority(host, one.ops)}" for one in run.processes if one.ops} if run else {}
    return [Target(one, one if "://" in one else known[one]) for one in wanted or known]


def look(at: Sequence[Target]) -> list[Seen]:
    """Ask all of them at the same time."""
    with ThreadPoolExecutor(max(1, len(at))) as pool:
        return list(pool.map(_ask, at))


def _ask(target: Target) -> Seen:
    where = urlsplit(target.address)
    client = http.client.HTTPConnection(where.hostname or "", where.port, timeout=_ANSWER_SECONDS)
    try:
        client.request("GET", "/board")
        answer = client.getresponse()
        if answer.status != http.HTTPStatus.OK:
            return Seen(target.name, silence=f"answers {answer.status}")
        return Seen(target.name, msgspec.json.decode(answer.read(), type=DashboardData))
    except (OSError, http.client.HTTPException, msgspec.MsgspecError) as error:
        return Seen(target.name, silence=str(error) or type(error).__name__)
    finally:
        client.close()
