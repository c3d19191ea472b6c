"""Measures conversations of connected users: in pairs across edges, or in one group."""

import asyncio
import secrets
from collections.abc import Sequence
from itertools import cycle, islice
from typing import Any, NamedTuple

import click

from bench.cli import (
    POSITIVE,
    dialects_option,
    edges_option,
    load_of,
    load_options,
    own_options,
    replicas_option,
    run_chosen,
    run_measurement,
    system_options,
    time_options,
)
from bench.load.plan import Load, conversations
from bench.load.protocol import HistoryPaging, Job, PagedChat, Seat
from bench.measurements.measured import measured
from bench.measurements.stages import GATHER_SECONDS, SpanReceiver, receiving, stage_means
from bench.report.progress import ProgressLine
from bench.report.result import Result
from bench.system.accounts import in_pairs, seated
from bench.system.seeding import Seeder
from bench.system.system import MeasuredSystem
from dragoman_client.codec.base import ClientAccount
from services.cli.console import default_option

# The following functions compare pages of history in a short chat, in a long chat, and in one chat of many.

_READERS = 4


class HistoryOptions(NamedTuple):
    """The pages have `size` messages at random places, and are read in one dialect. They are first from the only chat,
    and then from a chat of `messages` messages and from the last of `chats` chats. Each measurement takes `seconds`."""

    dialect: str
    messages: int
    chats: int
    size: int
    warm_up: float
    seconds: float


class Histories:
    """Chats with histories, which are written into the databases of the measured system."""

    def __init__(self, seeder: Seeder, show: ProgressLine) -> None:
        self._seeder = seeder
        self._show = show
        self._accounts = range(0)

    async def readers(self) -> Sequence[ClientAccount]:
        self._accounts = await asyncio.to_thread(self._seeder.accounts, _READERS)
        return self._seeder.users(self._accounts)

    async def chats(self, count: int, length: int) -> int:
        """Make `count` chats of `length` messages. Returns the last chat."""
        self._show.print(f"seeding {count * length:,} messages")
        made = await asyncio.to_thread(self._write, count, length)
        await self._seeder.publish(made)
        return made[-1]

    def _write(self, count: int, length: int) -> range:
        made = self._seeder.chats(self._accounts, _READERS, each=count, unread_from=length + 1)
        self._seeder.history(made, length, self._accounts[0])
        self._seeder.analyze()
        return made


async def history(target: MeasuredSystem, show: ProgressLine, options: HistoryOptions) -> Result:
    """Measure how fast clients read pages of history, on a system that was started for this measurement. Raises
    ClientError."""
    assert target.installation is not None
    histories = Histories(await asyncio.to_thread(Seeder, target.installation), show)
    readers = await histories.readers()
    seats = [Seat(account, options.dialect, target.edges[n % len(target.edges)]) for n, account in enumerate(readers)]
    short = 2 * options.size

    async def read_pages(*paged_chats: PagedChat) -> Result:
        job = Job(
            secrets.randbits(32),
            seats,
            HistoryPaging(options.size, options.warm_up, options.seconds, list(paged_chats)),
        )
        return await measured(
            "history", [job], target, show, options._asdict(), warm_up=options.warm_up, seconds=options.seconds
        )

    first = await read_pages(PagedChat("only chat", await histories.chats(1, short), short))
    long = PagedChat("long chat", await histories.chats(1, options.messages), options.messages)
    last = PagedChat("last chat", await histories.chats(options.chats - 2, short), short)
    return _compared(first, await read_pages(long, last))


def _compared(first: Result, second: Result) -> Result:
    """Merge both results, and add the ratios of their p99 latencies."""
    first.faults.merge(second.faults)
    second.faults = first.faults
    second.measures = first.measures | second.measures
    second.passed = first.passed and second.passed
    base = first.measures.get("only chat")
    for name in ("long chat", "last chat"):
        grown = second.measures.get(name)
        if base and grown and base.p99:
            second.figures[f"p99 of {name} / only chat"] = round(grown.p99 / base.p99, 2)
    return second


class ConversationOptions(NamedTuple):
    """There are `people` users, of `dialects` in turn, and `speakers` of them send (0: all). `rest`: the seconds
    without messages before the measurement. They are needed to compute the cost of a message."""

    people: int
    dialects: Sequence[str]
    processes: int
    speakers: int = 0
    rest: float = 0.0


async def traced_pairs(
    target: MeasuredSystem, show: ProgressLine, options: ConversationOptions, load: Load, receiver: SpanReceiver
) -> Result:
    """Measure as `pairs` does, and add the time of each stage of the message path. Raises BenchError, ClientError."""
    result = await pairs(target, show, options, load)
    await asyncio.sleep(GATHER_SECONDS)
    result.stages = stage_means(receiver.spans, load.seconds)
    return result


async def pairs(target: MeasuredSystem, show: ProgressLine, options: ConversationOptions, load: Load) -> Result:
    """Measure users in pairs. Each user has a peer on another edge. Raises BenchError, ClientError."""
    return await _talk("pairs", target, show, options, in_pairs(options.people), load._replace(each=True))


async def group(target: MeasuredSystem, show: ProgressLine, options: ConversationOptions, load: Load) -> Result:
    """Measure users who are all in one chat. Raises BenchError, ClientError."""
    return await _talk("group", target, show, options, [range(options.people)], load)


async def _talk(
    name: str,
    target: MeasuredSystem,
    show: ProgressLine,
    options: ConversationOptions,
    groups: Sequence[range],
    load: Load,
) -> Result:
    dialects = list(islice(cycle(options.dialects), options.people))
    seats = await seated(target, show, dialects, groups)
    speakers = range(min(options.speakers or len(seats), len(seats)))
    jobs = conversations(secrets.randbits(32), seats, speakers, options.processes, load)
    result_options = {**options._asdict(), **load._asdict(), "edges": len(target.edges)}
    result = await measured(
        name, jobs, target, show, result_options, warm_up=load.warm_up, seconds=load.seconds, offered=load.rate,
        rest=options.rest,
    )  # fmt: skip
    if not load.rate:
        result.remarks.append(queueing_note(load.window * (len(speakers) if load.each else 1)))
    return result


def queueing_note(in_flight: int) -> str:
    """A note about a closed loop, in which times depend on the number of messages in flight. This function is pure."""
    return (
        f"closed loop: {in_flight} messages are always in flight, so the times above are mostly queueing "
        f"({in_flight} / messages a second); `--rate` below the highest rate shows the time of a message"
    )


@click.command("pairs", epilog="Example: dragoman bench pairs --people 200 --seconds 10")
@system_options
@time_options
@load_options
@dialects_option("ourchat-v2")
@default_option("--people", 200, "Users, who write in pairs across two edges.", click.IntRange(2))
@default_option("--window", 8, "Messages of each user in flight at once (closed loop).", POSITIVE)
@click.option(
    "--stages", type=click.FloatRange(0, 1), default=0.0,
    help="Share of requests that are traced, to show where a message waits; starts a system of its own.",
)  # fmt: skip
def pairs_command(**given: Any) -> None:
    """Users send messages in pairs."""
    users = given["people"] // 2 * 2
    options = ConversationOptions(users, given["dialects"], given["processes"], rest=given["rest"])
    if not given["stages"]:
        run_measurement(lambda target, show: pairs(target, show, options, load_of(given)), given)
    if given["addresses"] or given["data"]:
        raise click.UsageError("--stages needs a system of its own: leave --edge and --data out")
    with receiving() as receiver:
        traced = (f"tracing.endpoint={receiver.endpoint}", f"tracing.sample_ratio={given['stages']}")
        given["settings"] += traced
        run_measurement(lambda target, show: traced_pairs(target, show, options, load_of(given), receiver), given)


@click.command("group", epilog="Example: dragoman bench group --people 500 --speakers 50")
@system_options
@time_options
@load_options
@dialects_option("ourchat-v2")
@default_option("--people", 500, "Members of the group.", click.IntRange(2))
@default_option("--speakers", 50, "Members that send.", POSITIVE)
@default_option("--window", 2, "Messages in flight at once (closed loop).", POSITIVE)
def group_command(**given: Any) -> None:
    """Some members of a group send; all receive."""
    options = ConversationOptions(
        given["people"], given["dialects"], given["processes"], given["speakers"], given["rest"]
    )
    run_measurement(lambda target, show: group(target, show, options, load_of(given)), given)


@click.command("history", epilog="Example: dragoman bench history --messages 20000 --chats 50")
@edges_option
@replicas_option
@own_options
@time_options
@click.option("--dialect", type=click.Choice(["service", "native"]), default="service", show_default=True)
@default_option("--messages", 1_000_000, "Messages of the long chat.", click.IntRange(100))
@default_option("--chats", 10_000, "Chats of each account.", click.IntRange(3))
@default_option("--size", 50, "Messages of a page.", click.IntRange(1, 200))
def history_command(**given: Any) -> None:
    """Clients read pages of history.

    Clients request pages of the only chat, of a long one, and of the last of many. The command starts a system of its
    own, and writes the messages straight into its databases.
    """
    run_chosen(history, HistoryOptions, given)
