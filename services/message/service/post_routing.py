"""Posting over several databases: a request of the queue group is divided by database, and each part is posted by a
replica of its own. Edges that know the databases send each its own messages, and never come here."""

import asyncio
from collections.abc import Callable, Mapping, Sequence

import msgspec

from services.message.service.ports import DatabasePort, PostResponder
from shared.clock import now_ms, steady_ms
from shared.contract.errors import Failure, RequestError
from shared.contract.message import Draft, Posted, PostMessages, PostResults
from shared.contract.subjects import POST_MESSAGES
from shared.tasks import Tasks
from shared.telemetry import log

_log = log(__name__)

SubmitPost = Callable[[PostMessages, PostResponder], None]


class PostRouter:
    """`submit` replies when every part has its results; `tasks` wait for them."""

    def __init__(self, databases: DatabasePort, submit: SubmitPost, tasks: Tasks) -> None:
        self._databases = databases
        self._own = databases.own
        self._submit = submit
        self._tasks = tasks

    def submit(self, message: PostMessages, responder: PostResponder) -> None:
        places: dict[str, list[int]] = {}
        for position, draft in enumerate(message.drafts):
            places.setdefault(self._databases.database_of(draft.chat), []).append(position)
        if places.keys() <= {self._own}:
            self._submit(message, responder)
        else:
            self._tasks.start(self._distribute(message, responder, places), "distribute")

    async def _distribute(
        self, message: PostMessages, responder: PostResponder, places: Mapping[str, Sequence[int]]
    ) -> None:
        requests = [
            self._post(database, PostMessages(message.node, [message.drafts[position] for position in own]), responder)
            for database, own in places.items()
        ]
        posted: list[Posted | None] = [None] * len(message.drafts)
        failures: dict[int, Failure] = {}
        for own, results in zip(places.values(), await asyncio.gather(*requests), strict=True):
            for number, position in enumerate(own):
                if isinstance(results, Failure):
                    failures[position] = results
                elif (result := results.posted[number]) is not None:
                    posted[position] = result
                else:
                    failures[position] = results.failures[number]
        await responder.reply(PostResults(posted, failures))

    async def _post(self, database: str, part: PostMessages, responder: PostResponder) -> PostResults | Failure:
        if database == self._own:
            collector = _Collector(responder)
            self._submit(part, collector)
            return await collector.results
        difference = responder.to_wall_clock(0) - now_ms() + int(steady_ms())
        drafts = [_in_our_time(draft, difference) for draft in part.drafts]
        try:
            return await self._databases.request(database, POST_MESSAGES, PostMessages(part.node, drafts))
        except RequestError as error:
            return error.failure


def _in_our_time(draft: Draft, difference: int) -> Draft:
    """The draft with a deadline of our steady clock."""
    return msgspec.structs.replace(draft, deadline=draft.deadline + difference)


class _Collector:
    """Receives the reply to a part that this replica posts itself."""

    def __init__(self, responder: PostResponder) -> None:
        self._responder = responder
        self.results: asyncio.Future[PostResults | Failure] = asyncio.get_running_loop().create_future()

    @property
    def cause(self) -> str:
        return self._responder.cause

    def to_wall_clock(self, requester_ms: int) -> int:
        return self._responder.to_wall_clock(requester_ms)

    async def reply(self, reply: object) -> None:
        assert isinstance(reply, PostResults)
        self._set(reply)

    async def reply_error(self, failure: Failure) -> None:
        self._set(failure)

    def _set(self, result: PostResults | Failure) -> None:
        if not self.results.done():
            self.results.set_result(result)
