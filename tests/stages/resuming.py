"""Measures how long a `sync` takes after an absence, and how much it sends: `python -m tests.stages.resuming`.

A native user was offline while each of its many chats got messages. The chats are groups of two, or private chats. The
user's client then requests the chats with the latest messages, and the newest messages of each. For comparison, a
second client has missed nothing. The times are measured in the client, on the server's machine.
"""

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Sequence
from typing import Any

from bench.measurements.measured import machine
from bench.system.seeding import Seeder
from bench.system.system import MeasuredSystem, SystemSize, own_system
from dragoman_client.aio import AsyncConnection, connect
from dragoman_client.codec.native import NativeCodec
from services.edge.canonical.positions import Place, pack
from shared.contract.ids import ChatId
from shared.contract.resume import KNOWN_STATES
from shared.process import tune_garbage_collection
from tests.stages.timing import percentiles

_WINDOW, _TIMELINE = 30, 20
_MEMBERS = 2
_FIRST = 10
_PAGE = 500


class Returning:
    """A listener that counts the events after a `sync`, up to its last event."""

    def __init__(self) -> None:
        self.codec = NativeCodec(str)
        self.synced = asyncio.Event()
        self.frame_bytes = self.messages = self.sent_bytes = 0

    async def sync(self, connection: AsyncConnection, known: dict[str, Any]) -> dict[str, Any]:
        """Sends a sync with the client's positions, and returns the reply. Raises ClientError."""
        self.synced.clear()
        self.frame_bytes = self.messages = 0
        members = {"window": _WINDOW, "timeline": _TIMELINE, **known}
        self.sent_bytes = len(json.dumps(members, separators=(",", ":")))
        reply = await connection.request(self.codec.call("sync", members))
        await self.synced.wait()
        return dict(reply.values)

    async def known(self, connection: AsyncConnection) -> dict[str, Any]:
        """Returns the positions of a client that has everything. Raises ClientError."""
        places, before = dict[ChatId, Place](), None
        while True:
            page = await self.sync(connection, {"window": _PAGE, "timeline": 0, "before": before})
            places |= {
                ChatId(head["chat"]): Place(head["head"], head["rev"], head["state"] % KNOWN_STATES)
                for head in page["chats"]
            }
            if (before := page.get("before")) is None:
                return {"have": pack(page["epoch"], places)}

    def read(self, frame: bytes) -> Any:
        self.frame_bytes += len(frame)
        return json.loads(frame)["ev"] if frame.startswith(b'{"ev"') else self.codec.decode(frame)

    # The methods below implement dragoman_client.aio.Listener.

    def received(self, event: str, now: int) -> None:
        self.messages += event == "message"
        if event == "synced":
            self.synced.set()

    def replied(self, reply: object, now: int) -> None:
        return

    def ended(self) -> None:
        return


async def measure(target: MeasuredSystem, chats: int, messages: int, syncs: int, *, private: bool = False) -> list[str]:
    """Measures, and returns lines of text about it. Raises ClientError."""
    assert target.installation is not None
    seeder = await asyncio.to_thread(Seeder, target.installation)
    accounts = await asyncio.to_thread(seeder.accounts, chats + 1 if private else _MEMBERS)
    if private:
        made = await asyncio.to_thread(seeder.private_chats, accounts[0], accounts[1:])
    else:
        made = await asyncio.to_thread(seeder.chats, accounts, _MEMBERS, chats)
    await asyncio.to_thread(seeder.history, made, messages, accounts[1])
    await asyncio.to_thread(seeder.analyze)
    await seeder.publish(made)
    [account] = seeder.users([accounts[0]])
    account.secret = ""  # without the secret, the client logs in by its token, which is quicker than by a password
    have = pack("", {ChatId(chat): Place(_FIRST, 0) for chat in made})
    tune_garbage_collection()  # a search for garbage among all that seeding has made takes the client 0.1 s
    lines = []
    ways: dict[str, dict[str, Any] | None] = {
        "knows the first messages": {"have": have},
        "knows nothing": {},
        "knows nothing and takes the heads": {"window": _PAGE, "timeline": 0},
        "knows all": None,
    }
    for name, named in ways.items():
        returning, times, found = Returning(), list[float](), 0
        connection = await connect(target.edges[0], returning.codec, returning, returning.read)
        await connection.request(returning.codec.login(account))
        known = await returning.known(connection) if named is None else named
        for _ in range(syncs):
            began = time.perf_counter()
            found = len((await returning.sync(connection, known))["chats"])
            times.append((time.perf_counter() - began) * 1000)
        await connection.close()
        lines.append(
            f"a client that {name}: {percentiles(times)}; {found} chats, {returning.messages} messages, "
            f"{returning.sent_bytes / 1024:.1f} KiB sent, {returning.frame_bytes / 1024:.1f} KiB received"
        )
    return lines


async def _main(
    chats: int, messages: int, syncs: int, size: SystemSize, settings: Sequence[str], *, private: bool
) -> None:
    async with own_system(size, ["limits.rates=false", *settings], lambda _: None) as target:
        lines = await measure(target, chats, messages, syncs, private=private)
    sys.stdout.write("\n".join([machine(), f"{chats} chats, {messages} messages each", *lines]) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.stages.resuming", description=__doc__)
    parser.add_argument("--chats", type=int, default=2_000, help="of the user (default 2000)")
    parser.add_argument("--messages", type=int, default=100, help="in each chat (default 100)")
    parser.add_argument("--private", action="store_true", help="private chats, each with another user")
    parser.add_argument("--syncs", type=int, default=200, help="in a row (default 200)")
    parser.add_argument("--replicas", type=int, default=0, help="of message, on PostgreSQL (default 0: one, on SQLite)")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a setting of the system")
    given = parser.parse_args()
    size = SystemSize(1, given.replicas)
    asyncio.run(_main(given.chats, given.messages, given.syncs, size, given.set, private=given.private))


if __name__ == "__main__":
    main()
