"""Deliberately broken builds (mutants), which show that a drill can fail.

`python -m tests.drills.mutants NAME up …` works as `dragoman up`, but starts one service through this module. In the
process of this service, the module breaks the service and then runs it. The product contains no code for this.
"""

import asyncio
import os
import sys
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from typing import Any

from sqlalchemy import Connection

from dragoman.main import main
from local.up_plan import PlannedProcess
from shared.contract.edge import Delivery
from shared.contract.ids import AccountId, NodeId
from shared.contract.model import Message, Role
from shared.contract.session import Member
from shared.database import Database
from tests.drills.broken_databases import EarlyReplyDatabase, LateCommitDatabase

_SLOW_START_SECONDS = 9.0
_EVERY = 20
_HOARDED_BYTES = 4096
_LOGIN_SECONDS = 0.03
_OVERTAKEN_SECONDS = 0.05
_TRUSTING_SECONDS = 8.0


@dataclass(frozen=True)
class Mutant:
    """A broken build.

    `apply` breaks the service in the calling process. The drill `drill`, with its options, must find that `invariant`
    has failed. `invariant` is empty for the state machine (tests/model).
    """

    service: str
    invariant: str
    apply: Callable[[], None]
    drill: str = "kill"


def _require(owner: object, *names: str) -> None:
    """Raises AttributeError if the product has no attribute with this name.

    A replacement of it would have no effect.
    """
    for name in names:
        getattr(owner, name)


def _reply_early() -> None:
    from services.message import store

    _require(Database, "inline_is_quicker", "_write", "_unavailable_on_error")
    _replace(store, "Database", EarlyReplyDatabase)


def _always_ready() -> None:
    """After its first success, the readiness check no longer checks NATS."""
    from shared.bus.client import Bus

    sound, answered = Bus.check, list[Bus]()

    async def check(bus: Bus, timeout_seconds: float = 1.0) -> None:
        if bus not in answered:
            await sound(bus, timeout_seconds)
            answered.append(bus)

    _replace(Bus, "check", check)


def _assume_arrived() -> None:
    """When a connection ends, everything that was pushed to it counts as delivered."""
    from services.edge.confirmations.confirmation import UnconfirmedPushes
    from services.edge.confirmations.read_state import Ranges

    ended = UnconfirmedPushes.ended

    def trusting(pushes: UnconfirmedPushes, _position: int, _until: float | None) -> Ranges:
        return ended(pushes, sys.maxsize, None)

    _replace(UnconfirmedPushes, "ended", trusting)


def _skip_gaps() -> None:
    """A message that arrives counts as the next one, and no chat is compared after a loss.

    Each of these two faults alone would have no effect.
    """
    from services.edge.delivery.ordering import ChatSequencer
    from services.edge.delivery.resync import Resync

    deliver = ChatSequencer.deliver_if_next

    def hasty(sequencer: ChatSequencer, delivery: Delivery) -> bool:
        if sequencer.head is not None:
            sequencer.head = max(sequencer.head, delivery.message.index - 1)
        return deliver(sequencer, delivery)

    _replace(ChatSequencer, "deliver_if_next", hasty)
    _replace(Resync, "mark_stale", lambda *_: None)


def _patient_with_silence() -> None:
    """A client that answers nothing stays connected."""
    from services.edge.confirmations.confirmation import DeliveryConfirmation
    from services.edge.gateway import socket_options

    on_timer = DeliveryConfirmation.on_timer

    def patient(confirmation: DeliveryConfirmation, *arguments: Any, **options: Any) -> bool:
        on_timer(confirmation, *arguments, **options)
        return False

    _replace(DeliveryConfirmation, "on_timer", patient)
    _replace(socket_options, "_UNACKNOWLEDGED_MILLISECONDS", 600_000)


def _hoard() -> None:
    """The edge never frees some memory for each message."""
    from services.edge.client.client import Client
    from services.edge.dialects.encoded_message import EncodedMessage

    deliver, hoard = Client.deliver, list[bytes]()

    def hoarding(client: Client, messages: Sequence[EncodedMessage]) -> None:
        hoard.append(os.urandom(_HOARDED_BYTES))
        deliver(client, messages)

    _replace(Client, "deliver", hoarding)


def _abandon_tasks() -> None:
    """The edge starts tasks that never end. They are too few to need much memory."""
    from services.edge.client.client import Client
    from services.edge.dialects.encoded_message import EncodedMessage

    deliver, is_bad, tasks = Client.deliver, _one_in_many(), set[asyncio.Task[Any]]()

    def abandoning(client: Client, messages: Sequence[EncodedMessage]) -> None:
        if is_bad():
            tasks.add(asyncio.create_task(asyncio.Event().wait()))
        deliver(client, messages)

    _replace(Client, "deliver", abandoning)


def _show_past() -> None:
    """A new member gets all messages from before it joined."""
    from services.session.service.message_reader import MessageReader

    async def none(*_: object) -> int:
        return 0

    _replace(MessageReader, "last_index", none)


def _drop_delivery() -> None:
    """A connection does not get some messages of other users."""
    from services.edge.client.client import Client
    from services.edge.dialects.encoded_message import EncodedMessage

    deliver, is_bad = Client.deliver, _one_in_many()

    def forgetful(client: Client, messages: Sequence[EncodedMessage]) -> None:
        account = client.connection.account
        deliver(client, [one for one in messages if one.message.sender == account or not is_bad()])

    _replace(Client, "deliver", forgetful)


def _keep_deleted() -> None:
    """The connections of a deleted account stay open."""
    from services.edge.client.client import Client

    _replace(Client, "revoked", lambda *_: None)


def _keep_departed() -> None:
    """For the message service, a member that has left or was removed is still a member."""
    from services.message.service.member_list import ChatMembers

    apply = ChatMembers._apply

    def kept(member_list: ChatMembers, change: Member) -> None:
        if change.role is not Role.LEFT:
            apply(member_list, change)

    _replace(ChatMembers, "_apply", kept)


def _slow_login() -> None:
    """Every login needs CPU time, as if the server had to hash the password."""
    from services.edge.login.login import LoginFlow

    log_in = LoginFlow.log_in

    async def slow(flow: LoginFlow, *arguments: Any) -> Any:
        time.sleep(_LOGIN_SECONDS)  # noqa: ASYNC251
        return await log_in(flow, *arguments)

    _replace(LoginFlow, "log_in", slow)


def _ack_before_commit() -> None:
    from services.message import store

    _require(Database, "inline_is_quicker", "_write")
    _replace(store, "Database", LateCommitDatabase)


def _skip_recipient() -> None:
    from services.message.adapters import fanout

    is_bad = _one_in_many()

    def forgetful(message: Message, recipients: list[AccountId] | None, *more: Any) -> Delivery:
        others = [account for account in recipients or () if account != message.sender]
        if recipients and others and is_bad():
            recipients = [account for account in recipients if account != others[0]]
        return Delivery(message, recipients, *more)

    _replace(fanout, "Delivery", forgetful)


def _double_delivery() -> None:
    from services.edge.client.client import Client
    from services.edge.dialects.encoded_message import EncodedMessage

    deliver, is_bad = Client.deliver, _one_in_many()

    def twice(client: Client, messages: Sequence[EncodedMessage]) -> None:
        deliver(client, messages)
        if client.session.catch_up.missed is None:
            deliver(client, [encoded for encoded in messages if is_bad()])

    _replace(Client, "deliver", twice)


def _forget_read() -> None:
    from services.message.service.queries import MessageQueries
    from shared.contract.message import Marked, MarkRead

    mark = MessageQueries.mark_read

    async def forgetful(messages: MessageQueries, request: MarkRead) -> Marked:
        return await mark(messages, MarkRead([one for one in request.ranges if one.high % 2]))

    _replace(MessageQueries, "mark_read", forgetful)


def _forget_states() -> None:
    """A sync compares only messages and their changes, and no other state of a chat."""
    from services.message.service import resuming

    _replace(resuming, "_with_other_states", lambda *_: set())


def _keep_recalled() -> None:
    """The stored text of a message stays when the message is edited or recalled."""
    from services.message.store.revisions import _Revision

    _replace(_Revision, "_replace_body", lambda *_: None)


def _swap_changes() -> None:
    """Two changes that are made in a chat at the same time are announced in the wrong order.

    The reply does not wait for the announcements.
    """
    from services.message.adapters.fanout import Fanout

    announce, waiting, tasks = Fanout.announce, dict[int, asyncio.Event](), set[asyncio.Task[None]]()

    async def late(fanout: Fanout, message: Message, delivery: Any) -> None:
        if (earlier := waiting.pop(message.chat, None)) is not None:
            await announce(fanout, message, delivery)
            earlier.set()
            return
        waiting[message.chat] = overtaken = asyncio.Event()
        tasks.add(asyncio.create_task(announce_after(overtaken, fanout, message, delivery)))

    async def announce_after(overtaken: asyncio.Event, fanout: Fanout, message: Message, delivery: Any) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(overtaken.wait(), _OVERTAKEN_SECONDS)
        if waiting.get(message.chat) is overtaken:
            del waiting[message.chat]
        await announce(fanout, message, delivery)

    _replace(Fanout, "announce", late)


def _forget_changes() -> None:
    """A client that comes back does not get changes of the messages that it has."""
    from services.message.store.snapshot import Snapshot

    _replace(Snapshot, "changes_among", lambda *_: {})


def _lose_edits() -> None:
    """An edit is acknowledged and announced, but not stored."""
    from services.message import store
    from services.message.store.revisions import revise
    from shared.contract.message import ChangeMessage, EditText

    def forgetful(connection: Connection, request: ChangeMessage, *more: Any) -> Any:
        if not isinstance(request.change, EditText):
            return revise(connection, request, *more)
        with connection.begin_nested() as stored:
            revised = revise(connection, request, *more)
            stored.rollback()
        return revised

    _replace(store, "revise", forgetful)


def _skip_rev() -> None:
    """Some changes get a `rev` that is too high by one."""
    from services.message.store.revisions import _Revision

    begin: Callable[..., None] = _Revision.__init__
    is_bad = _one_in_many()

    def skipping(revision: _Revision, *arguments: Any) -> None:
        *before, rev, now = arguments
        begin(revision, *before, rev + is_bad(), now)

    _replace(_Revision, "__init__", skipping)


def _double_count() -> None:
    from services.message.store.snapshot import Snapshot

    count = Snapshot.count

    def doubled(snapshot: Snapshot, ranges: Sequence[Any], except_sender: AccountId) -> int:
        return 2 * count(snapshot, ranges, except_sender)

    _replace(Snapshot, "count", doubled)


def _swap_neighbours() -> None:
    from services.edge.client.client import Client
    from services.edge.dialects.encoded_message import EncodedMessage

    deliver, is_bad, waiting = Client.deliver, _one_in_many(), dict[Client, Sequence[EncodedMessage]]()

    def late(client: Client, messages: Sequence[EncodedMessage]) -> None:
        before = waiting.pop(client, ())
        if not before and is_bad():
            waiting[client] = messages
        else:
            deliver(client, [*messages, *before])

    _replace(Client, "deliver", late)


def _abrupt_end() -> None:
    from services.edge.app import Edge

    async def drain(edge: Edge) -> None:
        os._exit(0)

    _replace(Edge, "drain", drain)


def _forgetful_end() -> None:
    """Read state that is confirmed while the edge shuts down is not committed."""
    from services.edge.app import Edge
    from services.edge.confirmations.read_state import ReadStateFlusher

    _require(ReadStateFlusher, "mark_delivered")
    drain = Edge.drain

    async def forgetful(edge: Edge) -> None:
        _replace(ReadStateFlusher, "mark_delivered", lambda *_: None)
        await drain(edge)

    _replace(Edge, "drain", forgetful)


def _forget_join() -> None:
    """Some accounts are missing in presence, and the edge does not compare presence with its own accounts."""
    from services.edge.presence.local_accounts import LocalAccounts
    from shared.presence.store import Presence

    join, numbers = Presence.join, count()

    async def forgetful(presence: Presence, node: NodeId, accounts: Collection[AccountId]) -> Any:
        others = await join(presence, node, accounts)
        if next(numbers) % 3 == 0:
            await presence.leave(node, accounts)
        return others

    async def equal(_accounts: LocalAccounts) -> list[AccountId]:
        return []

    _replace(Presence, "join", forgetful)
    _replace(LocalAccounts, "compare", equal)


def _trust_presence() -> None:
    """An edge that has lost Redis does not announce this over NATS, and so misses messages.

    Edges check presence so often that a check falls into a short outage.
    """
    from services.edge.presence import lease
    from services.edge.presence.announcer import PresenceAnnouncer

    async def silent(*_: object) -> None:
        pass

    _skip_gaps()
    _replace(lease, "_REST_SECONDS", 1.0)
    _replace(PresenceAnnouncer, "announce_incomplete", silent)


def _careless_parser() -> None:
    """An invalid frame of the dialect pipe raises an error that no caller expects."""
    from services.edge.canonical.frames import Frame
    from services.edge.dialects.base import DecodeError, Request
    from services.edge.dialects.pipe import Pipe

    decode = Pipe.decode

    def careless(dialect: Pipe, frame: Frame, now: float) -> Sequence[Request]:
        try:
            return decode(dialect, frame, now)
        except DecodeError as error:
            raise KeyError(str(error)) from error

    _replace(Pipe, "decode", careless)


def _lose_last_line() -> None:
    """An IRC client does not get the last line of a message of several lines."""
    from services.edge.dialects.irc import messages

    batch: Callable[..., Iterator[bytes]] = messages._batch
    _replace(messages, "_batch", lambda *arguments: [*batch(*arguments)][:-1])


def _slow_edge() -> None:
    """An edge starts only after a long time."""
    time.sleep(2 * _SLOW_START_SECONDS)


def _slow_start() -> None:
    time.sleep(_SLOW_START_SECONDS)


def _trust_leaders() -> None:
    """An edge sends messages only to the leader of their chat.

    It tries another replica only when the leader's heartbeats have been missing for a long time.
    """
    from services.edge.upstream.attempt import Leaders
    from shared import partitions

    def same(_leaders: Leaders, _chat: int, receiver: str, _now: float) -> str:
        return receiver

    _replace(Leaders, "after", same)
    _replace(Leaders, "gone", lambda *_: None)
    _replace(partitions, "LEASE_SECONDS", _TRUSTING_SECONDS)


MUTANTS = {
    "ack-before-commit": Mutant("message", "I1 durability", _ack_before_commit),
    "skip-recipient": Mutant("message", "I2 delivery", _skip_recipient),
    "double-count": Mutant("message", "I8 unread", _double_count),
    "lose-edits": Mutant("message", "I10 changes", _lose_edits),
    "skip-rev": Mutant("message", "I10 rev", _skip_rev),
    "drop-delivery": Mutant("edge", "A2 lost", _drop_delivery, "audit"),
    "forget-join": Mutant("edge", "I7 presence", _forget_join),
    "trust-presence": Mutant("edge", "I2 delivery", _trust_presence, "partition"),
    "lose-last-line": Mutant("edge", "I2 delivery", _lose_last_line),
    "double-delivery": Mutant("edge", "I2 once", _double_delivery),
    "swap-neighbours": Mutant("edge", "", _swap_neighbours, "machine"),
    "slow-start": Mutant("message", "S1 service", _slow_start),
    "forget-read": Mutant("message", "", _forget_read, "machine"),
    "forget-states": Mutant("message", "", _forget_states, "machine"),
    "keep-recalled": Mutant("message", "", _keep_recalled, "machine"),
    "swap-changes": Mutant("message", "", _swap_changes, "machine"),
    "always-ready": Mutant("edge", "S3 readiness", _always_ready, "broker"),
    "reply-early": Mutant("message", "I1 durability", _reply_early, "database"),
    "assume-arrived": Mutant("edge", "I2 delivery", _assume_arrived, "network"),
    "patient-with-silence": Mutant("edge", "S4 silence", _patient_with_silence, "half-open"),
    "hoard": Mutant("edge", "G1 growth", _hoard, "soak"),
    "abandon-tasks": Mutant("edge", "G1 growth", _abandon_tasks, "soak"),
    "show-past": Mutant("session", "S5 membership", _show_past, "members"),
    "keep-departed": Mutant("message", "S5 membership", _keep_departed, "members"),
    "keep-deleted": Mutant("edge", "S6 deletion", _keep_deleted, "members"),
    "slow-edge": Mutant("edge", "S1 service", _slow_edge, "storm --all-edges"),
    "slow-login": Mutant("edge", "S1 service", _slow_login, "storm"),
    "careless-parser": Mutant("edge", "F1 robustness", _careless_parser, "fuzz"),
    "skip-gaps": Mutant("edge", "I3 order", _skip_gaps, "network --phase nats"),
    "abrupt-end": Mutant("edge", "S2 drain", _abrupt_end, "scale"),
    "forgetful-end": Mutant("edge", "I2 once", _forgetful_end, "scale"),
    "trust-leaders": Mutant("edge", "S8 chats", _trust_leaders, "scale --phase grow --phase leaders"),
    "forget-changes": Mutant("message", "R1 absence", _forget_changes, "absence"),
}


def _one_in_many() -> Callable[[], bool]:
    """Returns a function that is true for the first message of a process, and then for one message in `_EVERY`."""
    numbers = count()
    return lambda: next(numbers) % _EVERY == 0


def start_through(*module: str, service: str) -> None:
    """Makes the `dragoman up` in this process start services through this module, with these arguments."""
    sound: Callable[[PlannedProcess], list[str]] = vars(PlannedProcess)["command"].fget

    def command(part: PlannedProcess) -> list[str]:
        return [sys.executable, "-m", *module, part.service] if part.service == service else sound(part)

    _replace(PlannedProcess, "command", property(command))


def _replace(owner: object, name: str, value: object) -> None:
    """Replaces an attribute of the product. Raises AttributeError if there is no attribute with this name."""
    _require(owner, name)
    setattr(owner, name, value)


def _main() -> None:
    """Runs `python -m tests.drills.mutants NAME up …`, or a process of a broken service.

    NAME may join several names by `+`.
    """
    chosen = sys.argv.pop(1)
    mutants = [MUTANTS[name] for name in chosen.split("+")]
    if sys.argv[1] == "up":
        for service in {mutant.service for mutant in mutants}:
            start_through("tests.drills.mutants", chosen, service=service)
    for mutant in mutants:
        if sys.argv[1] == mutant.service or (len(mutants) == 1 and sys.argv[1] != "up"):
            mutant.apply()
    main()


if __name__ == "__main__":
    _main()
