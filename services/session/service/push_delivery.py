"""Decides which devices are notified of a message, and sends the notifications. Each notification is sent at least
once. Messages are delivered independently of this module. Times are Unix milliseconds."""

import asyncio
import contextlib
import random
import secrets
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import partial
from time import monotonic
from typing import NamedTuple

from services.session.domain import LOBBY
from services.session.metrics import SessionMetrics
from services.session.push_rules import (
    Notified,
    PushRecipient,
    PushServices,
    decide,
    is_quiet,
    pause_ms,
    read_meanwhile,
    ripe,
)
from services.session.service.mail_digests import MailDigests, MailedChat
from services.session.service.message_reader import MessageReader
from services.session.service.ports import PUSHES_AT_ONCE, PushFailed, PushMessage, PushResult, PushSender
from services.session.service.push_texts import PushTexts, Shown
from services.session.service.repeating import repeat
from services.session.service.subscriptions import PushLogins, notifies
from services.session.store import push_queue, subscriptions
from services.session.store.push_queue import UNDECIDED, DeviceChat, DevicesLeftOut, DueChat, NotifyingChat
from services.session.store.subscriptions import PushDevice
from shared.clock import now_ms
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.following import ChatNews
from shared.contract.ids import AccountId, ChatId
from shared.contract.model import Message
from shared.contract.push import IRC, PushDue
from shared.contract.receipts import ReadIndex
from shared.settings import Settings
from shared.tasks import Tasks, growing_pauses, is_set_within
from shared.telemetry import log
from shared.transactions import Transactions

_log = log(__name__)

_TICK_SECONDS = 1.0
_CHATS = 100
"""The most chats that are decided in one step."""
_DEVICES = 16
"""The most devices that are taken in one step."""
_MEMBERS = 5_000
"""The highest number of members of the chats that are decided in one step, unless a single chat has more."""
_LEASE_MS = 60_000
"""A process holds a lease for this time. It is longer than a turn and one request together."""
_TURN_SECONDS = 20.0
_TURN_SENDS = 20
_NOTE_SECONDS, _NOTE_PAUSES = 20.0, (0.1, 2.0)
_QUIET_MS = 60_000
_UNAVAILABLE_MS = 5_000
_CLOSE_SECONDS = 3.5
_GIVE_UP_MS = 30 * 86_400_000
_CORRECT_SECONDS = 30.0
_FORGET_SECONDS = 3_600.0
_NEW = 50
"""The most messages that are read to find the first one that notifies. The time until a mail begins with that
message."""
_NEWEST = 1_000
"""If nothing was decided about a chat yet, only this number of its newest messages may notify."""


class _Readers(NamedTuple):
    """The members with devices, and the indexes up to which they have read. `lacking`: the chats whose read indexes the
    message service does not know now."""

    found: Mapping[ChatId, NotifyingChat]
    read: Mapping[tuple[AccountId, ChatId], ReadIndex]
    lacking: Collection[ChatId]


def _start(one: DueChat, heads: Mapping[ChatId, tuple[int, int]], readers: _Readers) -> int | None:
    """The index after which messages may notify; None if all messages are read, or nobody is to be notified."""
    head = heads.get(one.chat, (0, 0))[0]
    start = max(0, head - _NEWEST) if one.done == UNDECIDED else one.done
    if one.chat != LOBBY:
        members = readers.found[one.chat].members if one.chat in readers.found else []
        read = [state.index for member in members if (state := readers.read.get((member.account, one.chat)))]
        start = max(start, min(read, default=head))
    return start if start < head and one.chat not in readers.lacking else None


class _Turn:
    """A turn of a device, in which its notifications are sent. The turn ends after a time or a number of notifications.
    So other devices of the same push service get turns, and the lease of the device does not expire."""

    def __init__(self, lease: str) -> None:
        self.lease = lease
        self._end = monotonic() + _TURN_SECONDS
        self.sends = self.slowest_ms = self.pause_ms = 0

    def is_over(self) -> bool:
        return self.pause_ms > 0 or self.sends >= _TURN_SENDS or monotonic() >= self._end

    @contextlib.contextmanager
    def sending(self) -> Iterator[None]:
        began = monotonic()
        self.sends += 1
        try:
            yield
        finally:
            self.slowest_ms = max(self.slowest_ms, int((monotonic() - began) * 1000))


class PushWays(NamedTuple):
    """The sender of notifications to push services."""

    sender: PushSender
    texts: PushTexts
    mails: MailDigests


class PushDelivery:
    """Works on two queues in the database: chats with new messages, and devices with notifications. All replicas share
    the queues."""

    def __init__(
        self,
        database: Transactions,
        messages: MessageReader,
        logins: PushLogins,
        ways: PushWays,
        metrics: SessionMetrics,
        settings: Settings,
    ) -> None:
        self._database = database
        self._messages = messages
        self._logins = logins
        self._sender, self._texts, self._mails = ways
        self._metrics = metrics
        self._settings = settings.push
        self._timeout_ms = int(settings.push.timeout_seconds * 1000)
        self._lease_ms = _LEASE_MS + self._timeout_ms
        self._in_progress: set[int] = set()
        """The devices that have a turn in this process."""
        self._delay_ms = int(settings.push.delay_seconds * 1000)
        self._is_on = notifies(settings.push)
        self._services = PushServices(PUSHES_AT_ONCE)
        self._stopping = asyncio.Event()
        self._woken = asyncio.Event()
        self._noted = asyncio.Event()
        """Set when a chat has new messages."""
        self._loops, self._tasks = Tasks(), Tasks()

    async def messages_posted(self, event: PushDue) -> None:
        """Handle the durable event: chats have new messages. Raises RequestError."""
        if not self._is_on or not await self._database.read(push_queue.has_devices, brief=True):
            return
        now = now_ms()
        await self._database.write(push_queue.note_moved, event.chats, now, now + self._delay_ms)
        self._noted.set()

    def start(self) -> None:
        if self._is_on:
            run, stopping = partial(repeat, what="notifications"), self._stopping
            self._loops.start(run(self._decide, stopping, _TICK_SECONDS, woken=self._noted), "decide whom to notify")
            self._loops.start(run(self._start_sending, stopping, _TICK_SECONDS, woken=self._woken), "notify devices")
            self._loops.start(run(self._correct, stopping, _CORRECT_SECONDS), "correct times of notifications")
            self._loops.start(run(self._forget, stopping, _FORGET_SECONDS), "forget quiet chats")

    async def close(self) -> None:
        """Waits for the requests in progress instead of cancelling them, because nats-py stops reading when the reply
        to a cancelled request arrives. When the lease ends, another process takes over the unfinished work."""
        self._stopping.set()
        self._woken.set()
        self._noted.set()
        await self._loops.finish(_CLOSE_SECONDS)
        await self._tasks.finish(_CLOSE_SECONDS)

    async def _correct(self) -> bool:
        most = self._lease_ms + 2 * self._delay_ms
        await self._database.write(push_queue.correct_times, now_ms(), most)
        return False

    async def _forget(self) -> bool:
        await self._database.write(push_queue.forget, now_ms())
        return False

    # Whom messages notify

    async def _decide(self) -> bool:
        """Decides about some chats. Raises RequestError; the chats are then taken again soon, or when their leases
        end."""
        now = now_ms()
        due = await self._database.write(push_queue.take_chats, now, now + self._lease_ms, _CHATS, _MEMBERS)
        if not due:
            return False
        try:
            await self._decide_chats(due)
        except RequestError:
            for one in due:  # this changes no chat that is decided already, because its index has moved
                again = now_ms() + _UNAVAILABLE_MS
                await self._database.write(push_queue.finish_chat, one, one.done, again, [], now_ms())
            raise
        self._woken.set()
        return True

    async def _decide_chats(self, due: Sequence[DueChat]) -> None:
        heads = await self._messages.last_change_of([one.chat for one in due])
        readers = await self._readers([one.chat for one in due if one.chat != LOBBY])
        starts = {one.chat: start for one in due if (start := _start(one, heads, readers)) is not None}
        left = {one.chat: one for one in due}
        async for page in self._messages.pages_after({chat: (at, heads[chat][1]) for chat, at in starts.items()}):
            chat = page.position.chat
            try:
                await self._decide_chat(left.pop(chat), starts[chat], page, readers)
            except RequestError:
                raise
            except Exception:
                _log.exception("notifications of a chat's messages failed", chat=chat)
        for one in left.values():  # in these chats, there is nobody to notify, or all messages are read
            upto, again = max(one.done, heads.get(one.chat, (0, 0))[0]), None
            if one.chat in readers.lacking:
                upto, again = one.done, now_ms() + _UNAVAILABLE_MS
            await self._database.write(push_queue.finish_chat, one, upto, again, [], now_ms())

    async def _readers(self, chats: Collection[ChatId], among: Collection[AccountId] | None = None) -> _Readers:
        found = await self._database.read(push_queue.notifying, chats, among)
        pairs = [(one.account, chat) for chat, view in found.items() for one in view.members]
        indexes, lacking = await self._messages.read_indexes(pairs)
        return _Readers(found, {(one.account, one.chat): one for one in indexes}, lacking)

    async def _decide_chat(self, one: DueChat, start: int, page: ChatNews, readers: _Readers) -> None:
        """Decides about the messages of one chat. Raises RequestError."""
        now = now_ms()
        found = ripe(page.messages, start, now, self._delay_ms, more=page.more and bool(page.messages))
        if one.chat == LOBBY:
            readers = await self._readers([LOBBY], found.mentions)
        if one.chat in readers.lacking:
            await self._database.write(push_queue.finish_chat, one, one.done, now + _UNAVAILABLE_MS, [], now)
            return
        view = readers.found.get(one.chat)
        notified: Sequence[Notified] = []
        if view is not None and found.messages:
            recipients = await self._recipients(one.chat, view, readers.read)
            notified = decide(found, recipients, view.nature, now)
        await self._database.write(push_queue.finish_chat, one, found.upto, found.due, notified, now)

    async def _recipients(
        self, chat: ChatId, view: NotifyingChat, read: Mapping[tuple[AccountId, ChatId], ReadIndex]
    ) -> list[PushRecipient]:
        blocked = await self._database.read(push_queue.blocked_by, [member.account for member in view.members])
        return [
            PushRecipient(
                member.account, max(position.index + 1, member.unread_from), member.since, member.own, member.settings,
                blocked.get(member.account, frozenset()),
            )
            for member in view.members
            if (position := read.get((member.account, chat))) is not None
        ]  # fmt: skip

    # Devices

    async def _start_sending(self) -> bool:
        """Starts turns for some of the due devices. Raises RequestError."""
        free, now, lease = PUSHES_AT_ONCE - len(self._tasks), now_ms(), secrets.token_hex(8)
        if free <= 0:
            return False
        limit, without = min(free, _DEVICES), DevicesLeftOut(self._services.closed(now), [*self._in_progress])
        devices = await self._database.write(push_queue.take_devices, now, lease, now + self._lease_ms, limit, without)
        if not devices:
            return False
        try:
            ended = set(await self._logins.ended((one.account, one.sid) for one in devices))
        except RequestError:
            for one in devices:
                await self._database.write(push_queue.release, one.id, lease, now, now + _UNAVAILABLE_MS)
            raise
        await self._remove([one for one in devices if one.sid in ended], "login")
        for device in devices:
            if device.sid in ended:
                continue
            if self._services.has_place(device.origin, now):
                self._services.begin(device.origin)
                self._tasks.start(self._have_turn(device, lease), "notify a device")
            else:
                later = now + int(_TICK_SECONDS * 1000)
                await self._database.write(push_queue.release, device.id, lease, now, later)
        return len(devices) == limit

    async def _have_turn(self, device: PushDevice, lease: str) -> None:
        turn, pause = _Turn(lease), 0
        works: bool | None = None
        self._in_progress.add(device.id)
        try:
            await self._notify(device, turn)
        except PushFailed as failed:
            works = failed.result in (PushResult.GONE, PushResult.REJECTED)
            await self._note_failure(device, failed)
        except RequestError as error:
            _log.debug("a notification waits for a service", error=str(error))
            pause = _UNAVAILABLE_MS
        except Exception:
            _log.exception("a device was not notified", device=device.id)
            await self._note_failure(device, PushFailed(PushResult.REJECTED, "the server has an error"))
        finally:
            self._in_progress.discard(device.id)
            now = now_ms()
            if works is None and turn.sends:
                works = True
            self._services.end(device.origin, now, works=works, took_ms=turn.slowest_ms)
            await self._database.write(push_queue.release, device.id, lease, now, now + max(pause, turn.pause_ms))
            self._woken.set()

    async def _notify(self, device: PushDevice, turn: _Turn) -> None:
        """Send the waiting notifications for as long as the turn lasts. Raises PushFailed, RequestError."""
        rows = await self._database.read(push_queue.notifications_of, device.id)
        views = await self._database.read(push_queue.notifying, [row.chat for row in rows], [device.account])
        found, _ = await self._messages.read_indexes([(device.account, chat) for chat in views], counts=True)
        states = {one.chat: one for one in found}
        if views.keys() - states.keys():
            raise RequestError(ErrorCode.UNAVAILABLE, "the message service has no member list of a chat")
        read = {int(chat): one.index for chat, one in states.items()}
        over = read_meanwhile({int(row.chat): row.waiting or row.shown for row in rows}, read)
        closed = [row.chat for row in rows if row.chat in over and row.shown]
        if dropped := [row for row in rows if row.chat in over and row.waiting]:
            await self._database.write(push_queue.drop, device.id, dropped, [])
        waiting = [row for row in rows if row.waiting and row.chat not in over]
        if not waiting and device.attempts:
            await self._database.write(subscriptions.note_idle, device.id)
        if device.is_mail:
            ended = [] if self._mails.pause_ms else waiting
            await self._database.write(push_queue.drop, device.id, ended, closed)
            await self._mail(device, [row for row in waiting if row not in ended], views, states, turn)
            return
        badge = sum(one.unread for one in states.values())
        for row in waiting:
            if self._stopping.is_set() or turn.is_over():
                return
            _, message = await self._wanted(device, row, views[row.chat], states[row.chat], turn)
            if message is not None:
                shown = Shown(message, "", "", states[row.chat].unread, badge, row.urgent, [*closed])
                withdrawn = await self._send(device, row, shown, turn)
                closed = [chat for chat in closed if chat not in withdrawn]

    async def _mail(
        self,
        device: PushDevice,
        waiting: Sequence[DeviceChat],
        views: Mapping[ChatId, NotifyingChat],
        states: Mapping[ChatId, ReadIndex],
        turn: _Turn,
    ) -> None:
        """Send one mail if a message has waited for long enough. Raises PushFailed, RequestError."""
        now, rows, chats, began, zone = now_ms(), list[DeviceChat](), list[MailedChat](), list[int](), ""
        for row in waiting[:_TURN_SENDS]:
            to, message = await self._wanted(device, row, views[row.chat], states[row.chat], turn)
            if turn.is_over():
                return
            if message is None:
                continue
            group, sender = await self._database.read(push_queue.names, row.chat, message.sender)
            unread, *_ = await self._messages.read(row.chat, to.first, 1, device.account) or [message]
            new = await self._messages.read(row.chat, max(to.first, row.shown + 1), _NEW, device.account)
            notifying = [one for one in new if decide(ripe([one], 0, now, 0), [to], views[row.chat].nature, now)]
            chats.append(MailedChat(group or sender, bool(group), states[row.chat].unread, unread.time))
            first = (notifying or [message])[0].time
            began.append(first if first <= now + self._delay_ms else 0)  # a later time is from a wrong clock
            rows.append(row)
            zone = to.own.quiet_zone
        last = device.last_ok if device.last_ok <= now else 0  # a time in the future comes from a wrong clock
        due = max(min(began, default=now), last) + self._mails.pause_ms
        if due <= now and rows:
            with turn.sending():
                await self._mails.send(device, rows, chats, zone, now)
            await self._database.write(push_queue.note_shown, device.id, rows, [], now)
            self._metrics.pushes.labels("mailed", "mail").inc()
            due = now + self._mails.pause_ms
        turn.pause_ms = due - now

    async def _wanted(
        self, device: PushDevice, row: DeviceChat, view: NotifyingChat, state: ReadIndex, turn: _Turn
    ) -> tuple[PushRecipient, Message | None]:
        """The waiting message; None if it does not notify any more. The message may be recalled or too old by now, or
        the account may have muted the chat. Quiet times of the account end the turn. Raises RequestError."""
        (to,) = await self._recipients(row.chat, view, {(device.account, row.chat): state})
        if is_quiet(to.own, now_ms()):
            turn.pause_ms = _QUIET_MS
            return to, None
        found = await self._messages.read(row.chat, row.waiting, 1, to.account)
        messages = [one for one in found if one.index == row.waiting]
        now = max([now_ms(), *(one.time for one in messages)])  # the clocks of servers differ
        if decide(ripe(messages, 0, now, 0), [to], view.nature, now):
            return to, messages[0]
        await self._database.write(push_queue.drop, device.id, [row], [])
        return to, None

    async def _send(self, device: PushDevice, row: DeviceChat, shown: Shown, turn: _Turn) -> Collection[ChatId]:
        """Sends a notification. Returns the chats whose notifications it withdraws. Raises PushFailed, RequestError."""
        text, until = await self._text(device, row.chat, shown), now_ms() + self._timeout_ms
        if not await self._database.read(push_queue.is_held, device.id, turn.lease, until, row, brief=True):
            return ()
        with turn.sending():
            await self._sender.send(device, text)
        now = now_ms()
        self._metrics.push_seconds.observe((now - shown.message.time) / 1000)
        await self._note_shown(device, row, text.closed, now)
        return text.closed

    async def _note_shown(self, device: PushDevice, row: DeviceChat, closed: Collection[ChatId], now: int) -> None:
        """Notes a notification that the push service has accepted, so that it is not sent again. While the database
        does not answer, the attempt is repeated for a part of the lease. Raises RequestError."""
        end = monotonic() + _NOTE_SECONDS
        for pause in growing_pauses(*_NOTE_PAUSES):
            try:
                return await self._database.write(push_queue.note_shown, device.id, [row], closed, now)
            except RequestError:
                if monotonic() + pause >= end or await is_set_within(self._stopping, pause):
                    raise

    async def _text(self, device: PushDevice, chat: ChatId, shown: Shown) -> PushMessage:
        sender = shown.message.sender
        if device.kind == IRC:
            server = self._texts.irc_server
            place = await self._database.read(push_queue.irc_place, chat, sender, device.account, server)
            return self._texts.of_line(shown, place, device.language)
        group, name = await self._database.read(push_queue.names, chat, sender)
        return self._texts.of_message(shown._replace(sender=name, group=group), device.language)

    async def _note_failure(self, device: PushDevice, failed: PushFailed) -> None:
        """Notes a failed attempt. A failure that this server has caused does not end a subscription."""
        now, is_ours = now_ms(), failed.result is PushResult.REJECTED
        since = device.failing_since or (0 if is_ours else now)
        if failed.result is PushResult.GONE:
            await self._remove([device], "gone")
        elif not is_ours and now - since >= _GIVE_UP_MS:
            await self._remove([device], "failing")
        else:
            fraction = random.random()  # noqa: S311
            pause = pause_ms(device.attempts, self._settings.longest_pause_seconds, failed.retry_seconds, fraction)
            await self._database.write(subscriptions.note_failed, device, str(failed), since, now + pause)

    async def _remove(self, devices: Sequence[PushDevice], cause: str) -> None:
        if devices:
            await self._database.write(push_queue.remove, [one.id for one in devices], now_ms())
            self._metrics.subscriptions_removed.labels(cause).inc(len(devices))
