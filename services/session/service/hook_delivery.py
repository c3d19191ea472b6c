"""Posts the messages of groups to their outgoing hooks: in order for each hook, at least once."""

import asyncio
import base64
import contextlib
import hashlib
import hmac
import random
import secrets
from collections.abc import Awaitable, Callable
from functools import partial

import msgspec

from services.session.metrics import SessionMetrics
from services.session.service.hook_turns import HookTurn, HookTurns, TurnEnded
from services.session.service.made import Makers
from services.session.service.message_reader import MessageReader
from services.session.service.ports import GiveUpHook, HookPoster, PostFailed
from services.session.store import outgoing_hooks, profiles
from services.session.store.outgoing_hooks import LeasedHook
from shared.clock import now_ms
from shared.contract.errors import RequestError
from shared.contract.events import OutgoingHooksDue
from shared.contract.ids import ChatId
from shared.contract.model import Message, ProfileSummary
from shared.message_event import group_message
from shared.settings import Settings
from shared.tasks import Tasks
from shared.telemetry import log
from shared.transactions import Transactions

_log = log(__name__)

_TICK_SECONDS = 1.0
_TURN_SECONDS = 5.0
"""A hook posts for so long, and the next request; then another one has its turn."""
_PAGE = 20
_CHATS = 1_000
_UNAVAILABLE_MS = 5_000
_PAUSED_MS = 30_000
"""Between two questions to auth whether the maker of a hook may act again."""
_LEASE_SECONDS = 10.0
"""A lease is longer by this than a turn."""
_CLOSE_SECONDS = 3.5
_MOST_DOUBLINGS = 30


class HookDelivery:
    """The cursor of a hook moves once its receiver has accepted a message; a process that ends between the two leaves a
    repetition with the same webhook-id. Times are Unix milliseconds."""

    def __init__(
        self,
        database: Transactions,
        messages: MessageReader,
        poster: HookPoster,
        give_up: GiveUpHook,
        makers: Makers,
        metrics: SessionMetrics,
        settings: Settings,
    ) -> None:
        self._database = database
        self._messages = messages
        self._poster = poster
        self._give_up = give_up
        self._makers = makers
        self._metrics = metrics
        self._settings = settings.outgoing_hooks
        self._base_url = settings.edge.public_url.rstrip("/")
        self._lease_ms = int((_LEASE_SECONDS + _TURN_SECONDS + self._settings.timeout_seconds) * 1000)
        self._woken = asyncio.Event()
        self._stopping = asyncio.Event()
        self._loops = Tasks()
        self._tasks = Tasks()
        self._turns = HookTurns(self._settings.concurrent)
        self._held: dict[str, LeasedHook] = {}

    async def messages_posted(self, event: OutgoingHooksDue) -> None:
        """A chat has new messages, or an operator lets a hook go on. Handles the durable event."""
        if event.hook:
            await self._database.write(outgoing_hooks.resume, event.hook, event.index, now_ms())
            self._woken.set()
        else:
            await self._note_head(event.chat, event.index)

    async def _note_head(self, chat: ChatId, head: int) -> None:
        """Raises RequestError."""
        await self._database.write(outgoing_hooks.note_head, chat, head, brief=True)
        self._woken.set()

    # Life

    def start(self) -> None:
        self._loops.start(self._run(), "outgoing hooks")
        self._loops.start(self._watch(), "messages for outgoing hooks")

    async def close(self) -> None:
        """After the requests in progress: nats-py stops reading when a reply arrives for a cancelled one. Other
        processes take the hooks over at once."""
        self._stopping.set()
        self._woken.set()
        await self._loops.finish(_CLOSE_SECONDS)
        await self._tasks.finish(_CLOSE_SECONDS)
        for leased in list(self._held.values()):
            await self._release(leased, now_ms())

    async def _run(self) -> None:
        while not self._stopping.is_set():
            self._woken.clear()
            await self._attempt(self._start_turns)
            await _wait(self._woken, _TICK_SECONDS)

    async def _watch(self) -> None:
        """Search for messages of which an event was lost."""
        while not self._stopping.is_set():
            await self._attempt(self._search)
            await _wait(self._stopping, self._settings.check_seconds)

    async def _attempt(self, step: Callable[[], Awaitable[None]]) -> None:
        """A step that fails is done again at the next time."""
        try:
            await step()
        except RequestError as error:
            _log.debug("outgoing hooks wait for a service", error=str(error))
        except Exception:
            _log.exception("outgoing hooks fail")

    # Turns

    async def _start_turns(self) -> None:
        for slow in (False, True):
            free, now = self._turns.free(slow=slow), now_ms()
            has_due = partial(outgoing_hooks.has_due, now=now, held=[*self._held], slow=slow)
            if free <= 0 or not await self._database.read(has_due, brief=True):
                continue
            lease = partial(outgoing_hooks.lease_due, lease=secrets.token_hex(8), now=now, until=now + self._lease_ms)
            for leased in await self._database.write(partial(lease, limit=free, held=[*self._held], slow=slow)):
                self._held[leased.hook] = leased
                self._tasks.start(self._have_turn(leased, self._turns.begin(slow=slow)), "outgoing hook")

    async def _have_turn(self, leased: LeasedHook, turn: HookTurn) -> None:
        try:
            due = await self._post_page(leased, turn)
        except TurnEnded:
            due = now_ms()
        except RequestError as error:
            _log.debug("outgoing hook waits for a service", hook=leased.hook, error=str(error))
            due = now_ms() + _UNAVAILABLE_MS
        except Exception:
            _log.exception("outgoing hook failed", hook=leased.hook)
            due = now_ms() + _UNAVAILABLE_MS
        if due is not None:
            await self._release(leased._replace(slow=turn.was_slow), due)
        turn.end()
        if self._held.get(leased.hook) is leased:
            del self._held[leased.hook]
        self._woken.set()

    async def _release(self, leased: LeasedHook, due: int) -> None:
        """A lease that is not released ends by itself."""
        try:
            await self._database.write(outgoing_hooks.release, leased, due, brief=True)
        except RequestError as error:
            _log.debug("outgoing hook not released", hook=leased.hook, error=str(error))

    async def _post_page(self, leased: LeasedHook, turn: HookTurn) -> int | None:
        """Post some messages. Returns when the hook is due again; None if its row says so. Raises RequestError,
        TurnEnded."""
        messages = await self._messages.read(leased.chat, leased.next, _PAGE, leased.by)
        senders = {message.sender for message in messages}
        names = await self._database.read(profiles.summaries_of, [*senders], brief=True)
        end = now_ms() + int(_TURN_SECONDS * 1000)
        for message in messages:
            if now_ms() > end or self._stopping.is_set():
                break  # also after a freeze, in which the lease may have ended
            if not await self._makers.may_act(leased.by):
                return now_ms() + _PAUSED_MS
            sender = names.get(message.sender) or ProfileSummary(str(message.sender), "")
            try:
                await turn.wait_for(self._post(leased, message, sender))
            except PostFailed as failed:
                await self._note_failure(leased._replace(slow=turn.was_slow), message.index, failed)
                return None
            leased = leased._replace(next=message.index + 1, attempts=0, failing_since=0)
            if not await self._database.write(outgoing_hooks.advance, leased, message.index, brief=True):
                return now_ms()  # its lease, if it has one, is that of a maker who was demoted
        return now_ms() if messages else now_ms() + _UNAVAILABLE_MS

    async def _post(self, leased: LeasedHook, message: Message, sender: ProfileSummary) -> None:
        """Raises PostFailed."""
        body = msgspec.json.encode(group_message(message, sender, self._base_url))
        number = webhook_id(message.chat, message.index)
        headers = signed_headers(leased.secret, number, now_ms() // 1000, body)
        try:
            await self._poster.post(leased.endpoint, headers, body)
        except PostFailed:
            self._metrics.hook_posts.labels("failed").inc()
            raise
        self._metrics.hook_posts.labels("delivered").inc()

    # Failures

    async def _note_failure(self, leased: LeasedHook, index: int, failed: PostFailed) -> None:
        """A receiver that is gone leaves no dead letter: there is nothing to repair, and users could make any number.
        Raises RequestError."""
        now, error = now_ms(), str(failed)
        since = leased.failing_since or now
        is_over = now - since >= self._settings.give_up_seconds * 1000
        if is_over and not failed.is_gone:
            await self._give_up(OutgoingHooksDue(leased.chat, index, leased.hook), error, leased.attempts + 1)
        if is_over or failed.is_gone:
            await self._database.write(outgoing_hooks.stop, leased, error)
            _log.warning("outgoing hook stopped", hook=leased.hook, chat=leased.chat, error=error)
            return
        due = now + pause_ms(leased.attempts, self._settings.longest_pause_seconds, random.random())  # noqa: S311
        await self._database.write(outgoing_hooks.fail, leased, error, now, due)

    # What no event told

    async def _search(self) -> None:
        """Raises RequestError."""
        after = ChatId(0)
        while known := await self._database.read(outgoing_hooks.known_heads, after, _CHATS):
            heads = await self._messages.last_indexes(list(known))
            for chat, head in heads.items():
                if head > known.get(chat, head):
                    await self._note_head(chat, head)
            after = max(known)
        failing, stopped = await self._database.read(outgoing_hooks.count)
        self._metrics.hooks_failing.set(failing)
        self._metrics.hooks_stopped.set(stopped)


def pause_ms(attempts: int, longest_seconds: float, fraction: float) -> int:
    """Before the next attempt, after `attempts` failed ones and another. `fraction`, 0 to 1, spreads the attempts."""
    seconds: float = min(longest_seconds, 2.0 ** min(attempts, _MOST_DOUBLINGS))
    return int(seconds * (0.8 + 0.4 * fraction) * 1000)


async def _wait(event: asyncio.Event, seconds: float) -> None:
    """For the event, at most so long."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()


_SECRET_PREFIX = "whsec_"  # noqa: S105


def secret_of(key: bytes) -> str:
    """The form in which users get a key."""
    return _SECRET_PREFIX + base64.b64encode(key).decode()


def webhook_id(chat: ChatId, index: int) -> str:
    """The same for each attempt, and for a replay."""
    return f"{chat}.{index}"


def sign(secret: str, number: str, timestamp: int, body: bytes) -> str:
    """The header webhook-signature. `timestamp`: Unix seconds."""
    key = base64.b64decode(secret.removeprefix(_SECRET_PREFIX))
    digest = hmac.digest(key, f"{number}.{timestamp}.".encode() + body, hashlib.sha256)
    return f"v1,{base64.b64encode(digest).decode()}"


def signed_headers(secret: str, number: str, timestamp: int, body: bytes) -> dict[str, str]:
    return {
        "webhook-id": number,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": sign(secret, number, timestamp, body),
    }
