"""What the processes of a run say to each other: a job down, then a word for each step; what came of it up."""

import msgspec

from bench.load.histogram import Histogram
from bench.load.verifier import Faults, SentCounts
from clients.codec.base import ClientAccount


class Seat(msgspec.Struct):
    """Somebody who connects; `edge` is an address, `chats` those whose messages must arrive here."""

    account: ClientAccount
    dialect: str
    edge: str
    chats: list[int] = []


class SenderPlan(msgspec.Struct):
    """Somebody who speaks in a chat. `number` is unique in the run, `seat` an index into the job's seats, `listeners`
    the seats of all processes that must hear it."""

    number: int
    seat: int
    chat: int
    listeners: int


class LoopPlan(msgspec.Struct):
    """Closed loop: of these voices (indices), `window` messages are under way at a time, each until all `listeners`
    in this process have heard it."""

    voices: list[int]
    window: int
    listeners: int


# Tasks


class Talk(msgspec.Struct, tag=True):
    """Everybody connects, then speaks: at `rate` messages a second altogether, or in closed loops where it is 0."""

    size: int
    warm_up: float
    seconds: float
    rate: float = 0.0
    loops: list[LoopPlan] = []


class LoginChurn(msgspec.Struct, tag=True):
    """Connections that log in and end, one after the other: `at_once` of them under way, in open loop (`rate`, a
    second) at most as many."""

    warm_up: float
    seconds: float
    at_once: int
    rate: float = 0.0


class PagedChat(msgspec.Struct):
    """A chat of so many messages, and the name under which its pages are measured."""

    name: str
    chat: int
    length: int


class HistoryPaging(msgspec.Struct, tag=True):
    """Every seat reads pages of `size` messages."""

    size: int
    warm_up: float
    seconds: float
    walks: list[PagedChat]


class Reconnect(msgspec.Struct, tag=True):
    """Everybody connects and is cut off; the voices of the run then speak, once they see nobody of their process
    connected any more, and everybody comes back for that message, at one of `edges`, the last of which fell. `cuts`:
    the connections are cut here, not by the death of their edge."""

    edges: list[str]
    seconds: float
    cuts: bool


class Mixed(msgspec.Struct, tag=True):
    """People speak (`rate` messages a second altogether, at random times), leave now and then (each so many
    times a minute) and come back after a while (`away` seconds, on average)."""

    size: int
    warm_up: float
    seconds: float
    rate: float
    leaves_per_minute: float
    away: float
    edges: list[str]


class Stage(msgspec.Struct):
    """`rate` messages a second for so many seconds."""

    seconds: float
    rate: float


class Stages(msgspec.Struct, tag=True):
    """Everybody connects, then speaks in open loop: at one rate after the other."""

    size: int
    stages: list[Stage]


Task = Talk | LoginChurn | HistoryPaging | Reconnect | Mixed | Stages


class Job(msgspec.Struct, tag=True):
    """A process's share. `chat_of` places all voices of the run; `at_once` logins are under way at a time."""

    run: int
    seats: list[Seat]
    task: Task
    voices: list[SenderPlan] = []
    chat_of: dict[int, int] = {}
    at_once: int = 8


# Words


class Start(msgspec.Struct, tag=True):
    """Start at this time of the monotonic clock, in nanoseconds: the same for all processes."""

    at: int


class Stop(msgspec.Struct, tag=True):
    """Nothing more is expected."""


class Reconcile(msgspec.Struct, tag=True):
    """What all voices of the run have said."""

    spoken: SentCounts


Order = Job | Start | Stop | Reconcile


class Ready(msgspec.Struct, tag=True):
    """Everybody is there."""


class Progress(msgspec.Struct, tag=True):
    """So far. `expected` counts deliveries of what was said; `over`: the load has ended."""

    done: int = 0
    expected: int = 0
    delivered: int = 0
    waiting: int = 0
    """Without an answer yet."""
    over: bool = False


class SentReport(msgspec.Struct, tag=True):
    spoken: SentCounts


class Totals(msgspec.Struct, tag=True):
    """What a process has counted. `series`: microseconds by name and second; `counts`: while it was measured;
    `cores`: the processors used meanwhile."""

    faults: Faults
    series: dict[str, dict[int, Histogram]] = {}
    counts: dict[str, int] = {}
    refusals: dict[str, int] = {}
    cores: float = 0.0


class Failed(msgspec.Struct, tag=True):
    """It cannot go on, in a sentence."""

    reason: str


Report = Ready | Progress | SentReport | Totals | Failed
