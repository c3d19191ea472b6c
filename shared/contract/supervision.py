"""The requests of edges to the supervisor of `dragoman up`, for the first page: a line of JSON each way, over
loopback."""

from typing import Literal

import msgspec

LINE_BYTES = 64 * 1024


class SystemRequest(msgspec.Struct, omit_defaults=True):
    """Describes the processes. With `kill`, first kills that process; with `chat`, finds the message path of the chat's
    last message. Both need `token`."""

    kill: str = ""
    token: str = ""
    chat: int = 0

    def __repr__(self) -> str:
        return f"SystemRequest(kill={self.kill!r}, chat={self.chat})"


class MessageTimes(msgspec.Struct, frozen=True, kw_only=True):
    """The times on one message's path, by the clocks of the processes, in Unix milliseconds; 0: unknown. `arrivals`:
    the edges that got it, and when. `confirmed`: how many of the `recipients` have got it for certain."""

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
    the port for plain TCP. `ops`: the port of the status page. 0: there is no such port."""

    name: str
    ready: bool
    starts: int
    ops: int = 0
    port: int = 0
    tcp_port: int = 0


class SystemState(msgspec.Struct, frozen=True):
    """`error`: why nothing was killed or found. `ready_seconds`: from the start until all processes were ready, 0
    before. `dashboard`: the port of the dashboard on loopback, or 0."""

    processes: list[SystemProcess]
    ready_seconds: float = 0.0
    error: Literal["", "token", "process"] = ""
    dashboard: int = 0
    way: MessageTimes | None = None
