"""Requests of edges to the supervisor of `dragoman up`, for the first page: a line of JSON each way, over loopback."""

from typing import Literal

import msgspec

LINE_BYTES = 64 * 1024


class SystemRequest(msgspec.Struct, omit_defaults=True):
    """Describes the processes. With `kill`, kills that process first; with `chat`, finds the way of the chat's last
    message. `token` permits both."""

    kill: str = ""
    token: str = ""
    chat: int = 0

    def __repr__(self) -> str:
        return f"SystemRequest(kill={self.kill!r}, chat={self.chat})"


class MessageTimes(msgspec.Struct, frozen=True, kw_only=True):
    """The way of one message by the clocks of its processes, Unix milliseconds; 0: not known. `arrivals`: edges that
    got it, and when. `confirmed`: recipients at which it is known to have arrived, of `recipients`."""

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
    """A supervised process. `starts`: how often it was started. `port`: for clients by WebSocket; `tcp_port`: by plain
    TCP; `ops`: its operations page. 0 if it serves none."""

    name: str
    ready: bool
    starts: int
    ops: int = 0
    port: int = 0
    tcp_port: int = 0


class SystemState(msgspec.Struct, frozen=True):
    """`error`: why nothing was killed or found. `ready_seconds`: from the start until all processes were ready, 0
    before. `dashboard`: port of the dashboard on loopback, 0 if there is none."""

    processes: list[SystemProcess]
    ready_seconds: float = 0.0
    error: Literal["", "token", "process"] = ""
    dashboard: int = 0
    way: MessageTimes | None = None
