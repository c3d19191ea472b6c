"""The records of a run, with indexes for the checker."""

import math
from bisect import bisect_left
from collections import defaultdict
from itertools import islice
from typing import NamedTuple, assert_never

from msgspec.structs import replace

from tests.drills.first_texts import with_first_texts
from tests.drills.records import (
    ChangeAcknowledged,
    ChangeRejected,
    ChangeRequested,
    ChangeSeen,
    ChatAnnounced,
    Closed,
    ConnectAttempted,
    Deleted,
    Departed,
    DrillRecords,
    DrillStalled,
    Ended,
    Entry,
    Fault,
    FuzzEnded,
    Healed,
    Joined,
    LastStatesSeen,
    MessageAcknowledged,
    MessageReceived,
    MessageRejected,
    MessageSent,
    Opened,
    PhaseBegan,
    PresenceSeen,
    ReadinessChanged,
    Record,
    ResourcesSeen,
    SleeperCutOff,
    TracebackLogged,
    UnreadFetched,
    UnreadShown,
    place_id,
)

ABNORMAL = 1006
"""The close code of a connection that ended without a close frame."""
_CLOSING_SECONDS = 5.0
"""A client may notice up to this many seconds later that its edge was killed."""
_COMMITTING_SECONDS = 6.0
"""The messages that a connection received are committed as read within this time. It counts from the end of the
connection, or from the acknowledgement of a later message.

On a busy machine, the edge needs two attempts of two seconds each.
"""


class Place(NamedTuple):
    """The place where a message is stored."""

    chat: int
    entry: Entry

    @property
    def content(self) -> tuple[int, str, int]:
        return self.entry.sender, self.entry.text, self.entry.time


def _with_ids(recorded: DrillRecords) -> DrillRecords:
    """Replaces each `place_id` by the id of the message that the history has there."""
    ids = {place_id(chat, entry.index): entry.msg_id for chat, entries in recorded.history.items() for entry in entries}

    def identified(record: Record) -> Record:
        if isinstance(record, MessageReceived | MessageAcknowledged) and record.msg_id in ids:
            return replace(record, msg_id=ids[record.msg_id])
        return record

    return replace(recorded, records=list(map(identified, recorded.records)))


class RecordIndex:
    """The records by several keys. A message that was edited or recalled has the text with which it was sent."""

    def __init__(self, given: DrillRecords) -> None:
        self.recorded = recorded = with_first_texts(_with_ids(given))
        self.unread = recorded.members.keys() - recorded.history.keys()
        """Chats whose history could not be read."""
        self.connections: dict[int, Opened] = {}
        self.closed: dict[int, Closed] = {}
        self.sent: dict[str, MessageSent] = {}
        self.acked: dict[str, list[MessageAcknowledged]] = defaultdict(list)
        self.rejected: dict[str, MessageRejected] = {}
        self._answers: list[tuple[float, float]] = []
        """For each acknowledgement, its time and the time when its message was sent. Sorted by the time of sending."""
        self.received: list[MessageReceived] = []
        self.changes_requested: dict[str, list[ChangeRequested]] = defaultdict(list)
        self.changes_acked: dict[str, list[ChangeAcknowledged]] = defaultdict(list)
        self.changes_rejected: dict[str, ChangeRejected] = {}
        self.changes_seen: list[ChangeSeen] = []
        self.last_states: dict[tuple[int, int, bool], LastStatesSeen] = {}
        """The last states of messages. The keys are the account, the chat, and whether the messages were read again."""
        self.announced: list[ChatAnnounced] = []
        self.faults: list[Fault] = []
        self.phases: list[PhaseBegan] = []
        self.joined: dict[tuple[int, int], Joined] = {}
        """For accounts that were not members at the beginning, their joins, by account and chat."""
        self.departed: dict[tuple[int, int], Departed] = {}
        """The departures, by account and chat."""
        self.deleted: dict[int, Deleted] = {}
        self.ended: dict[str, Ended] = {}
        self.healed: list[Healed] = []
        self.readiness: dict[str, list[ReadinessChanged]] = defaultdict(list)
        self.presence_seen: dict[str, list[PresenceSeen]] = defaultdict(list)
        self.resources: dict[tuple[str, int], list[ResourcesSeen]] = defaultdict(list)
        """The resources of processes, by name and pid."""
        self.unread_shown: list[UnreadShown] = []
        self.fetched: dict[tuple[int, str], float] = {}
        """The time when a sleeper first got a message, by account and text."""
        self.sleepers_cut_off: dict[int, list[float]] = defaultdict(list)
        self.fuzzed: list[FuzzEnded] = []
        self.tracebacks: list[str] = []
        self.tried: list[ConnectAttempted] = []
        self.held: list[DrillStalled] = []
        self.received_on: dict[int, list[MessageReceived]] = defaultdict(list)
        self.received_by_account: dict[int, set[int]] = defaultdict(set)
        self.sent_and_acked: dict[tuple[int, int], list[tuple[MessageSent, bool]]] = defaultdict(list)
        """Sent messages (False) and acknowledgements (True) in order of time, by account and chat."""
        self.stored: dict[str, list[Place]] = defaultdict(list)
        self.place: dict[int, Place] = {}
        for record in recorded.records:
            self._add(record)
        for chat, entries in recorded.history.items():
            for entry in entries:
                self.stored[entry.text].append(Place(chat, entry))
                self.place.setdefault(entry.msg_id, Place(chat, entry))
        self.end = recorded.records[-1].at if recorded.records else 0.0

    def _add(self, record: object) -> None:
        match record:
            case ConnectAttempted():
                self.tried.append(record)
            case Opened():
                self.connections[record.connection] = record
            case Closed():
                self.closed[record.connection] = record
            case MessageSent():
                self.sent[record.text] = record
                self._sent_and_acked(record).append((record, False))
            case MessageAcknowledged():
                self.acked[record.text].append(record)
                sent = self.sent[record.text]
                self._sent_and_acked(sent).append((sent, True))
                self._answers.append((record.at, sent.at))
            case MessageRejected():
                self.rejected[record.text] = record
            case MessageReceived():
                self.received.append(record)
                self.received_on[record.connection].append(record)
                self.received_by_account[self.connections[record.connection].account].add(record.msg_id)
            case ChangeRequested() | ChangeAcknowledged() | ChangeRejected() | ChangeSeen() | LastStatesSeen():
                self._add_change(record)
            case ChatAnnounced():
                self.announced.append(record)
            case Fault():
                self.faults.append(record)
            case PhaseBegan():
                self.phases.append(record)
            case Joined():
                self.joined[record.account, record.chat] = record
            case Departed():
                self.departed[record.account, record.chat] = record
            case Deleted():
                self.deleted[record.account] = record
            case Ended():
                self.ended[record.target] = record
            case Healed():
                self.healed.append(record)
            case ReadinessChanged():
                self.readiness[record.process].append(record)
            case PresenceSeen():
                self.presence_seen[record.edge].append(record)
            case ResourcesSeen():
                self.resources[record.process, record.pid].append(record)
            case UnreadShown():
                self.unread_shown.append(record)
            case UnreadFetched():
                self.fetched.setdefault((record.account, record.text), record.at)
            case SleeperCutOff():
                self.sleepers_cut_off[record.account].append(record.at)
            case FuzzEnded():
                self.fuzzed.append(record)
            case TracebackLogged():
                self.tracebacks.append(record.line)
            case DrillStalled():
                self.held.append(record)

    def _add_change(
        self, record: ChangeRequested | ChangeAcknowledged | ChangeRejected | ChangeSeen | LastStatesSeen
    ) -> None:
        match record:
            case ChangeRequested():
                self.changes_requested[record.name].append(record)
            case ChangeAcknowledged():
                self.changes_acked[record.name].append(record)
            case ChangeRejected():
                self.changes_rejected[record.name] = record
            case ChangeSeen():
                self.changes_seen.append(record)
            case LastStatesSeen():
                account = self.connections[record.connection].account
                self.last_states[account, record.chat, record.again] = record
            case _:
                assert_never(record)

    def _sent_and_acked(self, sent: MessageSent) -> list[tuple[MessageSent, bool]]:
        return self.sent_and_acked[self.connections[sent.connection].account, sent.chat]

    def index_of(self, text: str) -> int | None:
        places = self.stored.get(text)
        return places[0].entry.index if places else None

    def must_receive(self, account: int, chat: int, entry: Entry) -> bool:
        """Returns whether the account must receive this message of another member. It must if it was a member from the
        beginning, or if the message was sent after it had joined.

        If an account leaves, it loses the messages that wait for it.
        """
        if (account, chat) in self.departed:
            return False
        joined, sent = self.joined.get((account, chat)), self.sent.get(entry.text)
        return entry.sender != account and (joined is None or sent is None or sent.at > joined.at)

    def end_of(self, connection: int) -> float:
        closed = self.closed.get(connection)
        return closed.at if closed else self.end

    def killed_under(self, connection: int) -> float | None:
        """Returns the time when the connection's edge was killed, or None.

        The kill counts if it ended the connection, or if it came before the read state of the connection was committed.
        """
        opened, ended = self.connections[connection], self.end_of(connection)
        for fault in self.faults:
            killed = (fault.target, fault.kind) == (opened.edge, "kill") and opened.at <= fault.at
            if killed and ended - _CLOSING_SECONDS <= fault.at <= self._worked_after(ended) + _COMMITTING_SECONDS:
                return fault.at
        return None

    def was_unreachable(self, edge: str, since: float, until: float) -> bool:
        """Returns whether all packets between the edge and its clients were lost at some time between `since` and
        `until`.
        """
        return any(
            healed.target == f"{edge}~clients" and healed.began < until and since < healed.at for healed in self.healed
        )

    def broken_by_network(self, connection: int) -> bool:
        """Returns whether the connection ended without a close frame while clients' connections were disturbed."""
        closed = self.closed.get(connection)
        return closed is not None and closed.code == ABNORMAL and self.clients_harmed(closed.at)

    def clients_harmed(self, at: float) -> bool:
        """Returns whether the connections of clients were disturbed at this time or shortly before."""
        return any(
            healed.target.endswith("~clients") and healed.began <= at <= healed.at + _CLOSING_SECONDS
            for healed in self.healed
        )

    def unconfirmed_by_pongs(self, one: MessageReceived) -> bool:
        """Returns whether, in a drill with proxies, the client left before it had answered a ping that came after the
        message.
        """
        closed = self.closed.get(one.connection)
        return self.recorded.proxied and closed is not None and closed.ponged < one.at

    def cut_off_between(self, edge: str, first: float, again: float, within: float) -> bool:
        """Returns whether the edge alone was cut off from NATS between two deliveries, so that it could not commit the
        read state of the first.

        The cut must begin at most `within` seconds after `first`. It does not matter whether the clients of the edge
        had to be without service.
        """
        return any(
            (healed.unserved == {edge} or healed.target == f"{edge}~nats")
            and healed.began - within <= first
            and healed.began <= again <= healed.at + _COMMITTING_SECONDS
            for healed in self.healed
        )

    def _worked_after(self, moment: float) -> float:
        """Returns the time of the first acknowledgement of a message that was sent after `moment`."""
        later = islice(self._answers, bisect_left(self._answers, (moment, 0.0)), None)
        return next((at for at, sent_at in later if sent_at >= moment), math.inf)

    def state(self, text: str) -> str:
        """Returns what the sender was told about its message."""
        if text in self.acked:
            return "acknowledged"
        rejected = self.rejected.get(text)
        return "unknown" if rejected is None or rejected.unknown else "rejected"
