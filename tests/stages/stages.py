"""Microbenchmarks of the stages of a message's path, which help to locate a regression.

The results are microseconds for one message, one reply or one account, by the name of the stage.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from itertools import count
from pathlib import Path
from unittest.mock import patch

from prometheus_client import CollectorRegistry

from dragoman_client.codec import CODECS
from dragoman_client.codec.base import ClientAccount
from services.edge.dialects.base import ConnectionInfo
from services.edge.dialects.encoded_message import EncodedMessage
from services.edge.dialects.registry import DIALECTS, Dialects, Entry
from services.edge.journal import MessageJournal
from services.edge.metrics import EdgeMetrics
from services.edge.upstream.attempt import Leaders
from services.edge.upstream.publisher import MessagePublisher
from services.message.store import MessageStore
from shared.bus.client import Bus
from shared.contract.auth import ListRevocations, Revocations
from shared.contract.body import pack_segments
from shared.contract.errors import Failure
from shared.contract.ids import AccountId, ChatId, MessageId, NodeId, Nonce
from shared.contract.message import Draft, Posted, PostMessages, PostResults
from shared.contract.model import Message, ProfileSummary, Text
from shared.database import Database
from shared.migrate import upgrade
from shared.presence.store import Presence
from shared.settings.limits import LimitsSettings
from tests import vectors
from tests.stages.timing import Work
from tests.support.servers import NatsServer, ValkeyServer

_TEXT = "x" * 150
_BODY = pack_segments((Text(_TEXT),))
_AT_ONCE = 256
_MEMBERS = 500
_NEVER_MS = 2**52
_NODE = NodeId("edge-1.bench")

Stage = AbstractAsyncContextManager[Work]


def stages(directory: Path, nats: NatsServer, valkey: ValkeyServer, dialects: Dialects = DIALECTS) -> dict[str, Stage]:
    """Returns the stages by name, in the order in which a message passes them."""
    return {
        **{f"decode {entry.name}, a message": _decoding(entry) for entry in dialects},
        f"turn of {_AT_ONCE} messages, one of them": _publishing(nats),
        "hop over the bus and back": _hop(nats),
        f"commit of {_AT_ONCE} messages, one of them": _commit(directory),
        f"presence of {_MEMBERS}, one of them": _presence(valkey),
        **{f"encode {entry.name}, a message": _encoding(entry) for entry in dialects},
        f"delivery to {_MEMBERS}, one of them": _delivery(dialects),
    }


# Dialects


@asynccontextmanager
async def _decoding(entry: Entry) -> AsyncIterator[Work]:
    dialect = entry(ConnectionInfo(LimitsSettings(), "http://127.0.0.1:8080"))
    dialect.logged_in(AccountId(12), 0.0)
    frame = _message_frame(entry)

    async def work() -> int:
        for _ in range(_AT_ONCE):
            dialect.decode(frame, 0.0)
        return _AT_ONCE

    yield work


def _message_frame(entry: Entry) -> bytes:
    """Returns the frame of a message to a group.

    It comes from the client codec of the dialect, or else from the vectors.
    """
    if entry.name in CODECS:
        head, tail = CODECS[entry.name].message_parts(ClientAccount(number=12, token="t.o.k"), 34)
        return head + _TEXT.encode() + tail
    for vector in vectors.load(entry.name).vectors:
        post = (vector.command or {}).get("PostMessage")
        if post is not None and post["chat"]:
            return vectors.text(vector.frame).replace(post["segments"][0][1].encode(), _TEXT.encode())
    raise LookupError(f"no message to a group in the vectors of {entry.name}")


@asynccontextmanager
async def _encoding(entry: Entry) -> AsyncIterator[Work]:
    dialect = entry(ConnectionInfo(LimitsSettings(), "http://127.0.0.1:8080"))
    message = _message()

    async def work() -> int:
        for _ in range(_AT_ONCE):
            EncodedMessage(message, summary=ProfileSummary("Ann", "uuid")).frames(dialect)
        return _AT_ONCE

    yield work


@asynccontextmanager
async def _delivery(dialects: Dialects) -> AsyncIterator[Work]:
    """Encodes one message for connections of all dialects. Does not write it to sockets."""
    info = ConnectionInfo(LimitsSettings(), "http://127.0.0.1:8080")
    recipients = [dialects[number % len(dialects)](info) for number in range(_MEMBERS)]
    message = _message()

    async def work() -> int:
        encoded = EncodedMessage(message, summary=ProfileSummary("Ann", "uuid"))
        return sum(len(encoded.frames(dialect)) for dialect in recipients)

    yield work


def _message() -> Message:
    return Message(ChatId(34), 56, MessageId(78), AccountId(12), 1_700_000_000_000, _BODY, Nonce(9))


# The bus


@asynccontextmanager
async def _hop(server: NatsServer) -> AsyncIterator[Work]:
    edge, auth = _bus(server, "edge"), _bus(server, "auth")

    async def watched(request: ListRevocations) -> Revocations:
        return Revocations(request.since, [], maintenance=False)

    async def work() -> int:
        await edge.send(ListRevocations(since=1))
        return 1

    auth.serve(ListRevocations.route, watched, queue="auth")
    async with _running(edge, auth):
        yield work


class _BatchSubmitter:
    """Submits all messages of an event-loop iteration, and waits until all are confirmed."""

    def __init__(self) -> None:
        self.left = 0
        self.done = asyncio.Event()
        self.failure: Failure | None = None

    def confirmed(self, draft: Draft, posted: Posted, *, again: bool = False) -> None:
        self.left -= 1
        if not self.left:
            self.done.set()

    def failed(self, draft: Draft, failure: Failure) -> None:
        self.failure = failure
        self.done.set()

    def crashed(self) -> None:
        self.done.set()


@asynccontextmanager
async def _publishing(server: NatsServer) -> AsyncIterator[Work]:
    """Measures the time from the submission of an iteration's messages until a stub of the message service confirms
    them.
    """
    edge, message = _bus(server, "edge"), _bus(server, "message")
    upstream = MessagePublisher(edge, _NODE, 8.0, Leaders(256), EdgeMetrics(CollectorRegistry()), MessageJournal())

    async def accept(request: PostMessages) -> PostResults:
        return PostResults([Posted(MessageId(1), 1, 1)] * len(request.drafts))

    async def work() -> int:
        submitter = _BatchSubmitter()
        submitter.left = _AT_ONCE
        now = asyncio.get_running_loop().time()
        for number in range(_AT_ONCE):
            sender, chat = AccountId(number + 1), ChatId(number + 1)
            draft = Draft(sender, chat, upstream.new_nonce(), upstream.deadline(now), _BODY)
            upstream.post(submitter, [draft], now)
        upstream.flush()
        await submitter.done.wait()
        assert submitter.failure is None
        return _AT_ONCE

    message.serve(PostMessages.route, accept, queue="message")
    async with _running(edge, message):
        yield work
        await upstream.finish(1.0)


def _bus(server: NatsServer, service: str) -> Bus:
    return Bus(server.settings(service), service, CollectorRegistry())


@asynccontextmanager
async def _running(*buses: Bus) -> AsyncIterator[None]:
    await asyncio.gather(*(bus.start() for bus in buses))
    try:
        yield
    finally:
        await asyncio.gather(*(bus.stop() for bus in buses))


# Storage


@asynccontextmanager
async def _commit(directory: Path) -> AsyncIterator[Work]:
    """Commits to SQLite with synchronous=FULL."""
    url = f"sqlite:///{directory / 'message.db'}"
    await asyncio.to_thread(upgrade, "message", url)
    database = Database(url)
    store, nonces = MessageStore(database), count(1)

    async def work() -> int:
        drafts = [
            Draft(AccountId(number), ChatId(number % 32 + 1), Nonce(next(nonces)), _NEVER_MS, _BODY)
            for number in range(1, _AT_ONCE + 1)
        ]
        await store.post(drafts)
        return _AT_ONCE

    yield work
    await database.close()


@asynccontextmanager
async def _presence(server: ValkeyServer) -> AsyncIterator[Work]:
    edge, message = Presence(server.settings("edge")), Presence(server.settings("message"))
    accounts = [AccountId(number) for number in range(1, _MEMBERS + 1)]

    async def work() -> int:
        found = await message.lookup(accounts, [ChatId(1)])
        assert found.nodes is not None
        return _MEMBERS

    with patch("shared.presence.store._TRUST_SECONDS", 0.0):
        await edge.beat(_NODE, 60)
        await edge.join(_NODE, accounts)
        yield work
    await edge.close()
    await message.close()
