"""Reads the final message history over NATS as the operator's user, and presence from Redis as an edge's user."""

from collections.abc import Sequence
from pathlib import Path

from prometheus_client import CollectorRegistry
from pydantic import SecretStr
from redis.asyncio import Redis

from local import valkey
from local.credentials import load_or_make
from local.data import Run, read_run
from shared.bus.client import Bus
from shared.contract.body import unpack_segments
from shared.contract.ids import ChatId
from shared.contract.message import GetHistory
from shared.contract.model import Message, Text
from shared.presence.scripts import SHARDS
from shared.settings.servers import NatsSettings, RedisSettings
from tests.drills.device import Edge
from tests.drills.records import Entry

_PAGE = 200
_SECONDS = 20.0


async def read_history(settings: NatsSettings, chats: list[int]) -> dict[int, list[Entry]]:
    """Returns all messages of these chats, oldest first. Raises RequestError when message does not answer."""
    bus = Bus(settings, "admin", CollectorRegistry())
    await bus.start()
    try:
        return {chat: await _read(bus, chat) for chat in chats}
    finally:
        await bus.stop()


async def read_presence(settings: RedisSettings, edges: Sequence[Edge]) -> dict[int, frozenset[str]]:
    """Returns the edges of each account.

    An edge has the name that the drill gives it, or else its port. Raises RedisError.
    """
    names = {f"edge-{url.rpartition(':')[2]}": name for name, url in edges}
    found: dict[int, frozenset[str]] = {}
    async with Redis.from_url(settings.url.get_secret_value(), decode_responses=True) as redis:
        for shard in range(SHARDS):
            entries: dict[str, str] = await redis.hgetall(f"presence:{{{shard}}}")  # type: ignore[assignment]
            for account, nodes in entries.items():
                if not account.startswith("@"):
                    processes = {node.rpartition("-")[0] for node in nodes.split(",")}
                    found[int(account)] = frozenset(names.get(one, one) for one in processes)
    return found


def presence_store(data: Path) -> RedisSettings:
    """Returns the settings with which an edge's user connects to the embedded Valkey. `data` is a data directory."""
    run = read_run(data)
    assert run is not None
    password = load_or_make(data / "credentials.json").valkey["edge"]
    return RedisSettings(url=SecretStr(valkey.url(run.valkey, "edge", password)))


def broker(data: Path, user: str) -> NatsSettings:
    """Returns the settings with which a user connects to the NATS of the `dragoman up` with this data directory."""
    run = read_run(data)
    assert run is not None
    return broker_of(run, data, user)


def broker_of(run: Run, data: Path, user: str) -> NatsSettings:
    """Does the same for a run that may be in another machine."""
    password = load_or_make(data / "credentials.json").nats[user]
    return NatsSettings(url=run.nats, user=user, password=SecretStr(password))


async def _read(bus: Bus, chat: int) -> list[Entry]:
    entries: list[Entry] = []
    while True:
        start = entries[-1].index + 1 if entries else 1
        request = GetHistory(ChatId(chat), start, _PAGE, older=False, all=True)
        page = await bus.send(request, seconds=_SECONDS, retry=True)
        entries += map(_entry, page.messages)
        if not page.messages or entries[-1].index >= page.head:
            return entries


def _entry(message: Message) -> Entry:
    texts = [segment.text for segment in unpack_segments(message.body) if isinstance(segment, Text)]
    return Entry(message.index, message.id, message.sender, "".join(texts), message.time)
