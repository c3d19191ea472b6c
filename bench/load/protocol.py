"""The messages between the command and its worker processes. A worker gets a job and orders, and sends reports."""

import msgspec

from bench.load.histogram import Histogram
from bench.load.verifier import Faults, SentCounts
from dragoman_client.codec.base import ClientAccount


class Seat(msgspec.Struct):
    """One client connection of the load. `edge`: the address of its edge. Messages of `chats` must arrive on this
    connection."""

    account: ClientAccount
    dialect: str
    edge: str
    chats: list[int] = []


class SenderPlan(msgspec.Struct):
    """A sender in a chat. `number` is unique in the run. `seat` is an index into the seats of the job. `listeners`: the
    number of seats, in all processes, that must receive its messages."""

    number: int
    seat: int
    chat: int
    listeners: int


class LoopPlan(msgspec.Struct):
    """A closed loop. `senders` (indexes) keep `window` messages in flight. A message is complete when all `listeners`
    in this process have received it."""

    senders: list[int]
    window: int
    listeners: int


# Tasks


class RateStep(msgspec.Struct):
    """Send `rate` messages a second for `seconds`."""

    seconds: float
    rate: float


class Talk(msgspec.Struct, tag=True):
    """All seats connect. They then send in closed loops, and in an open loop with the rate of one step after the
    other."""

    size: int
    warm_up: float
    seconds: float
    steps: list[RateStep]
    loops: list[LoopPlan]


class LoginChurn(msgspec.Struct, tag=True):
    """Connections log in and close again. In a closed loop, `at_once` logins are in flight. In an open loop, there are
    `rate` logins a second, and at most `at_once` in flight."""

    warm_up: float
    seconds: float
    at_once: int
    rate: float = 0.0


class PagedChat(msgspec.Struct):
    """A chat of `length` messages. `name`: the name under which requests for its pages are recorded."""

    name: str
    chat: int
    length: int


class HistoryPaging(msgspec.Struct, tag=True):
    """Every seat requests pages of `size` messages."""

    size: int
    warm_up: float
    seconds: float
    paged_chats: list[PagedChat]


class Reconnect(msgspec.Struct, tag=True):
    """All seats connect and lose their connections. The senders send one message when all seats of their process are
    disconnected. Each seat then reconnects to one of `edges`, and must receive the message. The last of `edges` is the
    edge that has failed. `cuts`: whether the worker itself aborts the connections, and no edge is killed. `all_edges`:
    whether all edges fail, so that the senders lose their connections, too."""

    edges: list[str]
    seconds: float
    cuts: bool
    all_edges: bool = False


Task = Talk | LoginChurn | HistoryPaging | Reconnect


class Job(msgspec.Struct, tag=True):
    """The work of one worker process. `chat_of`: the chat of every sender of the run. `at_once`: the number of logins
    in flight."""

    run: int
    seats: list[Seat]
    task: Task
    senders: list[SenderPlan] = []
    chat_of: dict[int, int] = {}
    at_once: int = 8


# Orders and reports


class Start(msgspec.Struct, tag=True):
    """Start the load at this time of the monotonic clock, in nanoseconds. The time is the same for all processes."""

    at: int


class Stop(msgspec.Struct, tag=True):
    """Stop waiting for deliveries."""


class Reconcile(msgspec.Struct, tag=True):
    """The messages that all processes have sent. The worker searches for lost messages."""

    sent_counts: SentCounts


Order = Job | Start | Stop | Reconcile


class Ready(msgspec.Struct, tag=True):
    """All seats of the process are connected."""


class Progress(msgspec.Struct, tag=True):
    """The counts so far. `expected`: the deliveries of the messages that were sent. `over`: whether the load has
    ended."""

    done: int = 0
    expected: int = 0
    delivered: int = 0
    waiting: int = 0
    """The number of messages without a reply."""
    over: bool = False


class SentReport(msgspec.Struct, tag=True):
    sent_counts: SentCounts


class Totals(msgspec.Struct, tag=True):
    """The measurements of one process. `series`: latencies in microseconds, by name and second. `counts` and `cores`
    (used CPU cores) are those of the measured time."""

    faults: Faults
    series: dict[str, dict[int, Histogram]] = {}
    counts: dict[str, int] = {}
    rejections: dict[str, int] = {}
    cores: float = 0.0


class Failed(msgspec.Struct, tag=True):
    """The worker cannot continue. `reason` is shown to the user."""

    reason: str


Report = Ready | Progress | SentReport | Totals | Failed
