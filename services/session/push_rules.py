"""Pure functions that decide which accounts are notified of a message. Times are Unix milliseconds."""

from collections import OrderedDict
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from itertools import takewhile
from typing import NamedTuple

from shared.clock import time_zone
from shared.contract.body import EXPIRED_BODY, RECALLED_BODY, mentioned_accounts
from shared.contract.ids import AccountId
from shared.contract.model import Message
from shared.contract.own_settings import OwnSettings
from shared.contract.session import MemberSettings

LIFETIME_MS = 7 * 86_400_000
"""Nobody is notified of a message that is older than this."""


class PushRecipient(NamedTuple):
    """A member with a device. `first`: the index of the first message that the member may see and has not read.
    `since`: when the first of the member's devices subscribed. `blocked`: the accounts that the member blocks."""

    account: AccountId
    first: int
    since: int
    own: OwnSettings
    member: MemberSettings
    blocked: frozenset[AccountId] = frozenset()


class ChatNature(NamedTuple):
    """`is_private`: the chat is between two users, or from the operator. `is_lobby`: the chat is the lobby, where all
    accounts are members, so only mentions notify."""

    is_private: bool
    is_lobby: bool = False


class Notified(NamedTuple):
    """`upto`: the newest message that notifies the account. `urgent`: the chat is private, or the account was
    mentioned."""

    account: AccountId
    upto: int
    time: int
    urgent: bool


class Ripe(NamedTuple):
    """Messages of a chat that are old enough to notify, ascending. `mentions`: for each account, the messages that
    mention it. `upto`: the last index that is decided now. `due`: when the next message can be decided; None if there
    is no further message. `own`: the index of each sender's last message. A sender has read all messages before it."""

    messages: Sequence[Message]
    mentions: Mapping[AccountId, Sequence[Message]]
    upto: int
    due: int | None
    own: Mapping[AccountId, int]


def ripe(messages: Sequence[Message], done: int, now: int, delay: int, *, more: bool = False) -> Ripe:
    """Selects from `messages`, the messages after `done` in ascending order, those that are decided now. Messages of
    the last `delay` milliseconds are decided later, because their recipients may still be reading. A message whose time
    is more than `delay` in the future has it from a wrong clock, and is decided now. `more`: there are further messages
    after `messages`."""
    old = list(takewhile(lambda one: not now - delay < one.time <= now + delay, messages))
    upto, left = (old[-1].index if old else done), messages[len(old) :]
    due = left[0].time + delay if left else (now if more else None)
    notifying = [one for one in old if one.time >= now - LIFETIME_MS and one.body not in (RECALLED_BODY, EXPIRED_BODY)]
    mentions: dict[AccountId, list[Message]] = {}
    for one in notifying:
        for account in mentioned_accounts(one.body):
            mentions.setdefault(account, []).append(one)
    return Ripe(notifying, mentions, upto, due, {one.sender: one.index for one in messages})


def decide(found: Ripe, recipients: Iterable[PushRecipient], nature: ChatNature, now: int) -> list[Notified]:
    notified = (_newest(found, one, nature, now) for one in recipients)
    return [one for one in notified if one is not None]


def _newest(found: Ripe, to: PushRecipient, nature: ChatNature, now: int) -> Notified | None:
    if to.own.level == "none" or to.member.until > now:
        return None
    to = to._replace(first=max(to.first, found.own.get(to.account, 0)))
    mention = _last(found.mentions.get(to.account, ()), to, now)
    is_silent = to.member.mentions_only or nature.is_lobby or (to.own.level == "mentions" and not nature.is_private)
    newest = mention if is_silent else _last(found.messages, to, now)
    if newest is None or is_quiet(to.own, now):
        return None
    return Notified(to.account, newest.index, newest.time, nature.is_private or mention is not None)


def _last(messages: Sequence[Message], to: PushRecipient, now: int) -> Message | None:
    """The last of these messages of which the recipient is notified; None if there is none. If a wrong clock has given
    a device a time in the future, the device is notified of all messages."""
    since = to.since if to.since <= now else 0
    for one in reversed(messages):
        if one.index < to.first:
            return None
        if one.time >= since and one.sender != to.account and one.sender not in to.blocked:
            return one
    return None


def is_quiet(own: OwnSettings, now: int) -> bool:
    """Whether "do not disturb" or the quiet times of the account suppress notifications now. Quiet times in an unknown
    time zone are ignored."""
    if own.until > now:
        return True
    if not own.quiet_zone or own.quiet_from == own.quiet_to:
        return False
    zone = time_zone(own.quiet_zone)
    if zone is None:
        return False
    time = datetime.fromtimestamp(now / 1000, UTC).astimezone(zone).strftime("%H:%M")
    if own.quiet_from < own.quiet_to:
        return own.quiet_from <= time < own.quiet_to
    return time >= own.quiet_from or time < own.quiet_to


# Attempts


def pause_ms(attempts: int, longest_seconds: float, demanded_seconds: float, fraction: float) -> int:
    """The pause before the next attempt, after `attempts` earlier failures and one more. `demanded_seconds`: the pause
    that the push service demands, or 0. `fraction` (0 to 1) spreads the attempts."""
    seconds = max(demanded_seconds, min(longest_seconds, 2.0 ** min(attempts, 30)))
    return int(seconds * (1.0 + 0.2 * fraction) * 1000)


class _Service:
    """The state of one push service. `failures`: the number of failures in a row. `until`: the end of the pause.
    `slow`: the number of slow turns minus the number of fast turns."""

    __slots__ = ("failures", "running", "slow", "until")

    def __init__(self) -> None:
        self.running = self.failures = self.until = self.slow = 0


class PushServices:
    """Tracks which push services work, by their origins. After three failures in a row, a service gets one request at a
    time, after a pause that doubles up to five minutes. Before that, a service has at most half of all places, and each
    slow turn halves this share. So a broken or slow service delays only its own notifications. Users choose the
    origins, so only the origins used last are remembered."""

    _FAILURES = 3
    _LONGEST_MS = 300_000
    _SLOW_MS = 3_000
    _SLOWEST = 5
    _KNOWN = 1_000

    def __init__(self, places: int) -> None:
        self._most = max(1, places // 2)
        self._services: OrderedDict[str, _Service] = OrderedDict()

    def closed(self, now: int) -> list[str]:
        """The origins whose devices are not taken now: those that must get no request, and crowded ones."""
        origins = [*self._services]
        return [one for one in origins if not self.has_place(one, now) or self.is_crowded(one)]

    def is_crowded(self, origin: str) -> bool:
        """Whether the service uses more than half of its places. Its devices are not taken then, because few devices
        cost as much as many."""
        one = self._services.get(origin) or _Service()
        return one.running > self._places(one) // 2

    def has_place(self, origin: str, now: int) -> bool:
        one = self._services.get(origin) or _Service()
        return one.running < self._places(one) and not now < one.until <= now + self._LONGEST_MS  # a wrong clock

    def most_places(self, closed: Collection[str]) -> int:
        """The highest number of free places of a service that gets requests now and is not `closed`. If there is no
        such service, the number of a service's places."""
        busy = [one for origin, one in self._services.items() if one.running and origin not in closed]
        return max((self._places(one) - one.running for one in busy), default=self._most)

    def _places(self, one: _Service) -> int:
        return 1 if one.failures >= self._FAILURES else max(1, self._most >> one.slow)

    def begin(self, origin: str) -> None:
        self._services.setdefault(origin, _Service()).running += 1
        self._services.move_to_end(origin)
        if len(self._services) > self._KNOWN:
            idle = next((name for name, one in self._services.items() if not one.running), None)
            if idle is not None:
                del self._services[idle]

    def end(self, origin: str, now: int, *, works: bool | None, took_ms: int = 0) -> None:
        """End a request. `works`: whether the service has given a proper answer, whichever it was; None if no request
        was sent. `took_ms`: the duration of the slowest answer."""
        one = self._services[origin]
        one.running -= 1
        if works is None:
            return
        one.slow = min(one.slow + 1, self._SLOWEST) if took_ms >= self._SLOW_MS else max(0, one.slow - 1)
        if works:
            one.failures = one.until = 0
            return
        one.failures += 1
        over = one.failures - self._FAILURES
        one.until = now + (min(self._LONGEST_MS, 1_000 * 2 ** min(over, 20)) if over >= 0 else 0)


def read_meanwhile(waiting: Mapping[int, int], read: Mapping[int, int]) -> list[int]:
    """The chats among `waiting` that need no notification any more. `waiting` has the index of the message for each
    chat. A chat is included if the account has read up to this index, or has left the chat, which is then missing in
    `read`."""
    return [chat for chat, index in waiting.items() if chat not in read or read[chat] >= index]
