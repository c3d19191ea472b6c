"""Posts the messages of groups to their outgoing webhooks. Each webhook gets the messages in order, and each message at
least once."""

import asyncio
import base64
import hashlib
import hmac
import random
import secrets
from functools import partial

import msgspec

from services.session.metrics import SessionMetrics
from services.session.service.background import repeat
from services.session.service.made import Makers
from services.session.service.message_reader import MessageReader
from services.session.service.ports import GiveUpWebhook, PostFailed, WebhookPoster
from services.session.service.webhook_turns import TurnEnded, WebhookTurn, WebhookTurns
from services.session.store import outgoing_webhooks, profiles
from services.session.store.outgoing_webhooks import LeasedWebhook
from shared.clock import now_ms
from shared.contract.errors import RequestError
from shared.contract.events import OutgoingWebhooksDue
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
"""The length of a turn. A request that has begun in this time is finished. Then another webhook gets a turn."""
_PAGE = 20
_CHATS = 1_000
_UNAVAILABLE_MS = 5_000
_PAUSED_MS = 30_000
"""While the auth service does not permit the maker of a webhook to act, it is asked again after this pause."""
_LEASE_SECONDS = 10.0
"""A lease lasts longer than a turn by this time."""
_CLOSE_SECONDS = 3.5
_MOST_DOUBLINGS = 30


class WebhookDelivery:
    """The position of a webhook is the index of its next message. It advances after the receiver has accepted a
    message. If the process ends before the position has advanced, the message is posted again with the same webhook-id.
    Times are Unix milliseconds."""

    def __init__(
        self,
        database: Transactions,
        messages: MessageReader,
        poster: WebhookPoster,
        give_up: GiveUpWebhook,
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
        self._settings = settings.outgoing_webhooks
        self._base_url = settings.edge.public_url.rstrip("/")
        self._lease_ms = int((_LEASE_SECONDS + _TURN_SECONDS + self._settings.timeout_seconds) * 1000)
        self._woken = asyncio.Event()
        self._stopping = asyncio.Event()
        self._loops = Tasks()
        self._tasks = Tasks()
        self._turns = WebhookTurns(self._settings.concurrent)
        self._held: dict[str, LeasedWebhook] = {}

    async def messages_posted(self, event: OutgoingWebhooksDue) -> None:
        """Handle the durable event: a chat has new messages, or an operator lets a webhook continue."""
        if event.hook:
            await self._database.write(outgoing_webhooks.resume, event.hook, event.index, now_ms())
            self._woken.set()
        else:
            await self._note_head(event.chat, event.index)

    async def _note_head(self, chat: ChatId, head: int) -> None:
        """Notes that the chat has messages up to the index `head`. Raises RequestError."""
        await self._database.write(outgoing_webhooks.note_head, chat, head, brief=True)
        self._woken.set()

    # Life

    def start(self) -> None:
        run, stopping = partial(repeat, what="outgoing webhooks"), self._stopping
        self._loops.start(run(self._start_turns, stopping, _TICK_SECONDS, woken=self._woken), "outgoing webhooks")
        self._loops.start(run(self._search, stopping, self._settings.check_seconds), "messages for outgoing webhooks")

    async def close(self) -> None:
        """Wait for the requests in progress instead of cancelling them, because nats-py stops reading when the reply to
        a cancelled request arrives. Other processes take over the webhooks at once."""
        self._stopping.set()
        self._woken.set()
        await self._loops.finish(_CLOSE_SECONDS)
        await self._tasks.finish(_CLOSE_SECONDS)
        for leased in list(self._held.values()):
            await self._release(leased, now_ms())

    # Turns

    async def _start_turns(self) -> bool:
        for slow in (False, True):
            free, now = self._turns.free(slow=slow), now_ms()
            has_due = partial(outgoing_webhooks.has_due, now=now, held=[*self._held], slow=slow)
            if free <= 0 or not await self._database.read(has_due, brief=True):
                continue
            lease = partial(
                outgoing_webhooks.lease_due, lease=secrets.token_hex(8), now=now, until=now + self._lease_ms
            )
            for leased in await self._database.write(partial(lease, limit=free, held=[*self._held], slow=slow)):
                self._held[leased.hook] = leased
                self._tasks.start(self._have_turn(leased, self._turns.begin(slow=slow)), "outgoing webhook")
        return False

    async def _have_turn(self, leased: LeasedWebhook, turn: WebhookTurn) -> None:
        try:
            due = await self._post_page(leased, turn)
        except TurnEnded:
            due = now_ms()
        except RequestError as error:
            _log.debug("an outgoing webhook waits for a service", hook=leased.hook, error=str(error))
            due = now_ms() + _UNAVAILABLE_MS
        except Exception:
            _log.exception("outgoing webhook failed", hook=leased.hook)
            due = now_ms() + _UNAVAILABLE_MS
        if due is not None:
            await self._release(leased._replace(slow=turn.was_slow), due)
        turn.end()
        if self._held.get(leased.hook) is leased:
            del self._held[leased.hook]
        self._woken.set()

    async def _release(self, leased: LeasedWebhook, due: int) -> None:
        """Release the lease. If the release fails, the lease expires."""
        try:
            await self._database.write(outgoing_webhooks.release, leased, due, brief=True)
        except RequestError as error:
            _log.debug("outgoing webhook not released", hook=leased.hook, error=str(error))

    async def _post_page(self, leased: LeasedWebhook, turn: WebhookTurn) -> int | None:
        """Post the next messages of a webhook. Returns the time at which the webhook is due again; None if its row
        already has this time. Raises RequestError, TurnEnded."""
        messages = await self._messages.read(leased.chat, leased.next, _PAGE, leased.by)
        senders = {message.sender for message in messages}
        names = await self._database.read(profiles.summaries_of, [*senders], brief=True)
        end = now_ms() + int(_TURN_SECONDS * 1000)
        for message in messages:
            if now_ms() > end or self._stopping.is_set():
                break  # a process that was frozen may have lost its lease
            if not await self._makers.may_act(leased.by):
                return now_ms() + _PAUSED_MS
            sender = names.get(message.sender) or ProfileSummary(str(message.sender), "")
            try:
                await turn.wait_for(self._post(leased, message, sender))
            except PostFailed as failed:
                await self._note_failure(leased._replace(slow=turn.was_slow), message.index, failed)
                return None
            leased = leased._replace(next=message.index + 1, attempts=0, failing_since=0)
            if not await self._database.write(outgoing_webhooks.advance, leased, message.index, brief=True):
                return now_ms()  # the lease was lost, or the webhook's maker was demoted
        return now_ms() if messages else now_ms() + _UNAVAILABLE_MS

    async def _post(self, leased: LeasedWebhook, message: Message, sender: ProfileSummary) -> None:
        """Raises PostFailed."""
        body = msgspec.json.encode(group_message(message, sender, self._base_url))
        number = webhook_id(message.chat, message.index)
        headers = signed_headers(leased.secret, number, now_ms() // 1000, body)
        try:
            await self._poster.post(leased.endpoint, headers, body)
        except PostFailed:
            self._metrics.webhook_posts.labels("failed").inc()
            raise
        self._metrics.webhook_posts.labels("delivered").inc()

    # Failures

    async def _note_failure(self, leased: LeasedWebhook, index: int, failed: PostFailed) -> None:
        """Notes a failed attempt, and stops the webhook after too many. If the receiver is gone, no dead letter is
        stored: nothing can be repaired, and users could cause any number of dead letters. While the attempt was due but
        not made, nothing failed, for example because no process ran. Raises RequestError."""
        now, error = now_ms(), str(failed)
        since = leased.failing_since + now - leased.due if leased.failing_since else now
        is_over = now - since >= self._settings.give_up_seconds * 1000
        if is_over and not failed.is_gone:
            await self._give_up(OutgoingWebhooksDue(leased.chat, index, leased.hook), error, leased.attempts + 1)
        if is_over or failed.is_gone:
            await self._database.write(outgoing_webhooks.stop, leased, error)
            _log.warning("outgoing webhook stopped", hook=leased.hook, chat=leased.chat, error=error)
            return
        due = now + pause_ms(leased.attempts, self._settings.longest_pause_seconds, random.random())  # noqa: S311
        await self._database.write(outgoing_webhooks.fail, leased, error, since, due)

    # The methods below find work that no event announced.

    async def _search(self) -> bool:
        """Search for messages whose event was lost, and correct wrong times. Raises RequestError."""
        most = 2 * max(self._lease_ms, _PAUSED_MS)  # the clocks of replicas differ
        longest = most + pause_ms(_MOST_DOUBLINGS, self._settings.longest_pause_seconds, 1.0)
        await self._database.write(outgoing_webhooks.correct_times, now_ms(), most, longest)
        after = ChatId(0)
        while known := await self._database.read(outgoing_webhooks.known_heads, after, _CHATS):
            heads = await self._messages.last_indexes(list(known))
            for chat, head in heads.items():
                if head > known.get(chat, head):
                    await self._note_head(chat, head)
            after = max(known)
        failing, stopped = await self._database.read(outgoing_webhooks.count)
        self._metrics.webhooks_failing.set(failing)
        self._metrics.webhooks_stopped.set(stopped)
        return False


def pause_ms(attempts: int, longest_seconds: float, fraction: float) -> int:
    """The pause before the next attempt, after `attempts` earlier failures and one more. `fraction` (0 to 1) spreads
    the attempts."""
    seconds: float = min(longest_seconds, 2.0 ** min(attempts, _MOST_DOUBLINGS))
    return int(seconds * (0.8 + 0.4 * fraction) * 1000)


_SECRET_PREFIX = "whsec_"  # noqa: S105


def secret_of(key: bytes) -> str:
    """The text of a key that users get."""
    return _SECRET_PREFIX + base64.b64encode(key).decode()


def webhook_id(chat: ChatId, index: int) -> str:
    """The id of a message for webhooks. The id is the same for each attempt, and for a replay."""
    return f"{chat}.{index}"


def sign(secret: str, number: str, timestamp: int, body: bytes) -> str:
    """The value of the header webhook-signature. `timestamp`: Unix seconds."""
    key = base64.b64decode(secret.removeprefix(_SECRET_PREFIX))
    digest = hmac.digest(key, f"{number}.{timestamp}.".encode() + body, hashlib.sha256)
    return f"v1,{base64.b64encode(digest).decode()}"


def signed_headers(secret: str, number: str, timestamp: int, body: bytes) -> dict[str, str]:
    return {
        "webhook-id": number,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": sign(secret, number, timestamp, body),
    }
