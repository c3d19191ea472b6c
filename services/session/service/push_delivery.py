"""Decides which devices are notified of a message, and sends the notifications. Each notification is sent at least
once. Messages are delivered independently of this module. Times are Unix milliseconds."""

import asyncio
import contextlib
import math
import random
import secrets
from collections.abc import Awaitable, Collection, Iterator, Mapping, Sequence
from functools import partial
from time import monotonic
from typing import Any, NamedTuple

from services.session.domain import LOBBY
from services.session.metrics import SessionMetrics
from services.session.push_rules import Notified, PushRecipient, PushServices, decide, is_quiet, pause_ms, ripe
from services.session.service.background import CpuShare, repeat
from services.session.service.mail_digests import MailDigests, MailedChat
from services.session.service.message_reader import MessageReader
from services.session.service.ports import PUSHES_AT_ONCE, PushFailed, PushMessage, PushResult, PushSender
from services.session.service.push_batch import TURN_SENDS, PushBatches, PushNotes, ReadyDevice, WaitingPush, recipient
from services.session.service.push_texts import PushTexts, Shown
from services.session.service.subscriptions import PushLogins, notifies
from services.session.store import push_queue, push_turns, subscriptions
from services.session.store.push_queue import UNDECIDED, DueChat, NotifyingChat, NotifyingMember
from services.session.store.push_turns import DeviceChat, QueuedDevice, TurnNote
from services.session.store.subscriptions import PushDevice
from shared.clock import now_ms
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.following import ChatNews
from shared.contract.ids import AccountId, ChatId
from shared.contract.model import Message
from shared.contract.push import IRC, PushDue
from shared.contract.receipts import ReadIndex
from shared.settings import Settings
from shared.tasks import Tasks, is_set_within
from shared.telemetry import log
from shared.transactions import Transactions

_log = log(__name__)

_TICK_SECONDS = 1.0
_CHATS = 100
"""The most chats that are decided in one step."""
_DEVICES = 32
"""The most devices that are taken in one step."""
_FOUND = 512
"""The most devices that one search of the queue finds, because it costs as much as several notifications."""
_SEARCH_MS = 500
"""The time between two searches, unless chats were decided meanwhile."""
_GATHER_SECONDS = 0.05
"""The pause between two steps, in which further turns end. Few devices in a step cost as much as many."""
_SHARE, _SHARE_BESIDE_MESSAGES, _LONGEST_REST_SECONDS = 0.4, 0.1, 0.02
"""While this process takes more than this share of a core, it rests between two notifications, so that messages do not
wait. The second share applies while users send messages."""
_POSTED_SECONDS = 3.0
"""Users send messages if the last event of new messages is not older than this. While they do, there is an event every
one or two seconds."""
_RECIPIENTS = 500
"""The most members about whom one transaction decides, because other changes wait for it."""
_MEMBERS = 5_000
"""The highest number of members of the chats that are decided in one step, unless a single chat has more."""
_LEASE_MS = 60_000
"""A process holds a lease for this time. It is longer than a turn and one request together."""
_TURN_SECONDS = 20.0
_QUIET_MS = 60_000
_UNAVAILABLE_MS = 5_000
_CLOSE_SECONDS = 3.5
_GIVE_UP_MS = 30 * 86_400_000
_CORRECT_SECONDS = 30.0
_SLOW_MS = 1_000
"""The time of the database is not known well enough if its answer takes longer than this."""
_FORGET_SECONDS = 3_600.0
_NEW = 50
"""The most messages that are read to find the first or the last one that notifies. The time until a mail begins with
the first one."""
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
    So other devices of the same push service get turns, and the lease of the device does not expire. `shown`,
    `dropped`, `closed`: see `TurnNote`; they are not written yet."""

    def __init__(self, lease: str) -> None:
        self.lease = lease
        self._end = monotonic() + _TURN_SECONDS
        self.sends = self.slowest_ms = self.pause_ms = 0
        self.shown: list[DeviceChat] = []
        self.dropped: list[DeviceChat] = []
        self.closed: list[ChatId] = []

    def is_over(self) -> bool:
        return self.pause_ms > 0 or self.sends >= TURN_SENDS or monotonic() >= self._end

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
        self._ahead_ms = 0
        self._queue: Sequence[QueuedDevice] = ()
        """Devices that were found at `_searched` (Unix ms) and not taken since, and earlier ones of closed services."""
        self._searched = 0
        self._in_progress: set[int] = set()
        """The devices that have a turn in this process."""
        self._delay_ms = int(settings.push.delay_seconds * 1000)
        self._is_on = notifies(settings.push)
        self._services = PushServices(PUSHES_AT_ONCE)
        self._share, self._posted = CpuShare(_LONGEST_REST_SECONDS), -math.inf
        self._stopping = asyncio.Event()
        self._corrected, self._woken = asyncio.Event(), asyncio.Event()
        self._noted = asyncio.Event()
        """Set when a chat has new messages."""
        self._loops, self._tasks = Tasks(), Tasks()
        self._notes = PushNotes(database, self._now, self._stopping)
        self._batches = PushBatches(database, messages, self._now)

    def _now(self) -> int:
        """The time of the queue. All replicas use the clock of the database, because each compares the ends of the
        others' leases with its own time."""
        return now_ms() - self._ahead_ms

    async def messages_posted(self, event: PushDue) -> None:
        """Handle the durable event: chats have new messages. Raises RequestError."""
        if not self._is_on or not await self._database.read(push_queue.has_devices, brief=True):
            return
        self._posted = monotonic()
        now = self._now()
        await self._database.write(push_queue.note_moved, event.chats, now, now + self._delay_ms)
        self._noted.set()

    def start(self) -> None:
        if self._is_on:
            run = partial(repeat, stopping=self._stopping, what="notifications")
            decide = run(self._decide, seconds=_TICK_SECONDS, woken=self._noted)
            send = run(self._send_next, seconds=_TICK_SECONDS, woken=self._woken)
            self._loops.start(run(self._correct, seconds=_CORRECT_SECONDS), "correct times of notifications")
            self._loops.start(self._when_corrected(decide), "decide whom to notify")
            self._loops.start(self._when_corrected(send), "notify devices")
            self._loops.start(run(self._forget, seconds=_FORGET_SECONDS), "forget quiet chats")

    async def _when_corrected(self, loop: Awaitable[None]) -> None:
        await self._corrected.wait()
        await loop

    async def close(self) -> None:
        """Waits for the requests in progress instead of cancelling them, because nats-py stops reading when the reply
        to a cancelled request arrives. When the lease ends, another process takes over the unfinished work."""
        for event in (self._stopping, self._corrected, self._woken, self._noted):
            event.set()
        await self._loops.finish(_CLOSE_SECONDS)
        await self._tasks.finish(_CLOSE_SECONDS)
        await self._notes.close()

    async def _correct(self) -> bool:
        await self._read_clock()
        most = self._lease_ms + 2 * self._delay_ms
        await self._database.write(push_queue.correct_times, self._now(), most)
        return False

    async def _read_clock(self) -> None:
        began, of_database = now_ms(), await self._database.clock()
        took = now_ms() - began
        if 0 <= took <= _SLOW_MS or not self._corrected.is_set():
            self._ahead_ms = began + took // 2 - of_database
            self._corrected.set()

    async def _forget(self) -> bool:
        await self._database.write(push_queue.forget, self._now())
        return False

    # Whom messages notify

    async def _decide(self) -> bool:
        """Decides about some chats. Raises RequestError; the chats are then taken again soon, or when their leases
        end."""
        now = self._now()
        due = await self._database.write(push_queue.take_chats, now, now + self._lease_ms, _CHATS, _MEMBERS)
        if not due:
            return False
        try:
            await self._decide_chats(due)
        except RequestError:
            for one in due:  # this changes no chat that is decided already, because its index has moved
                again = self._now() + _UNAVAILABLE_MS
                await self._database.write(push_queue.finish_chat, one, one.done, again, [], self._now())
            raise
        self._queue, self._searched = (), 0
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
                upto, again = one.done, self._now() + _UNAVAILABLE_MS
            await self._database.write(push_queue.finish_chat, one, upto, again, [], self._now())

    async def _readers(self, chats: Collection[ChatId], among: Collection[AccountId] | None = None) -> _Readers:
        found = await self._database.read(push_queue.notifying, chats, among)
        pairs = [(one.account, chat) for chat, view in found.items() for one in view.members]
        indexes, lacking = await self._messages.read_indexes(pairs)
        return _Readers(found, {(one.account, one.chat): one for one in indexes}, lacking)

    async def _decide_chat(self, one: DueChat, start: int, page: ChatNews, readers: _Readers) -> None:
        """Decides about the messages of one chat. Raises RequestError."""
        now = self._now()
        found = ripe(page.messages, start, now, self._delay_ms, more=page.more and bool(page.messages))
        if one.chat == LOBBY:
            readers = await self._readers([LOBBY], found.mentions)
        if one.chat in readers.lacking:
            await self._database.write(push_queue.finish_chat, one, one.done, now + _UNAVAILABLE_MS, [], now)
            return
        view = readers.found.get(one.chat)
        notified: Sequence[Notified] = []
        if view is not None and found.messages:
            for start in range(0, len(view.members), _RECIPIENTS):
                if notified:
                    await self._database.write(push_queue.store_notified, one, notified, now)
                    await self._rest()
                some = view.members[start : start + _RECIPIENTS]
                notified = decide(found, await self._recipients(one.chat, some, readers.read), view.nature, now)
        await self._database.write(push_queue.finish_chat, one, found.upto, found.due, notified, now)

    async def _recipients(
        self, chat: ChatId, members: Sequence[NotifyingMember], read: Mapping[tuple[AccountId, ChatId], ReadIndex]
    ) -> list[PushRecipient]:
        blocked = await self._database.read(push_queue.blocked_by, [member.account for member in members])
        return [
            recipient(member, position, blocked.get(member.account, frozenset()))
            for member in members
            if (position := read.get((member.account, chat))) is not None
        ]

    async def _rest(self) -> None:
        are_sent = monotonic() - self._posted < _POSTED_SECONDS
        await self._share.rest(_SHARE_BESIDE_MESSAGES if are_sent else _SHARE)

    # Devices

    async def _send_next(self) -> bool:
        found = await self._start_sending()
        if found:
            await is_set_within(self._stopping, _GATHER_SECONDS)
        return found

    async def _start_sending(self) -> bool:
        """Starts turns for some of the due devices. Raises RequestError."""
        free, now, lease = PUSHES_AT_ONCE - len(self._tasks), self._now(), secrets.token_hex(8)
        if free <= 0:
            return False
        closed, until = self._services.closed(now), now + self._lease_ms
        limit = min(free, _DEVICES, self._services.most_places(closed))
        devices = list[PushDevice]()
        while not devices:
            if not (some := await self._next_queued(closed, limit)):
                return False
            devices = await self._database.write(push_turns.take_devices, some, now, lease, until)
        chosen = self._choose(devices, now)
        try:
            ended = set(await self._logins.ended((one.account, one.sid) for one in devices))
            await self._remove([one for one in devices if one.sid in ended], "login")
            valid = [one for one in chosen if one.sid not in ended]
            ready = await self._batches.prepare(valid, lease, self._timeout_ms)
        except Exception:
            self._end_turns(chosen, now)
            await self._release(devices, lease, now + _UNAVAILABLE_MS)
            raise
        self._end_turns([one for one in chosen if one.sid in ended], now)
        for one in ready:
            self._tasks.start(self._have_turn(one, _Turn(lease)), "notify a device")
        await self._release([one for one in devices if one not in chosen], lease, now + int(_TICK_SECONDS * 1000))
        return True

    async def _next_queued(self, closed: Sequence[str], limit: int) -> list[int]:
        """Removes the next devices from `_queue`, at most `limit`. If there is none, the queue is searched. Raises
        RequestError."""
        free, now = self._free_devices(closed), self._now()
        if not free and not self._searched <= now < self._searched + _SEARCH_MS:
            self._searched = now
            found = await self._database.read(push_turns.find_devices, now, closed, _FOUND)
            self._queue = [*found, *self._queue]
            free = self._free_devices(closed)
        taken = {one.id for one in free[:limit]}
        self._queue = [one for one in self._queue if one.id not in taken][:_FOUND]
        return [one.id for one in free[:limit]]

    def _free_devices(self, closed: Sequence[str]) -> list[QueuedDevice]:
        origins = frozenset(closed)
        return [one for one in self._queue if one.origin not in origins and one.id not in self._in_progress]

    def _choose(self, devices: Sequence[PushDevice], now: int) -> list[PushDevice]:
        """Chooses the devices whose push services have places, and gives them these places."""
        chosen: list[PushDevice] = []
        for device in devices:
            if self._services.has_place(device.origin, now):
                self._services.begin(device.origin)
                self._in_progress.add(device.id)
                chosen.append(device)
        return chosen

    def _end_turns(self, devices: Sequence[PushDevice], now: int) -> None:
        """Ends turns in which nothing was sent."""
        for device in devices:
            self._in_progress.discard(device.id)
            self._services.end(device.origin, now, works=None)

    async def _release(self, devices: Sequence[PushDevice], lease: str, due: int) -> None:
        if devices:
            notes = [TurnNote(one.id, lease=lease, due=due) for one in devices]
            await self._database.write(push_turns.note_turns, notes, self._now())

    async def _have_turn(self, ready: ReadyDevice, turn: _Turn) -> None:
        device, pause = ready.device, 0
        works: bool | None = None
        try:
            await self._notify(ready, turn)
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
            now = self._now()
            if works is None and turn.sends:
                works = True
            self._services.end(device.origin, now, works=works, took_ms=turn.slowest_ms)
            is_idle = bool(device.attempts) and not ready.waiting and not ready.is_lacking
            await self._write(device, turn, idle=is_idle, lease=turn.lease, due=now + max(pause, turn.pause_ms))
            if not self._services.is_crowded(device.origin):  # otherwise, each end would cost a search of the queue
                self._woken.set()

    async def _write(self, device: PushDevice, turn: _Turn, **more: Any) -> None:
        """Writes what has happened in the turn. Raises RequestError."""
        await self._notes.write(TurnNote(device.id, [*turn.shown], [*turn.dropped], [*turn.closed], **more))
        for written in (turn.shown, turn.dropped, turn.closed):
            written.clear()

    async def _notify(self, ready: ReadyDevice, turn: _Turn) -> None:
        """Send the waiting notifications for as long as the turn lasts. Raises PushFailed, RequestError."""
        if ready.is_lacking:
            raise RequestError(ErrorCode.UNAVAILABLE, "the message service has no member list of a chat")
        turn.dropped += ready.over
        if ready.device.is_mail:
            await self._mail(ready, turn)
            return
        closed = [*ready.closed]
        for one in ready.waiting:
            if turn.shown:
                await self._write(ready.device, turn)
            if self._stopping.is_set() or turn.is_over():
                return
            await self._rest()
            message = await self._wanted(ready, one, turn)
            if message is not None:
                shown = Shown(message, "", "", one.state.unread, ready.badge, one.row.urgent, closed)
                withdrawn = await self._send(ready, one.row, shown, turn)
                closed = [chat for chat in closed if chat not in withdrawn]

    async def _mail(self, ready: ReadyDevice, turn: _Turn) -> None:
        """Send one mail if a message has waited for long enough. Raises PushFailed, RequestError."""
        turn.closed += ready.closed
        if not self._mails.pause_ms:
            turn.dropped += [one.row for one in ready.waiting]
            return
        device, now, rows = ready.device, self._now(), list[DeviceChat]()
        chats, began, zone = list[MailedChat](), list[int](), ""
        for one in ready.waiting:
            message, chat = await self._wanted(ready, one, turn), one.row.chat
            if turn.is_over():
                return
            if message is None:
                continue
            group, sender = await self._names(ready, chat, message.sender)
            unread, *_ = await self._messages.read(chat, one.to.first, 1, device.account) or [message]
            new = await self._messages.read(chat, max(one.to.first, one.row.shown + 1), _NEW, device.account)
            notifying = [each for each in new if decide(ripe([each], 0, now, 0), [one.to], one.nature, now)]
            chats.append(MailedChat(group or sender, bool(group), one.state.unread, unread.time))
            first = (notifying or [message])[0].time
            began.append(first if first <= now + self._delay_ms else 0)  # a later time is from a wrong clock
            rows.append(one.row)
            zone = one.to.own.quiet_zone
        last = device.last_ok if device.last_ok <= now else 0  # a time in the future comes from a wrong clock
        due = max(min(began, default=now), last) + self._mails.pause_ms
        if due <= now and rows:
            with turn.sending():
                await self._mails.send(device, rows, chats, zone, now)
            turn.shown += rows
            self._metrics.pushes.labels("mailed", "mail").inc()
            due = now + self._mails.pause_ms
        turn.pause_ms = due - now

    async def _wanted(self, ready: ReadyDevice, one: WaitingPush, turn: _Turn) -> Message | None:
        """The waiting message or, if it does not notify any more, the last unread one before it that does; None if
        there is none. Messages may be recalled or too old by now, or the account may have muted the chat. Quiet times
        of the account end the turn. Raises RequestError."""
        if is_quiet(one.to.own, self._now()):
            turn.pause_ms = _QUIET_MS
            return None
        message = one.message
        if message is None or not ready.is_fresh(self._now()):
            found = await self._messages.read(one.row.chat, one.row.waiting, 1, ready.device.account)
            message = next((each for each in found if each.index == one.row.waiting), None)
        messages = [message] if message is not None else []
        now = max([self._now(), *(each.time for each in messages)])  # the clocks of servers differ
        if decide(ripe(messages, 0, now, 0), [one.to], one.nature, now):
            return message
        chat, start = one.row.chat, max(one.to.first, one.row.shown + 1, one.row.waiting - _NEW)
        if start < one.row.waiting:
            before = await self._messages.read(chat, start, one.row.waiting - start, ready.device.account)
            if notified := decide(ripe(before, 0, now, 0), [one.to], one.nature, now):
                return next(each for each in before if each.index == notified[0].upto)
        turn.dropped.append(one.row)
        return None

    async def _send(self, ready: ReadyDevice, row: DeviceChat, shown: Shown, turn: _Turn) -> Collection[ChatId]:
        """Sends a notification. Returns the chats whose notifications it withdraws. Raises PushFailed, RequestError."""
        text = await self._text(ready, row.chat, shown)
        if not await self._is_held(ready, row, turn):
            return ()
        with turn.sending():
            await self._sender.send(ready.device, text)
        self._metrics.push_seconds.observe((self._now() - shown.message.time) / 1000)
        turn.shown.append(row)
        turn.closed += text.closed
        return text.closed

    async def _is_held(self, ready: ReadyDevice, row: DeviceChat, turn: _Turn) -> bool:
        """Whether this process may still send the notification. Raises RequestError."""
        device, held, now = ready.device.id, ready.held, self._now()
        if not ready.is_fresh(now):
            held = await self._database.read(push_turns.held, [device], turn.lease, now + self._timeout_ms, brief=True)
        return held.get((device, row.chat), 0) >= row.waiting

    async def _text(self, ready: ReadyDevice, chat: ChatId, shown: Shown) -> PushMessage:
        device, sender = ready.device, shown.message.sender
        if device.kind == IRC:
            server = self._texts.irc_server
            place = await self._database.read(push_turns.irc_place, chat, sender, device.account, server)
            return self._texts.of_line(shown, place, device.language)
        group, name = await self._names(ready, chat, sender)
        return self._texts.of_message(shown._replace(sender=name, group=group), device.language)

    async def _names(self, ready: ReadyDevice, chat: ChatId, sender: AccountId) -> tuple[str, str]:
        names = ready.names
        if sender not in names.nicknames:
            names = await self._database.read(push_turns.names, [chat], [sender])
        return names.of(chat, sender)

    async def _note_failure(self, device: PushDevice, failed: PushFailed) -> None:
        """Notes a failed attempt. A failure that this server has caused does not end a subscription."""
        now, is_ours = self._now(), failed.result is PushResult.REJECTED
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
            await self._database.write(push_queue.remove, [one.id for one in devices], self._now())
            self._metrics.subscriptions_removed.labels(cause).inc(len(devices))
