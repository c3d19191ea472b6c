"""The fuzz drill: clients of every dialect send mutated frames, over WebSocket and TCP, before and after a login.

Ordinary users must not notice this.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count, product

import msgspec

from bench.system.accounts import Registrar
from dragoman_client.aio import AsyncConnection, AsyncWebSocket, NullListener, connect
from dragoman_client.codec import CODECS
from dragoman_client.codec.base import ClientAccount, Codec
from dragoman_client.codec.events import ClientEvent, OtherFrame
from services.edge.canonical.frames import Binary, Frame
from tests.drills.drill import Drill
from tests.drills.fuzzed_frames import FrameMutator
from tests.drills.record_index import RecordIndex
from tests.drills.records import ChatAnnounced, DrillRecords, FuzzEnded, MessageReceived, TracebackLogged
from tests.support.cluster import Cluster

_BURST_SECONDS = 0.1
"""The interval in seconds whose frames are sent together."""
_SHOWN = 20
_FRAMES_OF_CONNECTION = 2000
_LONGEST_SHOWN = 300
_INTERNAL_ERROR = 1011
_TRACEBACK = "Traceback (most recent call last)"


@dataclass
class Goal:
    """When the drill ends: after `seconds`, or after a number of `frames`.

    If `frames` is 0, their number does not matter.
    """

    seconds: float
    frames: int = 0
    sent: int = 0
    began: float = field(default_factory=time.monotonic)

    @property
    def is_reached(self) -> bool:
        return self.sent >= self.frames if self.frames else time.monotonic() >= self.began + self.seconds


async def send_garbage(
    cluster: Cluster,
    drill: Drill,
    seconds: float,
    rate: float,
    seed: int,
    frames: int = 0,
    dialects: Collection[str] = CODECS,
) -> None:
    """Sends mutated frames.

    `rate` is the frames per second of all clients together. Each client reconnects after some thousand frames.
    """
    drill.phase = "fuzz"
    seeds, goal = count(seed), Goal(seconds, frames)
    plans = list(product([CODECS[one] for one in dialects], [*cluster.edges, *cluster.tcp], (False, True)))
    accounts = Registrar(cluster.edges, lambda *_: None)
    async with asyncio.TaskGroup() as group:
        for codec, address, logs_in in plans:
            client = FuzzClient(drill, codec, address, accounts if logs_in else None)
            group.create_task(client.run(rate / len(plans), goal, seeds))
    for line in cluster.log.read_text(errors="replace").splitlines():
        if _TRACEBACK in line:
            drill.records.append(TracebackLogged(time.monotonic(), line))


class FuzzClient:
    """A client that sends mutated frames.

    With `accounts`, it logs in first. Without, it connects to `/`, where a mutated frame may select another dialect.
    """

    def __init__(self, drill: Drill, codec: Codec, address: str, accounts: Registrar | None) -> None:
        self._drill = drill
        self._codec = codec
        self._accounts = accounts
        is_tcp = address.startswith("tcp:")
        self._address = address if is_tcp else address + (codec.path if accounts else "/")
        self._undecodable: list[str] = []

    async def run(self, rate: float, goal: Goal, seeds: Iterator[int]) -> None:
        while not goal.is_reached:
            connection = await connect(self._address, self._codec, NullListener(), self._decode)
            account = await self._log_in(connection)
            sent = await _send(connection, FrameMutator(self._codec.dialect, next(seeds), account), rate, goal)
            await connection.close()
            shown = sent[-_SHOWN:] if connection.close_code == _INTERNAL_ERROR else []
            frames = [repr(frame)[:_LONGEST_SHOWN] for frame in shown]
            self._drill.records.append(
                FuzzEnded(
                    time.monotonic(), f"{self._codec.dialect} {self._address}", len(sent), connection.close_code,
                    frames, self._undecodable,
                )
            )  # fmt: skip
            self._undecodable = []

    async def _log_in(self, connection: AsyncConnection) -> ClientAccount | None:
        if self._accounts is None:
            return None
        (account,) = await self._accounts.users([self._codec.dialect])
        await connection.request(self._codec.login(account))
        return account

    def _decode(self, frame: bytes) -> ClientEvent:
        try:
            return self._codec.decode(frame)
        except (ValueError, msgspec.MsgspecError):
            if self._accounts:
                self._undecodable.append(repr(frame)[:_LONGEST_SHOWN])
            return OtherFrame()


async def _send(connection: AsyncConnection, mutator: FrameMutator, rate: float, goal: Goal) -> Sequence[Frame]:
    """Sends frames, and returns those that were sent."""
    sent = [mutator.first()]
    _send_one(connection, sent[0])
    due, burst = time.monotonic(), max(1, round(rate * _BURST_SECONDS))
    while len(sent) < _FRAMES_OF_CONNECTION and not goal.is_reached and not connection.has_ended:
        for _ in range(burst):
            frame = mutator.next()
            sent.append(frame)
            _send_one(connection, frame)
        goal.sent += burst
        due += burst / rate
        await asyncio.sleep(max(0.0, due - time.monotonic()))
    return sent


def _send_one(connection: AsyncConnection, frame: Frame) -> None:
    if not isinstance(frame, Binary):
        connection.send(frame)
    elif isinstance(connection, AsyncWebSocket):
        connection.send_binary(frame.data)


def without_foreign_chats(recorded: DrillRecords) -> DrillRecords:
    """Drops the records about chats that mutated frames have created.

    Any account may become a member of such a chat, so its messages prove nothing.
    """
    foreign = MessageReceived | ChatAnnounced
    records = [
        record for record in recorded.records if not isinstance(record, foreign) or record.chat in recorded.members
    ]
    return msgspec.structs.replace(recorded, records=records)


def robust(record_index: RecordIndex) -> Iterator[str]:
    """No frame causes an exception in the server, and every frame that the server sends can be decoded."""
    for line in record_index.tracebacks:
        yield f"a process logged: {line}"
    for ended in record_index.fuzzed:
        if ended.code == _INTERNAL_ERROR:
            yield f"{ended.client} was closed with {ended.code} after {ended.frames}"
        for frame in ended.undecodable:
            yield f"{ended.client} received {frame}"


def prompt(record_index: RecordIndex, bound: float) -> Iterator[str]:
    """Of the messages of ordinary users, 99 of 100 are acknowledged within `bound` seconds."""
    if (p99 := acknowledgement_p99(record_index)) > bound:
        yield f"one message in a hundred was acknowledged after {1000 * p99:.0f} ms or more"


def acknowledgement_p99(record_index: RecordIndex) -> float:
    """Returns the p99 in seconds, or 0 if no message was acknowledged."""
    times = sorted(acks[0].at - record_index.sent[text].at for text, acks in record_index.acked.items())
    return times[int(0.99 * len(times))] if times else 0.0


def memory_at_quarters(record_index: RecordIndex) -> dict[str, float]:
    """Returns the memory of each process in MiB: at the beginning, after each quarter and at the end of the run."""
    every = [seen.at for samples in record_index.resources.values() for seen in samples]
    if not every:
        return {}
    first, whole = min(every), max(every) - min(every)
    return {
        f"{name} MiB at {25 * quarter} %": round(closest.used["memory_bytes"] / 2**20, 1)
        for (name, _), samples in record_index.resources.items()
        for quarter in range(5)
        for closest in [min(samples, key=lambda seen: abs(seen.at - first - quarter / 4 * whole))]
    }


def figures(record_index: RecordIndex) -> dict[str, float]:
    return {
        "fuzzed_frames": sum(ended.sent for ended in record_index.fuzzed),
        "fuzzing_connections": len(record_index.fuzzed),
        "acknowledged_p99_ms": round(1000 * acknowledgement_p99(record_index), 1),
        **memory_at_quarters(record_index),
        **{f"closed_{code}": times for code, times in Counter(one.code for one in record_index.fuzzed).items()},
    }
