"""The invariants about changes of messages: no acknowledged change is lost, and `rev` counts the changes of a chat.

This module does no I/O.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from tests.drills.native_messages import MessageState
from tests.drills.record_index import RecordIndex
from tests.drills.records import ChangeRequested, LastStatesSeen
from tests.drills.requested_changes import LastStates, RequestedChange

_MOST_EVENTS = 2


def kept(record_index: RecordIndex) -> Iterator[str]:
    """After its last sync, a native user has the last acknowledged state of each message. When the user reads the
    message again, it has the same state.

    A change without a reply may have been made or not.
    """
    for rejected in record_index.changes_rejected.values():
        yield f"{rejected.name} was rejected: {rejected.details}"
    for (account, chat, again), seen in record_index.last_states.items():
        shown = {(chat, one.index): MessageState(one.text, frozenset(one.mine)) for one in seen.messages}
        way = "reads" if again else "has"
        for text in _last_states(record_index, account, seen).differences(shown):
            yield f"account {account} {way}: {text}"


def _last_states(record_index: RecordIndex, account: int, seen: LastStatesSeen) -> LastStates:
    """Returns the last states of the messages that the account has, and of those that it has changed."""
    chat, known = seen.chat, LastStates()
    requests = [request for request in _requests(record_index) if request.chat == chat]
    own = [request for request in requests if _account(record_index, request) == account]
    wanted = {request.index for request in own} | {one.index for one in seen.messages}
    for entry in record_index.recorded.history.get(chat, ()):
        if entry.index in wanted:
            known.written((chat, entry.index), entry.text)
    for request in own:
        place, change = (chat, request.index), RequestedChange(request.kind, request.value)
        if place not in known.acknowledged:
            continue
        known.requested(place, change)
        if request.name in record_index.changes_acked:
            known.made(place, change)
        elif request.name in record_index.changes_rejected:
            known.rejected(place, change)
    return known


@dataclass(frozen=True)
class _Content:
    """The change that has a certain `rev`.

    It lacks the emoji of a reaction, because pages of changes do not show it.
    """

    index: int
    kind: str
    text: str


def numbered(record_index: RecordIndex) -> Iterator[str]:
    """The `rev` numbers of a chat's changes are 1, 2, 3 …, in the order in which the changes were acknowledged and
    seen.

    Each change has only one `rev`. With two, it would have been made twice.
    """
    chats = {request.chat for request in _requests(record_index)} | {one.chat for one in record_index.changes_seen}
    for chat in sorted(chats):
        yield from _ChatChanges(record_index, chat).violations()
    yield from _seen_in_order(record_index)


class _ChatChanges:
    def __init__(self, record_index: RecordIndex, chat: int) -> None:
        self._chat = chat
        self._acked: list[tuple[int, int, ChangeRequested]] = []
        """The account, the `rev` and the request, in the order of the acknowledgements."""
        self._undecided: list[ChangeRequested] = []
        for request in _requests(record_index):
            if request.chat != chat:
                continue
            acks = record_index.changes_acked.get(request.name, ())
            self._acked += [(_account(record_index, request), ack.rev, request) for ack in acks]
            if not acks and request.name not in record_index.changes_rejected:
                self._undecided.append(request)
        self._seen: defaultdict[int, set[_Content]] = defaultdict(set)
        for one in record_index.changes_seen:
            if one.chat == chat:
                self._seen[one.rev].add(_Content(one.index, one.kind, one.text))
        self._shown = [seen.rev for (_, number, _), seen in record_index.last_states.items() if number == chat]

    def violations(self) -> Iterator[str]:
        yield from self._each_has_its_own()
        yield from self._seen_as_requested()
        yield from self._dense()
        yield from self._in_turn()

    def _each_has_its_own(self) -> Iterator[str]:
        of_rev: dict[int, str] = {}
        of_name: dict[str, int] = {}
        for _, rev, request in self._acked:
            if of_rev.setdefault(rev, request.name) != request.name:
                yield f"{of_rev[rev]} and {request.name} were both acknowledged as {self._chat}/rev {rev}"
            if of_name.setdefault(request.name, rev) != rev:
                yield f"{request.name} was made twice, as rev {of_name[request.name]} and {rev} of {self._chat}"

    def _seen_as_requested(self) -> Iterator[str]:
        acked = {rev: _content(request) for _, rev, request in self._acked}
        undecided = set(map(_content, self._undecided))
        for rev, contents in sorted(self._seen.items()):
            for content in contents:
                if content != acked.get(rev) and not (rev not in acked and content in undecided):
                    yield f"{self._chat}/rev {rev} is seen as {content}, and acknowledged as {acked.get(rev)}"

    def _dense(self) -> Iterator[str]:
        """The `rev` numbers of the changes are consecutive. A change without a reply can explain one missing number."""
        known = {rev for _, rev, _ in self._acked} | self._seen.keys()
        last, lowest = max([*known, *self._shown], default=0), min(self._shown, default=None)
        holes = set(range(1, last + 1)) - known
        if len(holes) > len(self._undecided):
            yield f"{self._chat}: rev {sorted(holes)} of {last} belong to no change"
        if 0 in known:
            yield f"{self._chat}: a change was acknowledged as rev 0"
        if lowest is not None and lowest < max(known, default=0):
            yield f"{self._chat} has rev {lowest} in the end, and {max(known)} before"

    def _in_turn(self) -> Iterator[str]:
        before: dict[int, tuple[int, str]] = {}
        for account, rev, request in self._acked:
            earlier, name = before.get(account, (0, ""))
            if rev < earlier:
                yield f"{request.name} was acknowledged as {self._chat}/rev {rev}, after {name} as {earlier}"
            before[account] = rev, request.name


def _seen_in_order(record_index: RecordIndex) -> Iterator[str]:
    """On a connection, pages show the changes of a chat once and in order.

    An event about a change comes at most twice: live, and by a sync. Events may come in any order while the leader of
    the chat changes.
    """
    paged: dict[tuple[int, int], int] = defaultdict(int)
    events: Counter[tuple[int, int, int]] = Counter()
    for one in record_index.changes_seen:
        on = one.connection, one.chat
        if not one.paged:
            events[*on, one.rev] += 1
        elif one.rev <= paged[on]:
            yield f"a page on connection {one.connection} shows {one.chat}/rev {one.rev} after {paged[on]}"
        else:
            paged[on] = one.rev
    for (connection, chat, rev), times in events.items():
        if times > _MOST_EVENTS:
            yield f"connection {connection} got {chat}/rev {rev} {times} times"


def _requests(record_index: RecordIndex) -> list[ChangeRequested]:
    """Returns each requested change once, in order of time."""
    return [attempts[0] for attempts in record_index.changes_requested.values()]


def _account(record_index: RecordIndex, request: ChangeRequested) -> int:
    return record_index.connections[request.connection].account


def _content(request: ChangeRequested) -> _Content:
    """Returns the change as other users see it."""
    kind = "reaction" if request.kind in ("react", "unreact") else request.kind
    return _Content(request.index, kind, request.value if kind == "edit" else "")
