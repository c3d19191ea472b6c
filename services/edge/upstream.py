"""What the connections of this node say, on its way to message: one request per turn of the event loop.

A draft is repeated with the same nonce until it is answered or its deadline has passed; only after the deadline and
some slack is it called failed, so that no replica commits what a user was told had failed.
"""

import asyncio
import secrets
from dataclasses import dataclass
from itertools import count
from typing import Protocol

from shared.bus import Bus
from shared.contract import subjects
from shared.contract.errors import ErrorCode, Failure, Refused
from shared.contract.ids import AccountId, ChatId, NodeId, Nonce
from shared.contract.message import Draft, Posted, PostMessages
from shared.database import now_ms
from shared.tasks import Tasks

_SLACK_SECONDS = 1.0
_PAUSE_SECONDS = 0.15
_BATCH_DRAFTS = 512
_BATCH_BYTES = 384 * 1024

UNCONFIRMED = Failure(ErrorCode.UNAVAILABLE, "the message was not confirmed in time, please try again")


class Author(Protocol):
    """Whoever said it; one of the two is called, save when it called `done` before."""

    def confirmed(self, draft: Draft, posted: Posted) -> None:
        """It is committed."""

    def failed(self, draft: Draft, failure: Failure) -> None:
        """It is not, and will not be (or, without an answer, that is not known)."""


@dataclass(slots=True)
class _Pending:
    draft: Draft
    author: Author


class Upstream:
    """`post` during a turn; `flush` at its end."""

    def __init__(self, bus: Bus, node: NodeId, request_seconds: float) -> None:
        self._bus = bus
        self._node = node
        self._seconds = request_seconds
        self._tasks = Tasks()
        self._turn: list[_Pending] = []
        self._open: set[Nonce] = set()
        self._nonces = count(secrets.randbits(62))

    def nonce(self) -> Nonce:
        return Nonce(next(self._nonces) & (2**63 - 1))

    def post(self, author: Author, sender: AccountId, chat: ChatId, nonce: Nonce, body: bytes) -> None:
        """Queue a message for this turn's request."""
        deadline = now_ms() + int(self._seconds * 1000)
        self._open.add(nonce)
        self._turn.append(_Pending(Draft(sender, chat, nonce, deadline, body), author))

    def done(self, nonce: Nonce) -> None:
        """It was delivered: no need to repeat it or to hear of it."""
        self._open.discard(nonce)

    def flush(self) -> None:
        while self._turn:
            size = taken = 0
            while taken < len(self._turn) and taken < _BATCH_DRAFTS and size < _BATCH_BYTES:
                size += len(self._turn[taken].draft.body) + 64
                taken += 1
            batch, self._turn = self._turn[:taken], self._turn[taken:]
            self._tasks.start(self._deliver(batch), "post")

    async def finish(self, timeout_seconds: float) -> None:
        await self._tasks.finish(timeout_seconds)

    async def _deliver(self, batch: list[_Pending]) -> None:
        """Repeat what has no answer until the deadline, all in the order it was said."""
        deadline = asyncio.get_running_loop().time() + self._seconds + _SLACK_SECONDS
        while batch:
            left = deadline - asyncio.get_running_loop().time()
            if left <= 0:
                break
            batch = await self._attempt(batch, left)
            batch = [pending for pending in batch if pending.draft.nonce in self._open]
            if batch:
                await asyncio.sleep(_PAUSE_SECONDS)
        for pending in batch:
            self._close(pending, UNCONFIRMED)

    async def _attempt(self, batch: list[_Pending], seconds: float) -> list[_Pending]:
        """Ask once (the bus repeats it while nobody answers); returns what is to be asked again."""
        request = PostMessages(self._node, [pending.draft for pending in batch])
        try:
            results = await self._bus.ask(subjects.POST_MESSAGES, request, seconds=seconds, retry=True)
        except Refused as refusal:
            if refusal.failure.code is ErrorCode.UNAVAILABLE:
                return batch
            for pending in batch:
                self._close(pending, refusal.failure)
            return []
        again: list[_Pending] = []
        for position, (pending, posted) in enumerate(zip(batch, results.posted, strict=True)):
            if posted is not None:
                if pending.draft.nonce in self._open:
                    self._open.discard(pending.draft.nonce)
                    pending.author.confirmed(pending.draft, posted)
            elif (failure := results.failures[position]).code is ErrorCode.UNAVAILABLE:
                again.append(pending)
            else:
                self._close(pending, failure)
        return again

    def _close(self, pending: _Pending, failure: Failure) -> None:
        if pending.draft.nonce in self._open:
            self._open.discard(pending.draft.nonce)
            pending.author.failed(pending.draft, failure)
