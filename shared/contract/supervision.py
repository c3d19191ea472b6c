"""The requests of edges to the supervisor of `dragoman up`, for the first page. A request and its reply are each a line
of JSON, over the loopback interface."""

from typing import Literal

import msgspec

from shared.contract.model import Confidential

LINE_BYTES = 64 * 1024


class SystemRequest(Confidential, msgspec.Struct, omit_defaults=True):
    """Describes the processes. With `kill`, that process is killed first. With `chat`, the path of the chat's last
    message is found. Both need the `token`."""

    kill: str = ""
    token: str = ""
    chat: int = 0


class MessageTimes(msgspec.Struct, frozen=True, kw_only=True):
    """The times on one message's path, by the clocks of the processes, in Unix milliseconds; 0 if unknown. `arrivals`:
    the edges that got the message, with the times. `confirmed`: how many of the `recipients` have confirmed the
    delivery."""

    index: int
    trace: str
    accepted_by: str
    accepted: int
    committed: int
    acknowledged: int
    arrivals: list[tuple[str, int]]
    confirmed: int
    recipients: int


class SystemProcess(msgspec.Struct, frozen=True):
    """A supervised process. `starts`: how often it was started. `port`: the clients' port for WebSocket. `tcp_port`:
    the clients' port for plain TCP. `ops`: the port of the status page. A port is 0 if there is none."""

    name: str
    ready: bool
    starts: int
    ops: int = 0
    port: int = 0
    tcp_port: int = 0


class SystemState(msgspec.Struct, frozen=True):
    """`error`: the reason why nothing was killed or found. `ready_seconds`: the time from the start until all processes
    were ready; 0 before. `dashboard`: the port of the dashboard on the loopback interface, or 0."""

    processes: list[SystemProcess]
    ready_seconds: float = 0.0
    error: Literal["", "token", "process"] = ""
    dashboard: int = 0
    way: MessageTimes | None = None
