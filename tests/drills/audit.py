"""The audit drill: the operator's command is asked where messages are, and its answers must agree with the clients'
records.
"""

import asyncio
import random
import time
from collections.abc import Iterator
from urllib.request import urlopen

from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from local.data import read_run
from services.cli.admin.bus_client import AdminClient
from services.cli.admin.messages import MessageReport, RecipientReport, find
from shared.bus.client import Bus
from tests.drills.archive import broker
from tests.drills.record_index import RecordIndex
from tests.drills.records import DrillRecords, Entry
from tests.support.cluster import Cluster

SETTINGS = ("--set", "edge.audited_accounts_per_second=20", "--set", "edge.audit_interval_seconds=1")
_SAMPLE = 240
_AT_ONCE = 12
_CLOCK_SECONDS = 0.3
"""The tolerance in seconds.

It allows for differences between the wall clock and the monotonic clock, and for frames on their way.
"""
_COUNTER = "dragoman_edge_messages_lost"


async def question(cluster: Cluster, recorded: DrillRecords) -> list[str]:
    """Compares the auditor's answers about a sample of the messages with the clients' records.

    Returns the differences.
    """
    index, wall = RecordIndex(recorded), time.time() - time.monotonic()
    places = [(chat, entry) for chat, entries in index.recorded.history.items() for entry in entries]
    sample = random.sample(places, min(_SAMPLE, len(places)))
    bus, limit = Bus(broker(cluster.data, "admin"), "admin", CollectorRegistry()), asyncio.Semaphore(_AT_ONCE)
    await bus.start()

    async def compare(chat: int, entry: Entry) -> list[str]:
        async with limit:
            [report] = await find(AdminClient(bus), f"{chat}/{entry.index}")
        return [f"{chat}/{entry.index} {text}" for text in differences(index, report, chat, entry, wall)]

    try:
        return [text for texts in await asyncio.gather(*(compare(*place) for place in sample)) for text in texts]
    finally:
        await bus.stop()


def differences(index: RecordIndex, report: MessageReport, chat: int, entry: Entry, wall: float) -> Iterator[str]:
    """Yields the differences about one message.

    `wall` is how many seconds the wall clock is ahead of the clock of the records.
    """
    stored = report.message
    if (stored.id, stored.sender, stored.time) != (entry.msg_id, entry.sender, entry.time):
        yield f"is {stored.id} of {stored.sender} at {stored.time}, not {entry}"
    expected = index.recorded.members[chat] - {entry.sender}
    if (named := {one.account for one in report.recipients}) != expected:
        yield f"has recipients {sorted(named)}, not {sorted(expected)}"
    for one in report.recipients:
        if one.account not in index.recorded.sleepers | index.recorded.followers:
            yield from _of_recipient(index, one, entry)
    sent, accepted = index.sent.get(entry.text), report.accepted
    if accepted is not None and sent is not None:
        at, acked = accepted.at / 1000 - wall, accepted.acknowledged / 1000 - wall
        answers = [ack.at for ack in index.acked.get(entry.text, ())]
        if at < sent.at - _CLOCK_SECONDS or (answers and acked > min(answers) + _CLOCK_SECONDS):
            yield f"was accepted at {at:.2f} and acknowledged at {acked:.2f}; sent at {sent.at:.2f}, reply {answers}"
        if not report.accepted_by.startswith("edge-"):
            yield f"was accepted by {report.accepted_by}"


def _of_recipient(index: RecordIndex, one: RecipientReport, entry: Entry) -> Iterator[str]:
    received = entry.msg_id in index.received_by_account[one.account]
    if received != (one.state == "confirmed"):
        arrived = "has arrived" if received else "never arrived"
        yield f"is {one.state} for {one.account} ({one.reason}), and {arrived} there"
    if one.state == "confirmed" and not {*one.dialects} <= {"ourchat-v2", "irc"}:
        yield f"came to {one.account} over {one.dialects}"


def lost_messages(cluster: Cluster) -> dict[str, float]:
    """Returns the sums of the counter of lost messages over all edges, by stage. They should be zero."""
    run, found = read_run(cluster.data), dict[str, float]()
    for process in run.processes if run else ():
        if process.name.startswith("edge-") and process.ops:
            with urlopen(f"http://127.0.0.1:{process.ops}/metrics", timeout=5) as reply:
                metrics = reply.read().decode()
            for family in text_string_to_metric_families(metrics):
                for sample in family.samples if family.name == _COUNTER else ():
                    if sample.name.endswith("_total") and sample.value:
                        stage = sample.labels["stage"]
                        found[stage] = found.get(stage, 0.0) + sample.value
    return found
